// Tokens chosen among the likeliest that the device brings are those chosen among all logits.
#include "device/ascend/ascend_device.h"
#include "engine/engine.h"
#include "tests/device/program_under_test.h"

namespace lotse {
namespace {

constexpr int64_t kColumns = 32;

// The embedding of a token, then the head: logits with the rows of the head as they are.
Program table_and_head() {
  Ops ops;
  ValueId x = ops.embed("embed", kVocabulary, kColumns, 1);
  x = ops.gather_rows(x);
  return ops.finish(ops.linear("head", x, ops.matrix({"head"}, kVocabulary, kColumns)));
}

// Logits of few values, so that many are equal.
std::vector<Weight> coarse_weights(const Program& program, uint64_t seed) {
  Random random(seed);
  std::vector<Weight> weights;
  for (const WeightDecl& decl : program.weights) {
    std::vector<float> values(at(decl.rows * decl.columns));
    for (float& v : values) v = static_cast<float>(random.between(-1, 1));
    weights.push_back({{{WeightFormat::f32,
                         decl.rows,
                         decl.columns,
                         make_tensor(DType::f32, {decl.rows, decl.columns}, std::move(values)),
                         {}}}});
  }
  return weights;
}

TEST(AscendSampling, BringsTheLargestLogitsAndTheMass) {
  const auto device = make_ascend_device(0).value();
  const Program program = table_and_head();
  ExecutionLimits limits = limits_of(DType::f32);
  limits.block_tokens = 128;
  const auto executable = device->load(program, coarse_weights(program, 3), limits).value();
  const std::vector<int32_t> tokens = {4, 80, 13}, positions = {0, 1, 2}, rows = {2, 0},
                             blocks = {0};
  const BatchSequence sequence{0, 3, 3, blocks};
  const Batch batch{tokens, positions, {&sequence, 1}, rows};
  const auto run = executable->run(batch).value();
  const std::vector<float> all(run.begin(), run.end());
  for (const int64_t count : {int64_t{1}, int64_t{2}, int64_t{10}, kVocabulary}) {
    const auto top = executable->run_top(batch, {count, 2});
    ASSERT_TRUE(top) << top.error().message;
    ASSERT_EQ(std::ssize(top->tokens), 2 * count);
    for (size_t row = 0; row < 2; ++row) {
      const auto logits = std::span(all).subspan(row * at(kVocabulary), at(kVocabulary));
      std::vector<int32_t> order(at(kVocabulary));
      std::iota(order.begin(), order.end(), 0);
      std::ranges::sort(order, [&](int32_t a, int32_t b) {
        return logits[at(a)] > logits[at(b)] || (logits[at(a)] == logits[at(b)] && a < b);
      });
      double mass = 0;
      for (const float v : logits)
        mass += std::exp((static_cast<double>(v) - static_cast<double>(logits[at(order[0])])) / 2);
      EXPECT_NEAR(static_cast<double>(top->masses[row]), mass, kMassError * mass / 10);
      for (size_t i = 0; i < at(count); ++i) {
        EXPECT_EQ(top->tokens[row * at(count) + i], order[i]) << row << " " << i;
        EXPECT_EQ(top->logits[row * at(count) + i], logits[at(order[i])]);
      }
    }
    const auto again = executable->last_logits().value();
    EXPECT_TRUE(std::ranges::equal(again, all));
  }
}

TEST(AscendSampling, AnEngineDrawsTheTokensOfAllLogits) {
  EngineOptions options;
  options.device = "ascend:0";
  options.context = 512;
  const auto engine =
      Engine::open(std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano", options).value();
  ASSERT_GT(engine->executable().max_top(), 0);
  const std::vector<int32_t> prompt = {5, 300, 17, 42};
  constexpr int64_t kTokens = 48;
  const std::vector<SamplingParams> cases = {
      {},
      {.temperature = 1, .top_k = 20, .top_p = 0.95f, .seed = 1},
      {.temperature = 0.7f, .top_p = 0.9f, .seed = 2},
      {.temperature = 1, .seed = 3},
      {.temperature = 0.9f, .top_k = 30, .repetition_penalty = 1.2f, .seed = 4}};
  for (const SamplingParams& params : cases) {
    const auto session = engine->make_session();
    const auto result =
        engine->generate(*session, prompt, params, kTokens, [](int32_t) { return true; });
    ASSERT_TRUE(result) << result.error().message;
    const auto other = engine->make_session();
    Sampler sampler(params);
    sampler.see_prompt(prompt);
    auto logits = other->append(prompt).value();
    for (const int32_t token : result->tokens) {
      ASSERT_EQ(sampler.sample(logits), token) << params.seed;
      logits = other->append({&token, 1}).value();
    }
  }
}

}  // namespace
}  // namespace lotse
