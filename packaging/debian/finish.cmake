# What Debian wants of every package, done to the staged files: compressed manuals, the changelog
# and the licence in a folder of the package's own name.
if(CPACK_PACKAGE_CONTACT MATCHES "\\.invalid>$")
    message(NOTICE "Maintainer of the packages: ${CPACK_PACKAGE_CONTACT}\n"
                   "To give them to others: cmake -D 'TLSMSG_PACKAGER=Name <address>'")
endif()
if(NOT CPACK_GENERATOR STREQUAL "DEB")
    return()
endif()
set(source "${CMAKE_CURRENT_LIST_DIR}/../..")
find_program(gzip gzip REQUIRED)

foreach(component Unspecified development)
    set(share "${CPACK_TEMPORARY_DIRECTORY}/${component}/usr/share")
    if(component STREQUAL "development")
        set(doc "${share}/doc/libtlsmsg-dev")
    else()
        set(doc "${share}/doc/tlsmsg")
    endif()
    file(MAKE_DIRECTORY "${doc}")
    configure_file("${source}/LICENSE" "${doc}/copyright" COPYONLY)
    configure_file("${source}/CHANGELOG.md" "${doc}/changelog" COPYONLY)
    file(REMOVE "${doc}/LICENSE" "${doc}/CHANGELOG.md")
    file(GLOB manuals "${share}/man/man*/*.[137]")
    # -n: no time in it, so that the same source gives the same package.
    execute_process(COMMAND "${gzip}" -9n ${manuals} "${doc}/changelog" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
