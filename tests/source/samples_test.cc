// Every rule of the mapping has a sample that it knows and one that it does not (samples/*.txt).
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "chip/profile.h"
#include "source/examine.h"

namespace lotse {
namespace {

struct Sample {
  std::string rule;
  std::string target;
  std::string with;
  std::string without;
};

std::vector<Sample> samples_of(const std::string& file) {
  std::ifstream stream(LOTSE_SOURCE_DIR "/tests/source/samples/" + file);
  EXPECT_TRUE(stream) << file;
  std::vector<Sample> samples;
  std::string* text = nullptr;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("=== ")) {
      std::istringstream words(line.substr(4));
      samples.emplace_back();
      words >> samples.back().rule >> samples.back().target;
      text = &samples.back().with;
    } else if (line == "---") {
      text = &samples.back().without;
    } else if (text != nullptr) {
      *text += line + "\n";
    }
  }
  return samples;
}

bool finds(const Sample& sample, const std::string& source, Language language) {
  std::optional<SourceTarget> target;
  if (!sample.target.empty()) {
    const ChipProfile chip = load_chip(sample.target).value();
    target = SourceTarget{chip.title, chip.matmul};
  }
  const Examined examined =
      examine_source(source, language, RuleTable::builtin(), target ? &*target : nullptr);
  return std::ranges::any_of(
      examined.findings, [&](const Finding& finding) { return finding.rule->name == sample.rule; });
}

TEST(Samples, EveryRuleKnowsItsOwnAndNothingElse) {
  const std::vector<std::pair<std::string, Language>> files = {
      {"python.txt", Language::python}, {"cuda.txt", Language::cuda},
      {"shell.txt", Language::shell},   {"container.txt", Language::container},
      {"cmake.txt", Language::cmake},   {"requirements.txt", Language::requirements}};
  std::set<std::string> seen;
  for (const auto& [file, language] : files) {
    for (const Sample& sample : samples_of(file)) {
      seen.insert(sample.rule);
      EXPECT_TRUE(finds(sample, sample.with, language)) << file << ": " << sample.rule;
      EXPECT_FALSE(finds(sample, sample.without, language)) << file << ": " << sample.rule;
      EXPECT_FALSE(sample.without.empty()) << file << ": " << sample.rule;
    }
  }
  for (const Rule& rule : RuleTable::builtin().rules()) {
    EXPECT_TRUE(seen.contains(rule.name)) << rule.name << " has no sample";
  }
}

}  // namespace
}  // namespace lotse
