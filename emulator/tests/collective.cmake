# A program of its own: it needs four devices and starts itself again as other ranks.
add_executable(emulator_collective_test
  collective_cases.cc
  collective_failure_test.cc
  collective_main.cc
  collective_test.cc
  moe_distribute_cases.cc
  moe_distribute_test.cc
  support.cc)
target_link_libraries(emulator_collective_test PRIVATE emulator_options Threads::Threads
  ascendcl nnopbase opapi hccl GTest::gmock GTest::gtest)
add_test(NAME emulator_collective COMMAND emulator_collective_test)
# Chips with ranks for shared experts.
add_test(NAME emulator_collective_910c
  COMMAND emulator_collective_test --gtest_filter=DistributedExperts.*)
set_tests_properties(emulator_collective_910c PROPERTIES
  ENVIRONMENT "LOTSE_EMULATOR_SOC=Ascend910C")
