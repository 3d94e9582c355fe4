# Packages by `cpack`: for Debian, for RPM systems where rpmbuild is there, and an archive for any
# other prefix than /usr.
#
#   cmake -S . -B build/package -DCMAKE_INSTALL_PREFIX=/usr -DTLSMSG_TESTS=OFF
#   cmake --build build/package && (cd build/package && cpack)
#
# Two packages: tlsmsg, the programs with all that a service needs, and libtlsmsg-dev (or
# tlsmsg-devel), for those who write programs with the library. The library in it is static: before
# 1.0 its binary interface changes with each minor version.

set(CPACK_PACKAGE_NAME tlsmsg)
set(CPACK_PACKAGE_VENDOR tlsmsg)
# Whoever makes the packages answers for them, so the default is an address that can't be anybody's
# (RFC 2606, .invalid).
set(TLSMSG_PACKAGER "tlsmsg maintainers <maintainers@tlsmsg.invalid>" CACHE STRING
    "Who makes the packages, as their maintainer: Name <address>")
if(NOT TLSMSG_PACKAGER MATCHES "^[^<>\n]+ <[^<>@ \n]+@[^<>@ \n]+>$")
    message(FATAL_ERROR "TLSMSG_PACKAGER is '${TLSMSG_PACKAGER}', not of the form: Name <address>")
endif()
set(CPACK_PACKAGE_CONTACT "${TLSMSG_PACKAGER}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX "${CMAKE_INSTALL_PREFIX}")
set(CPACK_INSTALL_PREFIX "${CMAKE_INSTALL_PREFIX}")
# Configuration is at /etc, outside of the prefix.
set(CPACK_SET_DESTDIR ON)
set(CPACK_COMPONENTS_ALL Unspecified development)
set(CPACK_VERBATIM_VARIABLES ON)

if(TLSMSG_PLAINTEXT)
    set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "message server and its client, in plaintext")
    set(tlsmsg_package_words
        "A message server and its client in plaintext: receive, reply, close.\n\
 This build has no TLS: it is for learning and for trusted machines.")
else()
    set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "message server and its client, over TLS")
    set(tlsmsg_package_words
        "A message server and its client over TLS 1.3 and 1.2. A reply means that\n\
 the message was taken: it is in the server's transcript by then.")
endif()
set(tlsmsg_development_words
    "Headers, static library and examples of libtlsmsg, with which a C program\n\
 is such a server or client itself.")

if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(CPACK_GENERATOR TGZ)
    include(CPack)
    return()
endif()

set(CPACK_GENERATOR DEB)
find_program(TLSMSG_RPMBUILD rpmbuild)
if(TLSMSG_RPMBUILD)
    list(APPEND CPACK_GENERATOR RPM)
endif()

# ---- Debian

set(tlsmsg_debian_dir ${CMAKE_CURRENT_LIST_DIR}/debian)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME tlsmsg)
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_SECTION net)
set(CPACK_DEBIAN_UNSPECIFIED_DESCRIPTION "${tlsmsg_package_words}")
# Finds the libraries that the programs need, OpenSSL by its package of this release.
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_SHLIBDEPS ON)
if(TLSMSG_PLAINTEXT)
    set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_DEPENDS "adduser")
    set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libc6-dev")
else()
    # The openssl program makes the first certificates.
    set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_DEPENDS "adduser, openssl")
    set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_SUGGESTS "ca-certificates")
    set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libc6-dev, libssl-dev (>= 3.0)")
endif()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libtlsmsg-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${tlsmsg_development_words}")
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_CONTROL_EXTRA
    ${tlsmsg_debian_dir}/conffiles ${tlsmsg_debian_dir}/postinst ${tlsmsg_debian_dir}/prerm
    ${tlsmsg_debian_dir}/postrm)

set(CPACK_PRE_BUILD_SCRIPTS ${tlsmsg_debian_dir}/finish.cmake)

# ---- RPM

set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
set(CPACK_RPM_MAIN_COMPONENT Unspecified)
# Staged by DESTDIR, because of /etc; a package is at its one place.
set(CPACK_PACKAGE_RELOCATABLE OFF)
set(CPACK_RPM_PACKAGE_NAME tlsmsg)
set(CPACK_RPM_PACKAGE_LICENSE MIT)
set(CPACK_RPM_SPEC_MORE_DEFINE "%define packager ${TLSMSG_PACKAGER}")
set(CPACK_RPM_PACKAGE_GROUP "System Environment/Daemons")
# Debian's form indents what follows a first line.
string(REPLACE "\n " "\n" CPACK_RPM_PACKAGE_DESCRIPTION "${tlsmsg_package_words}")
string(REPLACE "\n " "\n" CPACK_RPM_DEVELOPMENT_PACKAGE_DESCRIPTION "${tlsmsg_development_words}")
set(CPACK_RPM_DEVELOPMENT_PACKAGE_NAME tlsmsg-devel)
set(CPACK_RPM_DEVELOPMENT_PACKAGE_GROUP "Development/Libraries")
set(CPACK_RPM_DEVELOPMENT_PACKAGE_SUMMARY "Headers and static library of libtlsmsg")
if(NOT TLSMSG_PLAINTEXT)
    set(CPACK_RPM_UNSPECIFIED_PACKAGE_REQUIRES "openssl >= 3.0")
    set(CPACK_RPM_DEVELOPMENT_PACKAGE_REQUIRES "openssl-devel >= 3.0")
endif()
set(CPACK_RPM_UNSPECIFIED_PACKAGE_REQUIRES_PRE "shadow-utils")
set(CPACK_RPM_UNSPECIFIED_PRE_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/pre)
set(CPACK_RPM_UNSPECIFIED_POST_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/post)
set(CPACK_RPM_UNSPECIFIED_PRE_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/preun)
set(CPACK_RPM_UNSPECIFIED_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/postun)
set(CPACK_RPM_UNSPECIFIED_USER_FILELIST "%config(noreplace) /etc/tlsmsg/server.env")
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
    /etc /usr/lib/systemd /usr/lib/systemd/system /usr/share/man /usr/share/man/man1
    /usr/share/man/man3 /usr/share/man/man7 /usr/share/bash-completion
    /usr/share/bash-completion/completions /usr/share/zsh /usr/share/zsh/site-functions
    /usr/share/zsh/vendor-completions /usr/share/fish /usr/share/fish/vendor_completions.d
    /usr/lib/cmake /usr/lib64/cmake /usr/lib/pkgconfig /usr/lib64/pkgconfig)

include(CPack)
