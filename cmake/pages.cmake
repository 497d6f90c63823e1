# generated_page(NAME PROGRAM FILE): docs/FILE is what PROGRAM prints. The target NAME-docs writes it
# anew; the test docs_NAME fails where they differ, and prints that command.
function(generated_page name program file)
  set(page ${PROJECT_SOURCE_DIR}/docs/${file})
  add_custom_target(${name}-docs COMMAND ${program} > "${page}" VERBATIM)
  add_test(NAME docs_${name}
           COMMAND sh -c "\"$0\" | diff -u \"$1\" - || ! echo \"$1 is out of date: $2\""
                   $<TARGET_FILE:${program}> "${page}" "ninja -C ${CMAKE_BINARY_DIR} ${name}-docs")
endfunction()
