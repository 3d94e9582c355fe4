# What `cmake --install` puts where: the library for other programs (CMake package, pkg-config),
# manuals, completions, service units. The programs themselves are installed by src/app.
#
# What developers need alone is in the component "development"; all else has none, so that a
# package of the programs is what CMake calls Unspecified. Destinations are relative wherever a
# file does not have to be found by an absolute name, so that the tree can be moved.

option(TLSMSG_INSTALL "Install the library, manuals and units" ${PROJECT_IS_TOP_LEVEL})
if(NOT TLSMSG_INSTALL)
    return()
endif()

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
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_COMPONENT development
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
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
    # Hidden means little in an archive: its internal names could clash with its user's.
    if(CMAKE_OBJCOPY AND NOT TLSMSG_SANITIZE)
        if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
            set(folder "${CMAKE_INSTALL_LIBDIR}")
        else()
            set(folder "\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}")
        endif()
        install(CODE "
            set(LIBRARY \"\$ENV{DESTDIR}${folder}/$<TARGET_FILE_NAME:tlsmsg>\")
            set(LINKER \"${CMAKE_LINKER}\")
            set(OBJCOPY \"${CMAKE_OBJCOPY}\")
            set(AR \"${CMAKE_AR}\")
            include(\"${CMAKE_CURRENT_LIST_DIR}/localize.cmake\")"
            COMPONENT development)
    endif()
else()
    set(tlsmsg_is_static OFF)
    # The programs find the library beside themselves, wherever the tree is moved to.
    file(RELATIVE_PATH tlsmsg_bin_to_lib "/p/${CMAKE_INSTALL_BINDIR}" "/p/${CMAKE_INSTALL_LIBDIR}")
    set_target_properties(tlsmsg-server tlsmsg-client PROPERTIES
        INSTALL_RPATH "$ORIGIN/${tlsmsg_bin_to_lib}")
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
# would have to be told --static, and that brings the static dependencies of OpenSSL itself.
if(tlsmsg_is_static)
    set(private "")
else()
    set(private .private)
endif()
set(tlsmsg_pc_needs "")
if(TLSMSG_PLAINTEXT)
    set(tlsmsg_pc_transport plaintext)
else()
    set(tlsmsg_pc_transport TLS)
    string(APPEND tlsmsg_pc_needs "Requires${private}: openssl >= 3.0\n")
endif()
set(tlsmsg_pc_libs "")
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

# ---- manuals and texts

install(FILES docs/man/tlsmsg-server.1 docs/man/tlsmsg-client.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/tlsmsg.7 DESTINATION ${CMAKE_INSTALL_MANDIR}/man7)
install(FILES docs/man/tlsmsg.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT development)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md"
    PATTERN CONTRIBUTING.md EXCLUDE PATTERN examples EXCLUDE PATTERN man EXCLUDE)
install(FILES docs/examples/server.c docs/examples/ask.c docs/examples/poll_client.c
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT development)
install(PROGRAMS scripts/gen-certs.sh scripts/rotate-ticket-keys.sh
    DESTINATION ${tlsmsg_data_dir})

# ---- completions

# Debian's zsh looks for packages' completions in a folder of its own.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr" AND EXISTS /etc/debian_version)
    set(zsh_default ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
else()
    set(zsh_default ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
set(TLSMSG_ZSH_DIR ${zsh_default} CACHE STRING "Where zsh looks for completions")
foreach(program tlsmsg-server tlsmsg-client)
    install(FILES packaging/completions/${program}.bash RENAME ${program}
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    install(FILES packaging/completions/_${program} DESTINATION ${TLSMSG_ZSH_DIR})
    install(FILES packaging/completions/${program}.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endforeach()

# ---- the service

set(TLSMSG_SYSTEMD_DIR lib/systemd/system CACHE STRING "Where systemd looks for units")
foreach(unit tlsmsg.service tlsmsg.socket)
    configure_file(${CMAKE_CURRENT_LIST_DIR}/systemd/${unit}.in
                   ${PROJECT_BINARY_DIR}/packaging/${unit} @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/packaging/${unit} DESTINATION ${TLSMSG_SYSTEMD_DIR})
endforeach()
if(TLSMSG_PLAINTEXT)
    set(tlsmsg_env_options "--accept 0")
else()
    set(tlsmsg_env_options "--cert ${tlsmsg_full_etc_dir}/certs/server.crt \
--key ${tlsmsg_full_etc_dir}/certs/server.key")
endif()
configure_file(${CMAKE_CURRENT_LIST_DIR}/systemd/server.env.in
               ${PROJECT_BINARY_DIR}/packaging/server.env @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/packaging/server.env DESTINATION ${tlsmsg_etc_dir})

if(PROJECT_IS_TOP_LEVEL)
    include(${CMAKE_CURRENT_LIST_DIR}/cpack.cmake)
endif()
