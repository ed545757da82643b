# Compiler settings and the three functions by which every folder declares its target.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")

find_program(LOTSE_CCACHE ccache)
if(LOTSE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LOTSE_CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(lotse_options INTERFACE)
target_include_directories(lotse_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_options(lotse_options INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -fno-math-errno -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports false positives inside libstdc++ and fmt at -O2, and an `else` inside GoogleTest's
  # macros after every `if`.
  target_compile_options(lotse_options INTERFACE -Wno-array-bounds -Wno-stringop-overflow
    -Wno-maybe-uninitialized -Wno-restrict -Wno-dangling-reference -Wno-dangling-else)
else()
  target_link_options(lotse_options INTERFACE -fuse-ld=lld-19)
endif()
if(LOTSE_SANITIZE)
  target_compile_options(lotse_options INTERFACE -fsanitize=${LOTSE_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(lotse_options INTERFACE -fsanitize=${LOTSE_SANITIZE})
endif()
if(LOTSE_FUZZ)
  target_compile_options(lotse_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# lotse_library(NAME [UNITY] SOURCES a.cc … [DEPS lotse_base …]): the static library lotse_NAME of one
# folder. With UNITY its files are compiled several at a time where LOTSE_UNITY is on, so that their
# names inside the folder must differ.
function(lotse_library name)
  cmake_parse_arguments(arg "UNITY" "" "SOURCES;DEPS" ${ARGN})
  add_library(lotse_${name} STATIC ${arg_SOURCES})
  if(arg_UNITY AND LOTSE_UNITY)
    set_target_properties(lotse_${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  endif()
  target_link_libraries(lotse_${name} PUBLIC lotse_options ${arg_DEPS})
endfunction()

# lotse_test(NAME SOURCES a_test.cc … [DEPS …]): the test program NAME_test, one CTest entry.
function(lotse_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  find_package(GTest REQUIRED)
  add_executable(${name}_test ${arg_SOURCES})
  target_link_libraries(${name}_test PRIVATE lotse_options ${arg_DEPS} GTest::gtest_main)
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name}_test PRIVATE LOTSE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name}_test)
endfunction()

# lotse_fuzzer(NAME SOURCES a.cc DEPS …): the libFuzzer program fuzz_NAME, one of the target
# `fuzzers`.
function(lotse_fuzzer name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(fuzz_${name} ${arg_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE lotse_options ${arg_DEPS})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers fuzz_${name})
endfunction()

# lotse_add_subdirectories(): adds every direct sub-folder that has a CMakeLists.txt.
function(lotse_add_subdirectories)
  file(GLOB children RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS
    ${CMAKE_CURRENT_SOURCE_DIR}/*/CMakeLists.txt)
  foreach(child ${children})
    get_filename_component(folder ${child} DIRECTORY)
    add_subdirectory(${folder})
  endforeach()
endfunction()
