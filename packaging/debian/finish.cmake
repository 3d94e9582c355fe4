# What Debian wants of every package, done to the staged files: compressed manuals, the changelog,
# news for who upgrades, the licence and other texts in a folder of the package's own name, and the reasons for what
# lintian finds.
cmake_policy(VERSION 3.25)
if(CPACK_PACKAGE_CONTACT MATCHES "\\.invalid>$")
    message(NOTICE "Maintainer of the packages: ${CPACK_PACKAGE_CONTACT}\n"
                   "To give them to others: cmake -D 'TLSMSG_PACKAGER=Name <address>'")
endif()
if(NOT CPACK_GENERATOR STREQUAL "DEB")
    return()
endif()
# Without it cpack would make packages that need no library at all, and say so in one quiet line.
find_program(shlibdeps dpkg-shlibdeps)
if(NOT shlibdeps)
    message(FATAL_ERROR "dpkg-shlibdeps is missing, which finds what the packages depend on; "
                        "try: apt-get install dpkg-dev")
endif()
find_program(gzip gzip REQUIRED)
set(source "${CMAKE_CURRENT_LIST_DIR}/../..")
# As of SOURCE_DATE_EPOCH, where that is set.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
set(changelog "tlsmsg (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n\
  * What changed is told in CHANGELOG.md of tlsmsg-server.\n\n\
 -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")

foreach(component ${CPACK_COMPONENTS_ALL})
    string(TOUPPER ${component} upper)
    set(package "${CPACK_DEBIAN_${upper}_PACKAGE_NAME}")
    set(share "${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share")
    set(doc "${share}/doc/${package}")
    if(EXISTS "${share}/doc/tlsmsg")
        file(RENAME "${share}/doc/tlsmsg" "${doc}")
    endif()
    file(MAKE_DIRECTORY "${doc}")
    configure_file("${source}/LICENSE" "${doc}/copyright" COPYONLY)
    file(WRITE "${doc}/changelog" "${changelog}")
    file(REMOVE "${doc}/LICENSE")
    set(news)
    if(EXISTS "${CMAKE_CURRENT_LIST_DIR}/${component}/NEWS.in")
        set(news "${doc}/NEWS.Debian")
        configure_file("${CMAKE_CURRENT_LIST_DIR}/${component}/NEWS.in" "${news}" @ONLY)
    endif()
    file(GLOB manuals "${share}/man/man*/*.[137]")
    # -n: no time in it.
    execute_process(COMMAND "${gzip}" -9n ${manuals} "${doc}/changelog" ${news}
                    COMMAND_ERROR_IS_FATAL ANY)
    set(overrides "${CMAKE_CURRENT_LIST_DIR}/${component}/lintian-overrides")
    if(EXISTS "${overrides}")
        file(MAKE_DIRECTORY "${share}/lintian/overrides")
        file(READ "${overrides}" text)
        string(REPLACE "libtlsmsg0.2" "${package}" text "${text}")
        file(WRITE "${share}/lintian/overrides/${package}" "${text}")
    endif()
endforeach()
