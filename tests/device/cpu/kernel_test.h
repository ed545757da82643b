// What the kernel tests share: every instruction set of the build as a parameter, random data.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/isa.h"

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

// Deterministic random numbers.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float normal(float deviation = 1) {
    return std::normal_distribution<float>(0, deviation)(engine_);
  }
  std::vector<float> normals(int64_t count, float deviation = 1) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(deviation);
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

// |actual − expected| ≤ relative · |expected| + absolute, where NaN matches NaN.
inline testing::AssertionResult near(double actual, double expected, double relative,
                                     double absolute) {
  if (std::isnan(actual) && std::isnan(expected)) return testing::AssertionSuccess();
  if (actual == expected) return testing::AssertionSuccess();
  if (std::abs(actual - expected) <= relative * std::abs(expected) + absolute) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << actual << " instead of " << expected;
}

}  // namespace lotse::cpu
