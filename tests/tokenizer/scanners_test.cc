// The hand-written scanners against PCRE2, on every character of the Basic Multilingual Plane in
// several surroundings and on random mixtures.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

using Ranges = std::vector<std::pair<size_t, size_t>>;

Ranges matches(const Pattern& pattern, std::string_view text) {
  Ranges ranges;
  const auto found = pattern.find(text, [&](size_t begin, size_t end) -> Result<void> {
    ranges.emplace_back(begin, end);
    return {};
  });
  EXPECT_TRUE(found) << found.error().message;
  return ranges;
}

// Characters of the Basic Multilingual Plane on whose class PCRE2 and utf8proc, which are of
// different Unicode versions, do not agree.
std::vector<bool> find_differing() {
  constexpr uint8_t kClasses[] = {kLetter, kMark, kNumber, kPunctuation, kSymbol, kSpace};
  constexpr const char* kExpressions[] = {"\\p{L}", "\\p{M}", "\\p{N}", "\\p{P}", "\\p{S}", "\\s"};
  std::vector<bool> differing(0x10000);
  std::string text;
  std::vector<char32_t> at;  // the character that begins at each byte of text
  for (char32_t c = 1; c < 0x10000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    append_utf8(text, c);
    at.resize(text.size(), c);
  }
  for (size_t i = 0; i < std::size(kClasses); ++i) {
    std::vector<bool> matched(0x10000);
    for (const auto& [begin, end] : matches(**pcre2_pattern(kExpressions[i], "test"), text)) {
      matched[at[begin]] = true;
    }
    for (const char32_t c : at) {
      if (matched[c] != ((CharClasses::get()[c] & kClasses[i]) != 0)) differing[c] = true;
    }
  }
  return differing;
}

class Scanners : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    scanner_ = known_pattern(GetParam());
    ASSERT_TRUE(scanner_);
    auto pcre2 = pcre2_pattern(GetParam(), "test");
    ASSERT_TRUE(pcre2) << pcre2.error().message;
    pcre2_ = std::move(*pcre2);
  }

  bool agree(const std::string& text) const {
    const Ranges actual = matches(*scanner_, text);
    const Ranges expected = matches(*pcre2_, text);
    EXPECT_EQ(actual, expected) << testing::PrintToString(text);
    return actual == expected;
  }

  std::unique_ptr<Pattern> scanner_;
  std::unique_ptr<Pattern> pcre2_;
};

TEST_P(Scanners, AgreeOnEveryCharacter) {
  static const std::vector<bool> differing = find_differing();
  // Characters assigned between Unicode 14 and 15.
  EXPECT_LT(std::ranges::count(differing, true), 100);
  std::string batch;
  for (char32_t c = 1; c < 0x10000; ++c) {
    if ((c >= 0xd800 && c < 0xe000) || differing[c]) continue;
    std::string s;
    append_utf8(s, c);
    batch += "a" + s + "b" + s + s + " " + s + "1" + s + "\n" + s + " '" + s + "." + s + "  ";
    if (batch.size() > 2000) {
      ASSERT_TRUE(agree(batch));
      batch.clear();
    }
  }
  ASSERT_TRUE(agree(batch));
}

TEST_P(Scanners, AgreeOnRandomMixtures) {
  const std::vector<std::string> parts = {
      "a",      "Zx",      "\u00e9",     "\u0301",     "1",      "23",     "\u0661", "\u00bd",
      " ",      "  ",      "\t",         "\n",         "\r",     "\r\n",   "\u00a0", "\u3000",
      ".",      "!?",      "'",          "'s",         "'S",     "'ll",    "'Re",    "'v",
      "\u017f", "'\u017f", "\u4e2d",     "\u3042",     "\u30fc", "\u30fb", "$",      "+",
      "_",      "\u20ac",  "\U0001f600", "\u200d",     "\u0001", "\u0085", "\u180e", "\u200b",
      "\u0e33", "\u0949",  "\U00020000", "\U0001d54f", "-",      "/",      "#a",     "(b"};
  std::mt19937 random(42);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    const size_t count = 1 + random() % 24;
    for (size_t k = 0; k < count; ++k) text += parts[random() % parts.size()];
    ASSERT_TRUE(agree(text));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Expressions, Scanners,
    testing::Values(
        kGpt2Expression, kLlama3Expression, kQwen2Expression, kDeepSeekDigitsExpression,
        kDeepSeekCjkExpression, kDeepSeekExpression,
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"));

TEST(Regex, ReportsWhatItCannotRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"(", "is not valid"},
      {"[a", "is not valid"},
      {"*", "is not valid"},
      {"[a&&b]", "intersection"},
      {"[a[b]]", "class inside a class"},
      {"[\\S]", "inverted escape"},
      {"\\Kx", "escape"},
      {"\\p{Nonsense}", "is not valid"},
  };
  for (const auto& [expression, part] : cases) {
    const auto pattern = pcre2_pattern(expression, "tokenizer.json: pattern");
    ASSERT_FALSE(pattern) << expression;
    EXPECT_NE(pattern.error().message.find(part), std::string::npos) << pattern.error().message;
    EXPECT_EQ(pattern.error().message.find("tokenizer.json: pattern"), 0u);
  }
  const std::string deep = std::string(200, '(') + "a" + std::string(200, ')');
  EXPECT_FALSE(pcre2_pattern(deep, "x"));
  EXPECT_FALSE(pcre2_pattern(std::string(20000, 'a'), "x"));
}

TEST(Regex, GivesUpOnExplosions) {
  const std::string text(3000, 'x');
  for (const char* const expression : {"(x+x+)+[yz]", "(x|xx)*[yz]", "(?:x?){40}x{40}[yz]"}) {
    const auto pattern = pcre2_pattern(expression, "tokenizer.json: pattern");
    ASSERT_TRUE(pattern) << pattern.error().message;
    const auto found = (*pattern)->find(text, [](size_t, size_t) -> Result<void> { return {}; });
    ASSERT_FALSE(found) << expression;
    EXPECT_EQ(found.error().code, ErrorCode::limit);
    EXPECT_EQ(found.error().message.find("tokenizer.json: pattern"), 0u);
  }
}

TEST(Regex, FollowsOnigurumasClasses) {
  const auto all = [](const char* expression, const std::string& text) {
    Ranges ranges = matches(**pcre2_pattern(expression, "test"), text);
    return ranges.size() == 1 && ranges[0] == std::pair<size_t, size_t>(0, text.size());
  };
  EXPECT_TRUE(all("\\s+", " \t\n\u000b\f\r\u0085\u00a0\u2028\u3000"));
  EXPECT_TRUE(matches(**pcre2_pattern("\\s", "test"), "\u180e\u200b").empty());
  EXPECT_TRUE(all("\\w+", "a\u0301\u0661_\u203f\u24d0"));
  EXPECT_TRUE(matches(**pcre2_pattern("\\w", "test"), "\u00b2\u00bd-").empty());
  EXPECT_TRUE(all("\\h+", "09afAF"));
  EXPECT_TRUE(all("[]a]+", "a]a"));
  EXPECT_TRUE(all("[^]a]+", "bcd"));
}

}  // namespace
}  // namespace lotse
