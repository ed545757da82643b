// Percentiles and goodput against values counted by hand, and the reports made of them.
#include "load/summary.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "load/report.h"

namespace lotse {
namespace {

TEST(Percentiles, KnownValues) {
  EXPECT_EQ(percentiles({}).count, 0);
  EXPECT_EQ(percentiles({7}).p99, 7);
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const Percentiles p = percentiles(values);
  EXPECT_EQ(p.count, 101);
  EXPECT_DOUBLE_EQ(p.mean, 50);
  EXPECT_DOUBLE_EQ(p.p50, 50);
  EXPECT_DOUBLE_EQ(p.p90, 90);
  EXPECT_DOUBLE_EQ(p.p99, 99);
  EXPECT_DOUBLE_EQ(p.max, 100);
  // Between two values, as numpy.percentile has it.
  EXPECT_DOUBLE_EQ(percentiles({1, 2, 3, 10}).p50, 2.5);
  EXPECT_DOUBLE_EQ(percentiles({1, 2, 3, 10}).p90, 7.9);
}

RequestRecord record(double sent, double first, double ended, int64_t tokens) {
  RequestRecord r;
  r.due = sent - 0.25;
  r.sent = sent;
  r.first = first;
  r.ended = ended;
  r.texts = {first, ended};
  r.prompt_tokens = 10;
  r.completion_tokens = tokens;
  r.status = 200;
  return r;
}

LoadRun sample() {
  LoadRun run;
  run.server = "http://<host>";
  run.model = "a & b";
  run.seconds = 4;
  run.cpu_seconds = 1;
  run.records = {record(1, 1.5, 3.5, 5), record(1, 3, 4, 11), record(2, 2.5, 2.5, 1)};
  run.records[1].breach = "no [DONE]";
  RequestRecord refused = record(2, 2, 2.1, 0);
  refused.status = 429;
  refused.error = "HTTP 429: full";
  RequestRecord lost = refused;
  lost.status = 0;
  lost.error = "timeout";
  run.records.push_back(refused);
  run.records.push_back(lost);
  return run;
}

TEST(Summary, CountsByHand) {
  const LoadSummary s = summarise(sample(), {600, 300});
  EXPECT_EQ(s.requests, 5);
  EXPECT_EQ(s.answered, 3);
  // The first has 500 ms per token, the second waits 2 s; the third has a single token.
  EXPECT_EQ(s.good, 1);
  EXPECT_EQ(s.completion_tokens, 17);
  EXPECT_DOUBLE_EQ(s.per_second(s.completion_tokens), 4.25);
  EXPECT_DOUBLE_EQ(s.first_token.max, 2);
  EXPECT_DOUBLE_EQ(s.first_token.p50, 0.5);
  EXPECT_EQ(s.per_token.count, 2);
  EXPECT_DOUBLE_EQ(s.per_token.max, 0.5);
  EXPECT_EQ(s.inter_token.count, 3);
  EXPECT_DOUBLE_EQ(s.end_to_end.max, 3);
  EXPECT_DOUBLE_EQ(s.lateness.p50, 0.25);
  EXPECT_DOUBLE_EQ(s.cpu_share, 0.25);
  EXPECT_EQ(s.errors, (std::map<std::string, int64_t>{{"HTTP 429", 1}, {"timeout", 1}}));
  EXPECT_EQ(s.breaches, (std::map<std::string, int64_t>{{"no [DONE]", 1}}));
  EXPECT_EQ(summarise(sample(), {}).good, 3);
}

TEST(Report, SaysTheSameInEveryForm) {
  const LoadRun run = sample();
  const LoadReport report{"5 requests", {600, 300}, run, summarise(run, {600, 300})};
  const std::string text = load_text(report);
  for (const char* part : {"3 of 5 requests answered", "goodput 0.25 requests/s", "429", "timeout",
                           "convention broken: 1 × no [DONE]", "25.0% of one core"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const Json json = Json::parse(load_json(report));
  EXPECT_DOUBLE_EQ(json["ttft_ms"]["max"], 2000);
  EXPECT_EQ(json["good"], 1);
  EXPECT_EQ(json["requests"].size(), 5u);
  EXPECT_EQ(json["requests"][4]["error"], "timeout");
  const std::string page = load_page(report);
  EXPECT_NE(page.find("Load on a &amp; b"), std::string::npos);
  EXPECT_NE(page.find("http://&lt;host&gt;"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("src="), std::string::npos);
  EXPECT_EQ(page.find("nan"), std::string::npos);
  EXPECT_EQ(page.find("inf"), std::string::npos);
}

// Nothing was answered: no division by zero, no plot of nothing.
TEST(Report, OfNothing) {
  const LoadRun run;
  const LoadReport report{"nothing", {}, run, summarise(run, {})};
  EXPECT_NE(load_text(report).find("0 of 0"), std::string::npos);
  EXPECT_TRUE(Json::parse(load_json(report)).is_object());
  EXPECT_EQ(load_page(report).find("nan"), std::string::npos);
}

}  // namespace
}  // namespace lotse
