# One interface target that every target of this project links: language mode, warnings, hardening.
add_library(project_options INTERFACE)
target_compile_definitions(project_options INTERFACE _GNU_SOURCE)
target_include_directories(project_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(
  project_options
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wformat=2
            -Wundef
            -Wvla
            -Wwrite-strings
            -Wpointer-arith
            -Wcast-qual
            -Wcast-align
            $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
            $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
            -Wmissing-declarations
            -Wredundant-decls
            $<$<COMPILE_LANGUAGE:C>:-Wold-style-definition>
            -Wconversion
            -Wno-sign-conversion
            -Wfloat-equal
            -Wdouble-promotion
            -Wimplicit-fallthrough
            -Wswitch-enum
            -Wnull-dereference
            -fno-common
            -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(
    project_options INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wrestrict
                              -Wformat-overflow=2 $<$<COMPILE_LANGUAGE:C>:-Wjump-misses-init> -Wtrampolines)
endif()
if(WARNINGS_AS_ERRORS)
  target_compile_options(project_options INTERFACE -Werror)
endif()
if(FUZZ)
  target_compile_options(project_options INTERFACE -fsanitize=fuzzer-no-link -w)
endif()
if(SANITIZE)
  # Without optimisation the tests take much longer. What GCC says of a value's range is left to release
  # builds: the sanitizers' code has paths on which no value comes.
  target_compile_options(project_options INTERFACE -O1
                                                   -Wno-maybe-uninitialized
                                                   -Wno-null-dereference
                                                   -Wno-format-truncation
                                                   -Wno-format-overflow
                                                   -fsanitize=address,undefined
                                                   -fno-sanitize-recover=all
                                                   -fno-omit-frame-pointer)
  target_link_options(project_options INTERFACE -fsanitize=address,undefined)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(project_options INTERFACE -D_FORTIFY_SOURCE=2 -fstack-clash-protection
                                                   -fcf-protection)
  target_link_options(project_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()
