# What `cmake --install` puts where: the library for other programs (CMake package, pkg-config),
# and, where the programs are built, these with their manuals, completions and service units.
#
# The components are the packages: "library" (a shared one alone), "development", "client" and
# "server". Destinations are relative wherever a file does not have to be found by an absolute
# name, so that the tree can be moved; each may be given as an absolute one.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(tlsmsg_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tlsmsg)
set(tlsmsg_pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(tlsmsg_data_dir ${CMAKE_INSTALL_DATADIR}/tlsmsg)

# Below /usr, configuration is in /etc; below any other prefix, beside the rest.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    set(tlsmsg_etc_dir /etc/tlsmsg)
else()
    set(tlsmsg_etc_dir ${CMAKE_INSTALL_SYSCONFDIR}/tlsmsg)
endif()
cmake_path(ABSOLUTE_PATH tlsmsg_etc_dir BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
           OUTPUT_VARIABLE tlsmsg_full_etc_dir)

# ---- the library

install(TARGETS tlsmsg EXPORT tlsmsg-targets
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT library
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
            NAMELINK_COMPONENT development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/tlsmsg DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
    FILES_MATCHING PATTERN "*.h")
install(EXPORT tlsmsg-targets NAMESPACE tlsmsg:: FILE tlsmsgTargets.cmake
    DESTINATION ${tlsmsg_cmake_dir} COMPONENT development)

# A shared library is private to its users' linker; a static one brings its own dependencies.
get_target_property(tlsmsg_library_type tlsmsg TYPE)
set(tlsmsg_needs_openssl OFF)
if(tlsmsg_library_type STREQUAL "STATIC_LIBRARY")
    set(tlsmsg_is_static ON)
    if(NOT TLSMSG_PLAINTEXT)
        set(tlsmsg_needs_openssl ON)
    endif()
else()
    set(tlsmsg_is_static OFF)
endif()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/tlsmsgConfig.cmake.in
    ${PROJECT_BINARY_DIR}/packaging/tlsmsgConfig.cmake
    INSTALL_DESTINATION ${tlsmsg_cmake_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change anything.
if(PROJECT_VERSION_MAJOR EQUAL 0)
    set(tlsmsg_compatibility SameMinorVersion)
else()
    set(tlsmsg_compatibility SameMajorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/packaging/tlsmsgConfigVersion.cmake
    COMPATIBILITY ${tlsmsg_compatibility})
install(FILES ${PROJECT_BINARY_DIR}/packaging/tlsmsgConfig.cmake
              ${PROJECT_BINARY_DIR}/packaging/tlsmsgConfigVersion.cmake
    DESTINATION ${tlsmsg_cmake_dir} COMPONENT development)

# pkg-config: the prefix is told from the file's own place, unless the library's is absolute.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(tlsmsg_pc_prefix "${CMAKE_INSTALL_PREFIX}")
    set(tlsmsg_pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
    set(tlsmsg_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
    file(RELATIVE_PATH tlsmsg_pc_up "/p/${tlsmsg_pkgconfig_dir}" "/p")
    string(REGEX REPLACE "/$" "" tlsmsg_pc_up "${tlsmsg_pc_up}")
    set(tlsmsg_pc_prefix "\${pcfiledir}/${tlsmsg_pc_up}")
    set(tlsmsg_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(tlsmsg_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
# Every link of a static library needs what it needs; so that is not private, or `pkg-config --libs`
# would have to be told --static, and that brings the static dependencies of OpenSSL itself. A shared
# library brings its own, and no header of ours includes one of OpenSSL's.
set(tlsmsg_pc_transport TLS)
if(TLSMSG_PLAINTEXT)
    set(tlsmsg_pc_transport plaintext)
endif()
set(tlsmsg_pc_needs "")
set(tlsmsg_pc_libs "")
if(tlsmsg_needs_openssl)
    set(tlsmsg_pc_needs "Requires: openssl >= 3.0\n")
endif()
if(tlsmsg_is_static)
    set(tlsmsg_pc_libs " ${CMAKE_THREAD_LIBS_INIT}")
    if(NOT TLSMSG_HAS_ATOMICS)
        string(APPEND tlsmsg_pc_libs " -latomic")
    endif()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/tlsmsg.pc.in ${PROJECT_BINARY_DIR}/packaging/tlsmsg.pc
               @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/packaging/tlsmsg.pc
    DESTINATION ${tlsmsg_pkgconfig_dir} COMPONENT development)

install(FILES docs/man/tlsmsg.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
install(FILES docs/examples/server.c docs/examples/ask.c docs/examples/poll_client.c
        docs/examples/bulk.c docs/examples/uv_client.c docs/examples/numbered.py
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT development)

if(NOT TLSMSG_PROGRAMS)
    return()
endif()

# ---- the programs, with manuals and completions

# Debian's zsh looks for packages' completions in a folder of its own.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
    set(zsh_default ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
else()
    set(zsh_default ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
set(TLSMSG_ZSH_DIR ${zsh_default} CACHE STRING "Where zsh looks for completions")

# tlsmsg_install_texts(<program> <component>): its manual and completions
function(tlsmsg_install_texts program component)
    install(FILES docs/man/${program}.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
        COMPONENT ${component})
    install(FILES packaging/completions/${program}.bash RENAME ${program}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT ${component})
    install(FILES packaging/completions/_${program} DESTINATION ${TLSMSG_ZSH_DIR}
        COMPONENT ${component})
    install(FILES packaging/completions/${program}.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT ${component})
endfunction()

# tlsmsg_install_script(<script> <program>): for the server's package
function(tlsmsg_install_script script program)
    install(PROGRAMS scripts/${script} RENAME ${program} DESTINATION ${CMAKE_INSTALL_BINDIR}
        COMPONENT server)
    tlsmsg_install_texts(${program} server)
endfunction()

# tlsmsg_install_program(<name> <component>)
function(tlsmsg_install_program program component)
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${component})
    # Linked to the shared library, they find it beside themselves, wherever the tree is moved to;
    # below /usr the system finds it.
    if(NOT tlsmsg_is_static AND NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
        file(RELATIVE_PATH way "${CMAKE_INSTALL_FULL_BINDIR}" "${CMAKE_INSTALL_FULL_LIBDIR}")
        set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/${way}")
    endif()
    tlsmsg_install_texts(${program} ${component})
endfunction()

tlsmsg_install_program(tlsmsg-server server)
tlsmsg_install_program(tlsmsg-client client)
if(TARGET tlsmsg-store)
    tlsmsg_install_program(tlsmsg-store server)
endif()
tlsmsg_install_script(gen-certs.sh tlsmsg-certs)
tlsmsg_install_script(rotate-ticket-keys.sh tlsmsg-ticket-keys)
install(PROGRAMS docs/examples/handle.py docs/examples/store-to-csv.py
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT server)
install(PROGRAMS docs/examples/report.sh docs/examples/follow-log.sh
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT client)
install(FILES docs/man/tlsmsg.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7 COMPONENT server)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server)
# A package has to have a file; see cpack.cmake.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT transitional)
if(TLSMSG_POSTGRESQL)
    install(DIRECTORY packaging/fleet DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT server)
endif()
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server
    FILES_MATCHING PATTERN "*.md"
    PATTERN CONTRIBUTING.md EXCLUDE PATTERN examples EXCLUDE PATTERN man EXCLUDE)
install(FILES packaging/prometheus/tlsmsg.rules.yml DESTINATION ${tlsmsg_data_dir}/prometheus
    COMPONENT server)

# ---- the service

set(TLSMSG_SYSTEMD_DIR lib/systemd/system CACHE STRING "Where systemd looks for units")
if(TLSMSG_PLAINTEXT)
    set(tlsmsg_conf_options "accept 0")
else()
    set(tlsmsg_conf_options "cert ${tlsmsg_full_etc_dir}/certs/server.crt
key ${tlsmsg_full_etc_dir}/certs/server.key")
endif()
# Where messages go: to a store where this build has one, else to a file.
set(tlsmsg_conf_messages "# Messages go here, and the journal has the log alone: journald drops lines of a service that writes
# many, and cuts long ones.
transcript /var/log/tlsmsg/transcript.json
format json")
if(TLSMSG_SQLITE)
    set(tlsmsg_conf_messages "# Messages are kept here, and a reply means that the message is on the disk. To see them:
#   tlsmsg-store tail -f /var/lib/tlsmsg/store.db
store /var/lib/tlsmsg/store.db
# So no transcript is written. For one beside the store, which logrotate turns over, these two in the
# place of \"quiet\":
#transcript /var/log/tlsmsg/transcript.json
#format json
quiet")
endif()
# tlsmsg_unit(<template> <unit> [<variable> <value>]...)
function(tlsmsg_unit template unit)
    while(ARGN)
        list(POP_FRONT ARGN variable value)
        set(tlsmsg_unit_${variable} "${value}")
    endwhile()
    configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/systemd/${template}.in
                   ${PROJECT_BINARY_DIR}/packaging/${unit} @ONLY)
endfunction()
tlsmsg_unit(tlsmsg.socket tlsmsg.socket)
tlsmsg_unit(tlsmsg.service tlsmsg.service options server runtime tlsmsg after " tlsmsg.socket")
# Folders of its own: the end of a service takes its runtime folder away with all in it. Whatever an
# instance is called, they are nobody else's: "spool" is not the client's /var/lib/tlsmsg-spool.
tlsmsg_unit(tlsmsg.service tlsmsg-server@.service options %i runtime tlsmsg-server-%i title " %i"
    purpose ", one of several: `systemctl start tlsmsg-server@NAME`"
    earlier "\n# Where its store was before, so that a configuration that names it goes on working.
ReadWritePaths=-/var/lib/tlsmsg-%i")
set(tlsmsg_units tlsmsg.service tlsmsg-server@.service tlsmsg.socket)
if(NOT TLSMSG_PLAINTEXT)
    tlsmsg_unit(tlsmsg-renew.service tlsmsg-renew.service)
    tlsmsg_unit(tlsmsg-renew.timer tlsmsg-renew.timer)
    list(APPEND tlsmsg_units tlsmsg-renew.service tlsmsg-renew.timer)
    # certbot runs it, nobody else.
    set(tlsmsg_libexec_dir ${CMAKE_INSTALL_LIBEXECDIR}/tlsmsg)
    cmake_path(ABSOLUTE_PATH tlsmsg_libexec_dir BASE_DIRECTORY ${CMAKE_INSTALL_PREFIX}
               OUTPUT_VARIABLE tlsmsg_full_libexec_dir)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/certbot/deploy.in
                   ${PROJECT_BINARY_DIR}/packaging/certbot-deploy @ONLY)
    install(PROGRAMS ${PROJECT_BINARY_DIR}/packaging/certbot-deploy
        DESTINATION ${tlsmsg_libexec_dir} COMPONENT server)
endif()
foreach(unit ${tlsmsg_units})
    install(FILES ${PROJECT_BINARY_DIR}/packaging/${unit} DESTINATION ${TLSMSG_SYSTEMD_DIR}
        COMPONENT server)
endforeach()
if(TLSMSG_SQLITE)
    set(tlsmsg_unit_spool /var/lib/tlsmsg-spool/%i.db)
    foreach(kind service timer)
        tlsmsg_unit(tlsmsg-spool.${kind} tlsmsg-spool@.${kind})
        install(FILES ${PROJECT_BINARY_DIR}/packaging/tlsmsg-spool@.${kind}
            DESTINATION ${TLSMSG_SYSTEMD_DIR} COMPONENT client)
    endforeach()
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/systemd/server.conf.in
               ${PROJECT_BINARY_DIR}/packaging/server.conf @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/packaging/server.conf DESTINATION ${tlsmsg_etc_dir}
    COMPONENT server)
# logrotate looks there alone.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    install(FILES packaging/systemd/logrotate RENAME tlsmsg DESTINATION /etc/logrotate.d
        COMPONENT server)
endif()

if(PROJECT_IS_TOP_LEVEL)
    include(${CMAKE_CURRENT_LIST_DIR}/cpack.cmake)
endif()
