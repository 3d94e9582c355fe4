# Read by cpack once for each kind of package.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
    list(REMOVE_ITEM CPACK_COMPONENTS_ALL transitional)
endif()
