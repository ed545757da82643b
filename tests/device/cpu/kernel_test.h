// What the kernel tests share: every instruction set of the build as a parameter, random data.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/isa.h"
#include "tests/device/program_under_test.h"

namespace lotse::cpu {

// A test for every table of this build; one that the machine cannot run is reported as not run.
class KernelTest : public testing::TestWithParam<InstructionSet> {
 protected:
  void SetUp() override {
    if (!GetParam().missing.empty()) {
      GTEST_SKIP() << "not run: this machine lacks " << GetParam().missing;
    }
  }
  const KernelTable& kernels() const { return *GetParam().kernels; }
};

inline std::string isa_name(const testing::TestParamInfo<InstructionSet>& info) {
  return info.param.kernels->name;
}

}  // namespace lotse::cpu
