// Grammars in GBNF and Lark's notation.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

namespace lotse {
namespace {

// JSON as the standard (RFC 8259) defines it.
constexpr const char* kJson = R"gbnf(
# a comment
root   ::= ws value ws
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}"
member ::= string ws ":" ws value ws
array  ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" ( [^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)?
           ([eE] [-+]? [0-9]+)?
ws     ::= [ \t\n\r]*
)gbnf";

TEST(Ebnf, JsonsGrammarAgreesWithAParser) {
  const auto grammar = Grammar::ebnf(kJson);
  ASSERT_TRUE(grammar) << grammar.error().message;
  std::mt19937 random(7);
  const char* const kParts[] = {"{",  "}",  "[",    "]",    ",",      ":", "\"a\"", "\"\\n\"",
                                "1",  "-2", "true", "null", "1.5E-3", " ", "\"é\"", "01",
                                "\"", "\\", "{}",   "[]",   "\"k\":", "\n"};
  int valid = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string text;
    for (auto n = random() % 9; n > 0; --n) text += kParts[random() % std::size(kParts)];
    const bool expected = nlohmann::json::accept(text);
    valid += expected;
    ASSERT_EQ(grammar_accepts(*grammar, text), expected) << text;
  }
  EXPECT_GT(valid, 1000);
  const std::string deep = std::string(20'000, '[') + std::string(20'000, ']');
  EXPECT_TRUE(grammar_accepts(*grammar, deep));
}

TEST(Ebnf, LarkIsReadToo) {
  const auto grammar = Grammar::ebnf(R"lark(
// arithmetic
?start: sum
?sum: product (("+" | "-") product)*
product.2: atom ("*" atom)*   -> product
atom: NUMBER | "(" sum ")" | "sin"i
     | NAME ["!"]
NUMBER: /[0-9]+(\.[0-9]+)?/
NAME: "a".."f" ~ 1..2
)lark");
  ASSERT_TRUE(grammar) << grammar.error().message;
  for (const char* text : {"1", "1+2*(3-4.5)", "SiN*ab!", "((f))"}) {
    EXPECT_TRUE(grammar_accepts(*grammar, text)) << text;
  }
  for (const char* text : {"", "1+", "(1", "abc", "g", "1.", "sinus"}) {
    EXPECT_FALSE(grammar_accepts(*grammar, text)) << text;
  }
}

// Not regular, and ambiguous: palindromes, and words of the Dyck language in many ways.
TEST(Ebnf, RecursionAndAmbiguity) {
  const auto palindromes =
      Grammar::ebnf("root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"a\" | \"b\" | \"\"");
  const auto dyck = Grammar::ebnf("root ::= (\"(\" root \")\")* | \"(\" root \")\" root");
  ASSERT_TRUE(palindromes && dyck);
  for (unsigned length = 0; length <= 10; ++length) {
    for (unsigned bits = 0; bits < 1u << length; ++bits) {
      std::string word;
      std::string brackets;
      int open = 0;
      bool balanced = true;
      for (unsigned i = 0; i < length; ++i) {
        const bool bit = (bits >> i & 1) != 0;
        word += bit ? 'a' : 'b';
        brackets += bit ? '(' : ')';
        open += bit ? 1 : -1;
        balanced = balanced && open >= 0;
      }
      const bool mirrored = std::string(word.rbegin(), word.rend()) == word;
      EXPECT_EQ(grammar_accepts(*palindromes, word), mirrored) << word;
      EXPECT_EQ(grammar_accepts(*dyck, brackets), balanced && open == 0) << brackets;
    }
  }
}

TEST(Ebnf, ErrorsSayWhereAndWhat) {
  std::string nested = "root ::= ";
  for (int i = 0; i < 100'000; ++i) nested += "(";
  const std::pair<std::string, const char*> kCases[] = {
      {"root ::= root \"a\" | \"b\"", "left recursion"},
      {"root ::= a\na ::= \"\" b\nb ::= \"x\"? a | \"y\"", "left recursion"},
      {"root ::= \"a\" root", "no finite text"},
      {"root ::= missing", "line 1, column 10: the rule \"missing\" is not defined"},
      {"main ::= \"a\"", "no rule \"root\""},
      {"root ::= \"a\"\nroot ::= \"b\"", "defined twice"},
      {"root ::= \"a", "literal without its end"},
      {"root ::= (\"a\"", "\"(\" without"},
      {"root ::= [z-a]", "wrong order"},
      {"root ::= \"a\"{5,2}", "below the lower"},
      {"root ::= \"a\"{100000}", "more than 10000"},
      {"root ::= <think>", "tokens (<…>) are not supported"},
      {"start: NAME\n%import common.CNAME -> NAME", "%import is not supported"},
      {"start: /a/x", "flags"},
      {"start: /^a/", "^ and $"},
      {"", "no rule"},
      {"root ::= \"a\"????????????", "too many quantifiers"},
      {nested, "nested deeper"},
      {"root ::= ((((\"a\" root){9999}){9999}){9999})?", "too large"},
  };
  for (const auto& [text, message] : kCases) {
    const auto grammar = Grammar::ebnf(text);
    ASSERT_FALSE(grammar) << text.substr(0, 80);
    EXPECT_NE(grammar.error().message.find(message), std::string::npos) << grammar.error().message;
  }
}

}  // namespace
}  // namespace lotse
