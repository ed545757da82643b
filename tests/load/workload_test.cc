// Workloads: drawn, recorded, scaled and cut; and the prompts made for them.
#include "load/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace lotse {
namespace {

class TraceTest : public testing::Test {
 protected:
  Result<Workload> read(const std::string& text, int64_t limit = 1000) {
    const auto path = std::filesystem::path(testing::TempDir()) /
                      testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ofstream(path, std::ios::binary) << text;
    auto workload = read_trace(path, limit);
    std::filesystem::remove(path);
    return workload;
  }
  void expect_error(const std::string& text, const std::string& part) {
    const auto workload = read(text);
    ASSERT_FALSE(workload) << text;
    EXPECT_NE(workload.error().message.find(part), std::string::npos)
        << workload.error().message << "\ndoes not tell of " << part;
  }
};

const std::string kAzure = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

TEST_F(TraceTest, Azure) {
  const auto workload = read(kAzure +
                             "2023-11-16 23:59:59.5000000,374,44\r\n"
                             "2023-11-17 00:00:01.2500000,0,0\n\n"
                             "2023-11-17T01:00:01.25+00:00,9,8\n");
  ASSERT_TRUE(workload) << workload.error().message;
  ASSERT_EQ(workload->size(), 3u);
  EXPECT_EQ((*workload)[0].at_seconds, 0);
  EXPECT_EQ((*workload)[0].input_tokens, 374);
  EXPECT_EQ((*workload)[0].output_tokens, 44);
  EXPECT_DOUBLE_EQ((*workload)[1].at_seconds, 1.75);
  EXPECT_EQ((*workload)[1].input_tokens, 1);
  EXPECT_DOUBLE_EQ((*workload)[2].at_seconds, 3601.75);
}

TEST_F(TraceTest, Mooncake) {
  const auto workload = read(
      "{\"timestamp\": 500, \"input_length\": 700, \"output_length\": 5, \"hash_ids\": [0, 7]}\n"
      "{\"timestamp\": 2000, \"input_length\": 1, \"output_length\": 2}\n"
      "{\"timestamp\": 2000, \"input_length\": 1, \"output_length\": 3}\n",
      2);
  ASSERT_TRUE(workload) << workload.error().message;
  ASSERT_EQ(workload->size(), 2u);
  EXPECT_EQ((*workload)[0].blocks, (std::vector<int64_t>{0, 7}));
  EXPECT_DOUBLE_EQ((*workload)[1].at_seconds, 1.5);
  EXPECT_EQ((*workload)[1].output_tokens, 2);
}

TEST_F(TraceTest, MistakesAreNamed) {
  expect_error("", "no requests");
  expect_error(kAzure, "no requests");
  expect_error("time,tokens\n1,2\n", "column TIMESTAMP");
  expect_error(kAzure + "2023-11-16 18:17:03.9,5,6\n2023-02-30 18:17:03.9,5,6\n", ":3: TIMESTAMP");
  expect_error(kAzure + "yesterday,5,6\n", ":2: TIMESTAMP");
  expect_error(kAzure + "2023-11-16 18:17:03.9,-5,6\n", ":2: ContextTokens");
  expect_error(kAzure + "2023-11-16 18:17:03.9,5\n", ":2: GeneratedTokens");
  expect_error(kAzure + "2023-11-16 18:17:03.9,5,99999999999999999999\n", ":2: GeneratedTokens");
  expect_error(kAzure + "2023-11-16 18:17:03.9,5,6\n2023-11-16 18:17:02.9,5,6\n", "in the order");
  expect_error("{\"timestamp\": 1}\n", "input_length");
  expect_error("{\"timestamp\": -1, \"input_length\": 1, \"output_length\": 1}\n", "timestamp");
  expect_error("{\"timestamp\": 1, \"input_length\": 1e30, \"output_length\": 1}\n",
               "input_length");
  expect_error("{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": 3}",
               "hash_ids");
  expect_error("{\"timestamp\": 1,\n", ":1");
  expect_error("{}\n[]\n", ":1");
}

TEST_F(TraceTest, PublishedTraces) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const auto folder = std::filesystem::path(data) / "traces";
  const auto count = [&](const char* name) {
    const auto workload = read_trace(folder / name, 1 << 20);
    EXPECT_TRUE(workload) << workload.error().message;
    return workload ? std::ssize(*workload) : 0;
  };
  EXPECT_EQ(count("azure-2023-code.csv"), 8819);
  EXPECT_EQ(count("azure-2023-conv.csv"), 19366);
  EXPECT_EQ(count("mooncake-conversation.jsonl"), 12031);
}

TEST(Workload, LengthRanges) {
  EXPECT_EQ(parse_length_range("7")->low, 7);
  EXPECT_EQ(parse_length_range("7")->high, 7);
  EXPECT_EQ(parse_length_range("7:70")->high, 70);
  for (const char* text : {"", "0", "-1", "7:", ":7", "70:7", "7:70:1", "7x", "99999999999999"}) {
    EXPECT_FALSE(parse_length_range(text)) << text;
  }
}

TEST(Workload, DrawnLengthsAndTimes) {
  Workload workload = synthetic_workload({20000, LengthRange{10, 20}, std::nullopt, 3});
  arrive_at_random(workload, 50, 3);
  std::vector<double> counts(21);
  double sum = 0;
  for (const PlannedRequest& request : workload) {
    ASSERT_GE(request.input_tokens, 10);
    ASSERT_LE(request.input_tokens, 20);
    ASSERT_GE(request.output_tokens, 1);
    ASSERT_LE(request.output_tokens, 1024);
    ++counts[static_cast<size_t>(request.input_tokens)];
    sum += static_cast<double>(request.output_tokens);
  }
  for (size_t length = 10; length <= 20; ++length) EXPECT_NEAR(counts[length], 20000 / 11.0, 200);
  // A log-normal distribution of mean 338 and deviation 1, cut at 1024: by its partial expectation,
  // its mean is 301.4.
  EXPECT_NEAR(sum / 20000, 301.4, 8);
  // Times of a Poisson process: the last is about n / rate, gaps are as often above their mean as
  // exponential ones are.
  EXPECT_NEAR(workload.back().at_seconds, 400, 12);
  int64_t above = 0;
  for (size_t i = 1; i < workload.size(); ++i) {
    const double gap = workload[i].at_seconds - workload[i - 1].at_seconds;
    ASSERT_GE(gap, 0);
    above += gap > 1.0 / 50 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(above) / 20000, std::exp(-1.0), 0.02);
  const Workload again = synthetic_workload({20000, LengthRange{10, 20}, std::nullopt, 3});
  EXPECT_EQ(again[777].output_tokens, workload[777].output_tokens);
}

TEST(Workload, ScalesAndFits) {
  Workload workload = {{0, 2000, 100, {1, 2, 3, 4}}, {10, 3, 4000, {}}, {20, 50, 50, {}}};
  speed_up(workload, 4);
  EXPECT_DOUBLE_EQ(workload[2].at_seconds, 5);
  scale_lengths(workload, 0.5);
  EXPECT_EQ(workload[0].input_tokens, 1000);
  EXPECT_EQ(workload[0].blocks, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(workload[1].input_tokens, 2);
  EXPECT_EQ(fit_context(workload, 512), 2);
  for (const PlannedRequest& request : workload) {
    EXPECT_LE(request.input_tokens + request.output_tokens, 512);
    EXPECT_GE(request.input_tokens, 1);
    EXPECT_GE(request.output_tokens, 1);
  }
  EXPECT_EQ(workload[2].input_tokens + workload[2].output_tokens, 50);
}

TEST(Prompts, TokensHaveTheExactLengthAndShareTheirBlocks) {
  const PromptMaker maker({5, 9, 7, 7, 30}, 1.5, 1);
  const auto first = maker.tokens({0, 1300, 1, {4, 8, 15}}, 0);
  const auto second = maker.tokens({0, 1100, 1, {4, 8, 16}}, 1);
  ASSERT_EQ(first.size(), 1300u);
  ASSERT_EQ(second.size(), 1100u);
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 1024, second.begin()));
  EXPECT_FALSE(std::equal(first.begin() + 1024, first.begin() + 1100, second.begin() + 1024));
  for (const int32_t token : first)
    EXPECT_TRUE(token == 5 || token == 9 || token == 7 || token == 30);
  // Prompts of one request each have nothing in common, and are the same each time.
  EXPECT_NE(maker.tokens({0, 40, 1, {}}, 0), maker.tokens({0, 40, 1, {}}, 1));
  EXPECT_EQ(maker.tokens({0, 40, 1, {}}, 2), maker.tokens({0, 40, 1, {}}, 2));
  EXPECT_EQ(maker.tokens({0, 600, 1, {3}}, 0).size(), 600u);
}

TEST(Prompts, TextsHaveAboutTheLength) {
  const PromptMaker maker({1, 2}, 2, 1);
  const std::string text = maker.text({0, 600, 1, {3}}, 0);
  std::istringstream words(text);
  const auto count = std::distance(std::istream_iterator<std::string>(words), {});
  EXPECT_EQ(count, 300);
  EXPECT_TRUE(maker.text({0, 900, 1, {3}}, 5).starts_with(text.substr(0, 512)));
}

}  // namespace
}  // namespace lotse
