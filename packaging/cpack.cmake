# Packages by `cpack`: for Debian, for RPM systems where rpmbuild is there, and an archive for any
# other prefix than /usr, or with a static library.
#
#   cmake --preset package && cmake --build --preset package && cpack --preset package
#
# Four packages, named as each system names them: the server with all that a service needs, the
# client, the shared library that both use, and what those need who write programs with it. A fifth,
# for Debian, is empty: where tlsmsg 0.1 is installed, it is upgraded by it to the others, with the
# service enabled and running as it was. Without it the old package is removed first, and that stops
# and disables the service.

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
set(CPACK_COMPONENTS_ALL library development client server transitional)
# An RPM says by Obsoletes what it takes the place of.
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_CURRENT_LIST_DIR}/cpack-generator.cmake)
set(CPACK_VERBATIM_VARIABLES ON)

if(TLSMSG_PLAINTEXT)
    set(transport "in plaintext")
    set(transport_words "This build has no TLS: it is for learning and for trusted machines.")
else()
    set(transport "over TLS")
    set(transport_words "It speaks TLS 1.3 and 1.2.")
endif()
# cpack puts a summary for all packages before each one's own, unless it is the default.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${CMAKE_PROJECT_NAME} built using CMake")
set(tlsmsg_server_summary "message server ${transport}")
set(tlsmsg_server_words "Takes messages from clients and answers each one. An answer means that the\n\
message was taken: it is in the server's transcript by then.\n${transport_words}")
set(tlsmsg_client_summary "sends messages to a tlsmsg server, ${transport}")
set(tlsmsg_client_words "Sends lines from a terminal, a pipe or the command line to a server, and shows\n\
the answer to each one.\n${transport_words}")
set(tlsmsg_library_summary "message servers and clients ${transport}, as a library")
set(tlsmsg_library_words "The library that tlsmsg-server and tlsmsg-client are made of.\n\
${transport_words}")
set(tlsmsg_development_summary "${tlsmsg_library_summary} - development files")
set(tlsmsg_development_words "Headers, manual and examples of libtlsmsg, with which a C program is such a\n\
server or client itself.")
set(tlsmsg_transitional_summary "transitional package to tlsmsg-server and tlsmsg-client")
set(tlsmsg_transitional_words "It can be removed safely.")

if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr" OR tlsmsg_is_static)
    set(CPACK_GENERATOR TGZ)
    include(CPack)
    return()
endif()

# What both kinds of packages do about 0.1.
file(READ ${CMAKE_CURRENT_LIST_DIR}/from-0.1.sh tlsmsg_from_0_1)
configure_file(${CMAKE_CURRENT_LIST_DIR}/debian/server/postinst.in
               ${PROJECT_BINARY_DIR}/packaging/debian/postinst @ONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/rpm/post.in ${PROJECT_BINARY_DIR}/packaging/rpm/post @ONLY)

set(CPACK_GENERATOR DEB)
find_program(TLSMSG_RPMBUILD rpmbuild)
if(TLSMSG_RPMBUILD)
    list(APPEND CPACK_GENERATOR RPM)
endif()

# ---- Debian

set(tlsmsg_debian_dir ${CMAKE_CURRENT_LIST_DIR}/debian)
set(tlsmsg_soversion ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# dpkg-shlibdeps finds the packages of the libraries that are linked (finish.cmake wants it there),
# and cpack that of our own.
get_target_property(tlsmsg_built_dir tlsmsg BINARY_DIR)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${tlsmsg_built_dir})
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_COMPONENT_SERVER_DEPENDS library)
set(CPACK_COMPONENT_CLIENT_DEPENDS library)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS library)
set(CPACK_COMPONENT_TRANSITIONAL_DEPENDS server client)

# tlsmsg_debian_package(<component> <name> <section>)
macro(tlsmsg_debian_package component name section)
    string(TOUPPER ${component} upper)
    set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${name})
    set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
    set(CPACK_DEBIAN_${upper}_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_${upper}_DESCRIPTION
        "${tlsmsg_${component}_summary}\n${tlsmsg_${component}_words}")
endmacro()
tlsmsg_debian_package(library libtlsmsg${tlsmsg_soversion} libs)
tlsmsg_debian_package(development libtlsmsg-dev libdevel)
tlsmsg_debian_package(client tlsmsg-client net)
tlsmsg_debian_package(server tlsmsg-server net)
tlsmsg_debian_package(transitional tlsmsg oldlibs)
set(CPACK_DEBIAN_TRANSITIONAL_PACKAGE_ARCHITECTURE all)
# Before 0.2 one package, tlsmsg, held both programs.
foreach(upper CLIENT SERVER)
    set(CPACK_DEBIAN_${upper}_PACKAGE_BREAKS "tlsmsg (<< 0.2~)")
    set(CPACK_DEBIAN_${upper}_PACKAGE_REPLACES "tlsmsg (<< 0.2~)")
endforeach()
set(CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "tlsmsg-server")
set(CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS "adduser")
if(NOT TLSMSG_PLAINTEXT)
    # The openssl program makes the first certificates.
    string(APPEND CPACK_DEBIAN_SERVER_PACKAGE_DEPENDS ", openssl")
    string(PREPEND CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "ca-certificates, ")
endif()
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${tlsmsg_debian_dir}/library/triggers)
set(CPACK_DEBIAN_SERVER_PACKAGE_CONTROL_EXTRA
    ${tlsmsg_debian_dir}/server/conffiles ${PROJECT_BINARY_DIR}/packaging/debian/postinst
    ${tlsmsg_debian_dir}/server/prerm ${tlsmsg_debian_dir}/server/postrm)
if(TLSMSG_SQLITE)
    set(CPACK_DEBIAN_CLIENT_PACKAGE_CONTROL_EXTRA ${tlsmsg_debian_dir}/client/postinst
        ${tlsmsg_debian_dir}/client/prerm ${tlsmsg_debian_dir}/client/postrm)
endif()

set(CPACK_PRE_BUILD_SCRIPTS ${tlsmsg_debian_dir}/finish.cmake)

# ---- RPM

set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_FILE_NAME RPM-DEFAULT)
# Staged by DESTDIR, because of /etc; a package is at its one place.
set(CPACK_PACKAGE_RELOCATABLE OFF)
set(CPACK_RPM_PACKAGE_LICENSE MIT)
set(CPACK_RPM_SPEC_MORE_DEFINE "%define packager ${TLSMSG_PACKAGER}")

# tlsmsg_rpm_package(<component> <name> <group>)
macro(tlsmsg_rpm_package component name group)
    string(TOUPPER ${component} upper)
    set(CPACK_RPM_${upper}_PACKAGE_NAME ${name})
    set(CPACK_RPM_${upper}_PACKAGE_GROUP "${group}")
    set(CPACK_RPM_${upper}_PACKAGE_SUMMARY "${tlsmsg_${component}_summary}")
    set(CPACK_RPM_${upper}_PACKAGE_DESCRIPTION "${tlsmsg_${component}_words}")
endmacro()
tlsmsg_rpm_package(library libtlsmsg "System Environment/Libraries")
tlsmsg_rpm_package(development libtlsmsg-devel "Development/Libraries")
tlsmsg_rpm_package(client tlsmsg-client "Applications/Internet")
tlsmsg_rpm_package(server tlsmsg-server "System Environment/Daemons")
set(tlsmsg_rpm_library "libtlsmsg = ${PROJECT_VERSION}")
set(CPACK_RPM_CLIENT_PACKAGE_REQUIRES "${tlsmsg_rpm_library}")
set(CPACK_RPM_SERVER_PACKAGE_REQUIRES "${tlsmsg_rpm_library}")
set(CPACK_RPM_DEVELOPMENT_PACKAGE_REQUIRES "${tlsmsg_rpm_library}")
foreach(upper CLIENT SERVER)
    set(CPACK_RPM_${upper}_PACKAGE_OBSOLETES "tlsmsg < 0.2")
endforeach()
if(NOT TLSMSG_PLAINTEXT)
    string(APPEND CPACK_RPM_SERVER_PACKAGE_REQUIRES ", openssl >= 3.0")
    # Its script makes certificates.
    set(CPACK_RPM_SERVER_PACKAGE_REQUIRES_POST "openssl >= 3.0")
endif()
set(CPACK_RPM_SERVER_PACKAGE_REQUIRES_PRE "shadow-utils")
set(CPACK_RPM_SERVER_PRE_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/pre)
set(CPACK_RPM_SERVER_POST_INSTALL_SCRIPT_FILE ${PROJECT_BINARY_DIR}/packaging/rpm/post)
set(CPACK_RPM_SERVER_POST_TRANS_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/posttrans)
set(CPACK_RPM_SERVER_PRE_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/preun)
set(CPACK_RPM_SERVER_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/postun)
if(TLSMSG_SQLITE)
    set(CPACK_RPM_CLIENT_POST_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/client-reload)
    set(CPACK_RPM_CLIENT_PRE_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/client-preun)
    set(CPACK_RPM_CLIENT_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/client-reload)
endif()
set(CPACK_RPM_LIBRARY_POST_INSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/ldconfig)
set(CPACK_RPM_LIBRARY_POST_UNINSTALL_SCRIPT_FILE ${CMAKE_CURRENT_LIST_DIR}/rpm/ldconfig)
set(CPACK_RPM_SERVER_USER_FILELIST "%config(noreplace) /etc/tlsmsg/server.conf"
    "%config(noreplace) /etc/logrotate.d/tlsmsg")
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION
    /etc /etc/logrotate.d /usr/lib/systemd /usr/lib/systemd/system /usr/share/man /usr/share/man/man1
    /usr/share/man/man3 /usr/share/man/man7 /usr/share/bash-completion
    /usr/share/bash-completion/completions /usr/share/zsh /usr/share/zsh/site-functions
    /usr/share/zsh/vendor-completions /usr/share/fish /usr/share/fish/vendor_completions.d
    /usr/${CMAKE_INSTALL_LIBDIR} /usr/${CMAKE_INSTALL_LIBDIR}/cmake
    /usr/${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CPack)
