// A real trained model (Llama, 260 thousand parameters) against the greedy tokens that an
// independent numpy forward of its fp32 weights produced. The data is not part of the repository.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/json.h"
#include "engine/engine.h"

namespace lotse {
namespace {

class StoriesTest : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(StoriesTest, GeneratesTheRecordedTokens) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const auto folder = std::filesystem::path(data) / "models" / "stories260K";
  const Json golden = read_json_file((folder / "golden_greedy.json").string()).value();
  const auto expected = golden.at("greedy_ids").get<std::vector<int32_t>>();
  const auto [file, device] = GetParam();
  EngineOptions options;
  options.device = device;
  options.threads = 1;
  const auto engine = Engine::open(folder / file, options).value();
  const auto session = engine->make_session();
  // greedy_ids begins with the prompt, the beginning-of-text token.
  const std::span prompt = std::span(expected).first(1);
  const auto wanted = static_cast<int64_t>(expected.size()) - 1;
  const auto result =
      engine->generate(*session, prompt, {}, wanted, [](int32_t) { return true; }).value();
  EXPECT_EQ(result.tokens, std::vector<int32_t>(expected.begin() + 1, expected.end()));
}

INSTANTIATE_TEST_SUITE_P(Formats, StoriesTest,
                         testing::Combine(testing::Values("hf-f32", "stories260K-F32.gguf",
                                                          "stories260K.bin"),
                                          testing::Values("reference", "cpu")));

}  // namespace
}  // namespace lotse
