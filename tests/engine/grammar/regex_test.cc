// Regular expressions against PCRE2, which matches in quite another way.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gtest/gtest.h>
#include <pcre2.h>

#include <chrono>
#include <optional>
#include <random>

#include "engine/grammar/dfa.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"
#include "engine/grammar/regex_syntax.h"
#include "tests/engine/grammar/time_limit.h"

namespace lotse {
namespace {

// Whether PCRE2 matches; nothing when it gives up.
std::optional<bool> pcre2_matches(const std::string& pattern, const std::string& text,
                                  uint32_t extra) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | extra, &error, &offset, nullptr);
  if (code == nullptr) {
    ADD_FAILURE() << "PCRE2 refuses " << pattern << " at " << offset;
    return std::nullopt;
  }
  pcre2_match_data* match = pcre2_match_data_create_from_pattern(code, nullptr);
  const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                             match, nullptr);
  pcre2_match_data_free(match);
  pcre2_code_free(code);
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) return std::nullopt;
  return true;
}

class RandomRegex {
 public:
  explicit RandomRegex(unsigned seed) : random_(seed) {}
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }

  std::string alternation(int depth) {
    std::string result = sequence(depth);
    if (below(3) == 0) result += "|" + sequence(depth);
    return result;
  }
  std::string text() {
    static const char* const kParts[] = {"a", "b", "c", "é", "1", "中", " ", "-", "{", "\n", "x"};
    std::string result;
    for (int i = below(7); i > 0; --i) result += kParts[below(11)];
    return result;
  }

 private:
  std::string sequence(int depth) {
    std::string result;
    for (int i = below(3); i >= 0; --i) result += atom(depth) + quantifier();
    return result;
  }
  std::string atom(int depth) {
    if (depth > 0 && below(3) == 0) {
      return (below(2) == 0 ? "(" : "(?:") + alternation(depth - 1) + ")";
    }
    static const char* const kAtoms[] = {
        "a",    "b",      "c",   ".",   "[ab]",  "[^a]",   "[a-c1]", "\\d",       "\\w",
        "\\s",  "\\D",    "\\S", "é",   "[é中]", "[^\\d]", "[\\w-]", "\\x{4e2d}", "\\{",
        "[^é]", "\\p{L}", "\\W", "\\n", "[]a]",  "x",      "\\x61",  "\\p{Nd}",   "\\P{L}"};
    return kAtoms[below(27)];
  }
  std::string quantifier() {
    static const char* const kQuantifiers[] = {"",  "",   "",    "",     "*",     "+",
                                               "?", "*?", "{2}", "{1,}", "{0,2}", "{1,3}"};
    return kQuantifiers[below(12)];
  }

  std::mt19937 random_;
};

TEST(Regex, AgreesWithPcre2OnWholeTexts) {
  RandomRegex random(1);
  int matches = 0;
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    const std::string pattern = random.alternation(i % 10 == 0 ? 2 : 1);
    const auto grammar = Grammar::regex(pattern);
    if (!grammar) {
      ASSERT_NE(grammar.error().message.find("too complex"), std::string::npos)
          << pattern << ": " << grammar.error().message;
      ++refused;
      continue;
    }
    for (int j = 0; j < 20; ++j) {
      const std::string text = random.text();
      const auto expected = pcre2_matches(pattern, text, PCRE2_ANCHORED | PCRE2_ENDANCHORED);
      if (!expected) continue;
      matches += *expected;
      ASSERT_EQ(grammar_accepts(*grammar, text), *expected) << pattern << " on \"" << text << '"';
    }
  }
  EXPECT_GT(matches, 500);
  EXPECT_LT(refused, 30);
}

// The search of JSON schema's `pattern`, with anchors anywhere.
TEST(Regex, AgreesWithPcre2OnSearches) {
  RandomRegex random(2);
  int matches = 0;
  int refused = 0;
  for (int i = 0; i < 800; ++i) {
    std::string pattern = random.alternation(1);
    if (random.below(3) == 0) pattern = "^" + pattern;
    if (random.below(3) == 0) pattern += "$";
    if (random.below(5) == 0) pattern = "(^a|b$|" + pattern + ")c?";
    const auto expression = parse_regex(pattern, RegexDialect::pcre);
    ASSERT_TRUE(expression) << pattern;
    DfaBudget budget;
    const auto dfa = to_dfa(*expression, RegexMatch::anywhere, budget);
    if (!dfa) {
      ++refused;
      continue;
    }
    for (int j = 0; j < 20; ++j) {
      const std::string text = random.text();
      const auto expected = pcre2_matches(pattern, text, 0);
      if (!expected) continue;
      matches += *expected;
      ASSERT_EQ(dfa->accepts(text), *expected) << pattern << " on \"" << text << '"';
    }
  }
  EXPECT_GT(matches, 1000);
  EXPECT_LT(refused, 30);
}

TEST(Regex, ComplementAndIntersectionAreThoseOfSets) {
  RandomRegex random(3);
  int checked = 0;
  for (int i = 0; i < 300; ++i) {
    DfaBudget budget;
    const auto a =
        to_dfa(*parse_regex(random.alternation(1), RegexDialect::pcre), RegexMatch::whole, budget);
    const auto b = to_dfa(*parse_regex(random.alternation(1), RegexDialect::pcre),
                          RegexMatch::anywhere, budget);
    if (!a || !b) continue;  // too complex
    const auto both = intersection(*a, *b, budget);
    if (!both) continue;
    ++checked;
    const Dfa neither = complement(*a);
    for (int j = 0; j < 20; ++j) {
      const std::string text = random.text();
      EXPECT_EQ(both->accepts(text), a->accepts(text) && b->accepts(text));
      EXPECT_NE(neither.accepts(text), a->accepts(text));
    }
  }
  EXPECT_GT(checked, 280);
}

TEST(Regex, ErrorsNameThePositionAndWhatIsWrong) {
  const std::pair<const char*, const char*> kCases[] = {
      {"a(b", "position 3: a \"(\" without"},
      {"a)", "position 1: a \")\" without"},
      {"*a", "position 0: nothing to repeat"},
      {"[a", "a \"[\" without"},
      {"(?=a)b", "look-around is not supported"},
      {"(a)\\1", "a back reference is not supported"},
      {"a\\b", "a word boundary is not supported"},
      {"[z-a]", "wrong order"},
      {"a{3,2}", "n below m"},
      {"\\p{Klingon}", "\\p{Klingon} is not supported"},
      {"a++", "possessive"},
      {"a{1,9999999}", "repetitions"},
      {"\xff", "not valid UTF-8"},
      {"[^\\s\\S]", "no finite text"},
  };
  for (const auto& [pattern, message] : kCases) {
    const auto grammar = Grammar::regex(pattern);
    ASSERT_FALSE(grammar) << pattern;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

TEST(Regex, HostileExpressionsAreRefusedInTime) {
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "(";
  const std::string kCases[] = {"(.*a.{30})*",
                                "(a|b)*a(a|b){100}",
                                "((a{1000}){1000}){1000}",
                                "(x+x+)+y{0,99999}(x|y|z){50000}",
                                nested,
                                "(\\p{L}|\\p{Lu}?){900}(\\w*\\d){500}"};
  for (const std::string& pattern : kCases) {
    const auto begin = std::chrono::steady_clock::now();
    const auto grammar = Grammar::regex(pattern);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    EXPECT_FALSE(grammar) << pattern.substr(0, 40);
    EXPECT_LT(taken.count(), 3 * kSlowness) << pattern.substr(0, 40);
  }
}

TEST(Choice, AllowsEachTextAndNoOther) {
  const std::vector<std::string> texts = {"yes", "no", "yesterday", "ja, gern", "是"};
  const auto grammar = Grammar::choice(texts);
  ASSERT_TRUE(grammar);
  for (const std::string& text : texts) EXPECT_TRUE(grammar_accepts(*grammar, text));
  for (const char* text : {"", "ye", "yesno", "nope", "y"}) {
    EXPECT_FALSE(grammar_accepts(*grammar, text)) << text;
  }
  EXPECT_FALSE(Grammar::choice({}));
  EXPECT_FALSE(Grammar::choice(std::vector<std::string>{"a", ""}));
}

}  // namespace
}  // namespace lotse
