# embed(MACRO FILE...): generated/MACRO.h has the macro MACRO(X), which is X(ID, NAME, HASH, PATH) for
# each file: its name as a word of C and as text, and the beginning of the SHA-256 of its content.
# The assembler takes the content in by the path.
function(embed macro)
  set(rows "#define ${macro}(X)")
  foreach(path ${ARGN})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    get_filename_component(name ${path} NAME)
    string(MAKE_C_IDENTIFIER ${name} id)
    file(SHA256 ${path} hash)
    string(SUBSTRING ${hash} 0 12 hash)
    string(APPEND rows " \\\n    X(${id}, \"${name}\", \"${hash}\", \"${path}\")")
  endforeach()
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/generated/${macro}.h CONTENT "${rows}\n")
endfunction()

# packed(FILE...): generated/NAME.gz of each.
function(packed)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
  foreach(path ${ARGN})
    get_filename_component(name ${path} NAME)
    execute_process(COMMAND gzip -9nc ${path} OUTPUT_FILE ${CMAKE_BINARY_DIR}/generated/${name}.gz
                            COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endfunction()
