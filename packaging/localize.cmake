# Makes a static library's hidden symbols local, so that an embedding program can have a function
# queue_new of its own: joins all objects into one and hides in it what is hidden in a shared
# library by itself.
#   LIBRARY   the archive, replaced; removed where that fails, so that it is not taken for done
#   LINKER, OBJCOPY, AR   tools of the target's kind
get_filename_component(folder "${LIBRARY}" DIRECTORY)
set(object "${folder}/tlsmsg-localize.o")

function(step)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE result ERROR_VARIABLE words)
    if(NOT result EQUAL 0)
        file(REMOVE "${object}" "${LIBRARY}")
        message(FATAL_ERROR "cannot make the symbols of ${LIBRARY} local: ${words}")
    endif()
endfunction()

step("${LINKER}" -r -z noexecstack --whole-archive "${LIBRARY}" -o "${object}")
step("${OBJCOPY}" --localize-hidden "${object}")
file(REMOVE "${LIBRARY}")
step("${AR}" rcsD "${LIBRARY}" "${object}")
file(REMOVE "${object}")
