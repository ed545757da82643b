#include "source/python_tokens.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>

#include "tests/source/tokens.h"

namespace lotse {
namespace {

using Texts = std::vector<std::string>;

// Tokens of a width.
Texts split(std::string_view file) {
  Texts list = texts(file, python_tokens(file));
  std::erase(list, "");
  return list;
}

// Indents as ">", dedents as "<", ends of lines as ";", others by their texts.
std::string shape(std::string_view file) {
  std::string text;
  for (const Token& token : python_tokens(file)) {
    if (token.kind == TokenKind::indent) {
      text += ">";
    } else if (token.kind == TokenKind::dedent) {
      text += "<";
    } else if (token.kind == TokenKind::newline) {
      text += ";";
    } else {
      text += text_of(file, token);
    }
  }
  return text;
}

TEST(PythonTokens, Indentation) {
  EXPECT_EQ(shape("if a:\n  b\n  c\nd\n"), "ifa:;>b;c;<d;");
  EXPECT_EQ(shape("if a:\n  if b:\n    c\nd"), "ifa:;>ifb:;>c;<<d;");
  EXPECT_EQ(shape("if a:\n\tb\n        c\n"), "ifa:;>b;c;<");  // a tab is eight columns
  EXPECT_EQ(shape("a\n\n   # x\n  \nb\n"), "a;# xb;");         // blank lines have no level
  EXPECT_EQ(shape("if a:\n    b\n  c\n"), "ifa:;>b;<c;");      // to no enclosing level
  EXPECT_EQ(shape("if a:\n  b"), "ifa:;>b;<");
  EXPECT_EQ(shape("a\r\nb\rc\n"), "a;b;c;");
}

TEST(PythonTokens, Joining) {
  EXPECT_EQ(shape("f(a,\n  b)\nc\n"), "f(a,b);c;");
  EXPECT_EQ(shape("a = [\n1, # x\n2]\n"), "a=[1,# x2];");
  EXPECT_EQ(shape("a \\\n  b\nc\n"), "ab;c;");
  EXPECT_EQ(shape("a \\\r\n  b\n"), "ab;");
  EXPECT_EQ(shape("a)\nb\n"), "a);b;");
}

TEST(PythonTokens, Strings) {
  for (const std::string prefix : {"", "r", "R", "u", "b", "B", "br", "Rb", "rB"}) {
    for (const std::string quote : {"'", "\"", "'''", "\"\"\""}) {
      const std::string text = prefix + quote + "a#\\" + quote.front() + "{b}" + quote;
      EXPECT_EQ(split(text + " c"), (Texts{text, "c"})) << text;
    }
  }
  EXPECT_EQ(split("'''a\n'b''c'''d"), (Texts{"'''a\n'b''c'''", "d"}));
  EXPECT_EQ(split("'a\\\nb' c"), (Texts{"'a\\\nb'", "c"}));
  EXPECT_EQ(split("'a\nb"), (Texts{"'a", "\n", "b"}));  // unterminated
  EXPECT_EQ(split("ur'a'"), (Texts{"ur", "'a'"}));
  EXPECT_EQ(split("''''"), (Texts{"''''"}));
}

TEST(PythonTokens, FormattedStrings) {
  EXPECT_EQ(split("f'a{b}c'"), (Texts{"f'", "a", "{", "b", "}", "c", "'"}));
  EXPECT_EQ(split("F\"{{a}}{b!r:>{w}.2f}\""),
            (Texts{"F\"", "{{a}}", "{", "b", "!", "r", ":", ">", "{", "w", "}", ".2f", "}", "\""}));
  EXPECT_EQ(split("f'{x[\"a\"]}'"), (Texts{"f'", "{", "x", "[", "\"a\"", "]", "}", "'"}));
  EXPECT_EQ(split("f'{f\"{a}\"}' b"),
            (Texts{"f'", "{", "f\"", "{", "a", "}", "\"", "}", "'", "b"}));
  EXPECT_EQ(split("f'{a['b']}'"), (Texts{"f'", "{", "a", "[", "'b'", "]", "}", "'"}));  // 3.12
  EXPECT_EQ(split("f'{ {1: 2}[1] }'"),
            (Texts{"f'", "{", "{", "1", ":", "2", "}", "[", "1", "]", "}", "'"}));
  EXPECT_EQ(split("f'\\N{DASH}{a}'"), (Texts{"f'", "\\N{DASH}", "{", "a", "}", "'"}));
  EXPECT_EQ(split("rf'\\{a}'"), (Texts{"rf'", "\\", "{", "a", "}", "'"}));
  EXPECT_EQ(split("f'''a{\nb\n}'''"), (Texts{"f'''", "a", "{", "b", "}", "'''"}));
  EXPECT_EQ(split("f'{a:'b"), (Texts{"f'", "{", "a", ":", "'", "b"}));  // ends in a specification
  EXPECT_EQ(split("f'a\nb"), (Texts{"f'", "a", "\n", "b"}));
  EXPECT_EQ(split("t'{a}'"), (Texts{"t'", "{", "a", "}", "'"}));
}

TEST(PythonTokens, NumbersAndOperators) {
  for (const std::string number :
       {"0", "1_000", "0xff_F", "0b10", "1.5e-3", ".5", "3j", "1.", "1e5J"}) {
    EXPECT_EQ(split(number + " x"), (Texts{number, "x"}));
  }
  EXPECT_EQ(split("1if x"), (Texts{"1", "if", "x"}));
  EXPECT_EQ(split("a**=b//c!=d->e:=f...@"),
            (Texts{"a", "**=", "b", "//", "c", "!=", "d", "->", "e", ":=", "f", "...", "@"}));
}

TEST(PythonTokens, NestingHasALimit) {
  std::string file;
  for (int i = 0; i < 5000; ++i) file += "f'{";
  expect_round_trip(file, python_tokens(file));
}

TEST(PythonTokens, RoundTripOfEveryShortString) {
  for_each_string({"a", "f", "'", "\"", "{", "}", ":", "\\", "\n", "#", "(", ")", " "}, 5,
                  [](const std::string& file) { expect_round_trip(file, python_tokens(file)); });
}

RC_GTEST_PROP(PythonTokensProperty, RoundTripOfAnyBytes, (const std::string& file)) {
  expect_round_trip(file, python_tokens(file));
}

}  // namespace
}  // namespace lotse
