#include "source/rules.h"

#include <gtest/gtest.h>

#include <set>

namespace lotse {
namespace {

std::string error_of(const std::string& text) {
  const auto table = RuleTable::parse(text, "m.toml");
  return table ? "" : table.error().message;
}

constexpr const char* kRule =
    "[[rule]]\nname = 'r'\ntopic = 't'\nin = ['cpp.name']\nsource = 's'\ncounterpart = 'c'\n";

TEST(Rules, MistakesNameTheRule) {
  const std::string rule = kRule;
  EXPECT_EQ(error_of(rule + "match = ['a']"), "");
  EXPECT_EQ(error_of("x = 1"), "m.toml: expected [[rule]] tables and nothing else");
  EXPECT_EQ(error_of(rule), "m.toml:1: rule \"r\": match is missing");
  EXPECT_EQ(error_of(rule + "match = []"),
            "m.toml:1: rule \"r\": match: expected an array of strings");
  EXPECT_EQ(error_of(rule + "match = ['a*b']"),
            "m.toml:1: rule \"r\": match: \"a*b\": a star stands at the end, or at both ends");
  EXPECT_EQ(error_of(rule + "match = ['a']\nkind = 'easy'"),
            "m.toml:1: rule \"r\": kind: unknown \"easy\"; known: rename, rewrite, impossible");
  EXPECT_EQ(error_of(rule + "match = ['a']\nkind = 'impossible'"),
            "m.toml:1: rule \"r\": note is missing: say why it is impossible");
  EXPECT_EQ(error_of(rule + "match = ['a']\nhours = [2, 1]"),
            "m.toml:1: rule \"r\": hours: expected [low, high] with 0 <= low <= high");
  EXPECT_EQ(error_of(rule + "match = ['a']\nspeed = 1"),
            "m.toml:1: rule \"r\": unknown key \"speed\"");
  EXPECT_EQ(error_of(rule + "match = ['a']\nreplace = ['b', 'c']"),
            "m.toml:1: rule \"r\": match: \"a\" does not begin with \"b\"");
  EXPECT_EQ(error_of("[[rule]]\nname = 'r'\ntopic = 't'\nin = ['moon']\n"),
            "m.toml:1: rule \"r\": in: unknown place \"moon\"");
  EXPECT_TRUE(error_of("[[rule]").starts_with("m.toml:1: "));
  EXPECT_EQ(error_of(rule + "match = ['\xc3\xa4']"), "m.toml:7: expected ASCII only");
}

TEST(Rules, BuiltinTableIsWhole) {
  const RuleTable& table = RuleTable::builtin();
  std::set<std::string> names;
  std::set<std::string> patterns;
  for (const Rule& rule : table.rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_GT(rule.verdict.hours.high, 0) << rule.name;
    EXPECT_LE(rule.topic.size(), 33u) << rule.topic;
  }
  for (const RuleTable::Pattern& pattern : table.patterns()) {
    const Rule& rule = table.rules()[pattern.rule];
    if (rule.arguments) continue;
    for (const Place place : rule.places) {
      const std::string key = std::string(name(place)) + " " + pattern.text;
      EXPECT_TRUE(patterns.insert(key).second) << key << " stands in two rules";
    }
  }
}

Use use_of(Place place, const std::string& text) { return {.place = place, .text = text}; }

std::string rule_of(const Use& use, const SourceTarget* target = nullptr) {
  const auto match = RuleTable::builtin().match(use, target);
  return match ? match->rule->name : "";
}

TEST(Rules, TheLongestPatternWins) {
  EXPECT_EQ(rule_of(use_of(Place::python_name, "torch.cuda")), "torch-cuda-module");
  EXPECT_EQ(rule_of(use_of(Place::python_name, "torch.cuda.Event.record")), "torch-cuda");
  EXPECT_EQ(rule_of(use_of(Place::python_name, "torch.cuda.Events")), "torch-cuda-other");
  EXPECT_EQ(rule_of(use_of(Place::python_name, "torch.cudart")), "");
  EXPECT_EQ(rule_of(use_of(Place::python_name, "mytorch.cuda")), "");
  EXPECT_EQ(rule_of(use_of(Place::cpp_name, "at::cuda::getCurrentCUDAStream")), "torch-cpp-stream");
  EXPECT_EQ(rule_of(use_of(Place::cpp_name, "at::cudaStream")), "");
  EXPECT_EQ(rule_of(use_of(Place::cpp_name, "cub::BlockReduce")), "thrust-cub");
  EXPECT_EQ(rule_of(use_of(Place::cpp_name, "cubic")), "");
}

TEST(Rules, TargetsDecideDtypes) {
  const SourceTarget b3{"910B3", {"f16", "bf16", "i8"}};
  const SourceTarget p3{"310P", {"f16", "i8"}};
  const SourceTarget next{"950", {"f16", "bf16", "i8", "f8_e4m3"}};
  const Use fp8 = use_of(Place::python_name, "torch.float8_e4m3fn");
  const RuleTable& table = RuleTable::builtin();
  EXPECT_EQ(table.match(fp8, nullptr)->verdict.kind, WorkKind::impossible);
  EXPECT_EQ(table.match(fp8, &b3)->verdict.kind, WorkKind::impossible);
  EXPECT_EQ(table.match(fp8, &next)->verdict.kind, WorkKind::rewrite);
  const Use bf16 = use_of(Place::python_name, "torch.bfloat16");
  EXPECT_EQ(rule_of(bf16), "");
  EXPECT_EQ(rule_of(bf16, &b3), "");
  ASSERT_EQ(rule_of(bf16, &p3), "torch-bfloat16");
  EXPECT_EQ(table.match(bf16, &p3)->verdict.counterpart, "torch.float16");
  EXPECT_EQ(rule_of(use_of(Place::python_string, "fp8"), &next), "");
}

}  // namespace
}  // namespace lotse
