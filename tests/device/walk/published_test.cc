// The cost walk against published measurements: a roofline must stay below them, but not far.
#include <gtest/gtest.h>

#include "device/walk/step.h"
#include "programs.h"

namespace lotse {
namespace {

constexpr double kShare = 0.6;  // of the published time that the roofline must explain

void expect_explains(double seconds, double published) {
  EXPECT_LE(seconds, published);
  EXPECT_GE(seconds, kShare * published);
}

// Qwen3-8B in BF16 on two 910B: decode of 32 sequences at context 1536 in 15.4 ms, prefill of
// 8 x 1024 in 438 ms (the baseline of a performance model for Ascend).
TEST(Published, Qwen3OnTwo910B) {
  LOTSE_NEED_DATA();
  const Program program = program_of("Qwen--Qwen3-8B");
  const Storage storage = uniform_storage(program, "bf16", "bf16");
  const ChipProfile chip = load_chip("ascend-910b2").value();
  expect_explains(step_time(program, storage, {32, 1, 1536, 1}, chip, 2).value().seconds, 15.4e-3);
  expect_explains(step_time(program, storage, {8, 1024, 1024, 1}, chip, 2).value().seconds, 438e-3);
}

// Llama 3.1 70B in FP8 on H100, vLLM, prompts and answers of 1024: milliseconds a token at 4 and 16
// sequences on two and four cards.
TEST(Published, Llama70BOnH100) {
  LOTSE_NEED_DATA();
  const Program program = program_of("meta-llama--Meta-Llama-3.1-70B");
  Storage storage = uniform_storage(program, "bf16", "bf16");
  quantise(storage, program, "fp8_tensor", 0);
  const ChipProfile chip = load_chip("h100").value();
  const auto decode = [&](int64_t sequences, int64_t cards) {
    return step_time(program, storage, {sequences, 1, 1536, 1}, chip, cards).value().seconds;
  };
  expect_explains(decode(4, 2), 17.4e-3);
  expect_explains(decode(16, 2), 19.7e-3);
  expect_explains(decode(4, 4), 11.8e-3);
  expect_explains(decode(16, 4), 13.2e-3);
}

}  // namespace
}  // namespace lotse
