#include "source/cpp_tokens.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>

#include "tests/source/tokens.h"

namespace lotse {
namespace {

using Texts = std::vector<std::string>;

Texts split(std::string_view file) { return texts(file, cpp_tokens(file)); }

TokenKind kind_of(std::string_view file) { return cpp_tokens(file).front().kind; }

TEST(CppTokens, Names) {
  EXPECT_EQ(split("a _b9 $c \xc3\xa4x"), (Texts{"a", "_b9", "$c", "\xc3\xa4x"}));
  EXPECT_EQ(split("cuda\\\nMalloc(x)"), (Texts{"cuda\\\nMalloc", "(", "x", ")"}));
  const std::string file = "cuda\\\r\nMalloc";
  EXPECT_EQ(cpp_spelling(file, cpp_tokens(file).front()), "cudaMalloc");
}

TEST(CppTokens, Comments) {
  EXPECT_EQ(split("a // b \" '\nc"), (Texts{"a", "// b \" '", "c"}));
  EXPECT_EQ(split("// a \\\nb\nc"), (Texts{"// a \\\nb", "c"}));
  EXPECT_EQ(split("a/* \" // *//**/b"), (Texts{"a", "/* \" // */", "/**/", "b"}));
  EXPECT_EQ(split("/\\\n/ a\nb"), (Texts{"/\\\n/ a", "b"}));
  EXPECT_EQ(split("/* a"), (Texts{"/* a"}));
  EXPECT_EQ(split("/*/ a */b"), (Texts{"/*/ a */", "b"}));
}

TEST(CppTokens, Strings) {
  for (const std::string prefix : {"", "L", "u", "U", "u8"}) {
    EXPECT_EQ(split(prefix + R"("a\"b//" c)"), (Texts{prefix + R"("a\"b//")", "c"})) << prefix;
    EXPECT_EQ(kind_of(prefix + "'x'"), TokenKind::character) << prefix;
  }
  EXPECT_EQ(split("\"a\\\nb\" c"), (Texts{"\"a\\\nb\"", "c"}));
  EXPECT_EQ(split("\"a\nb"), (Texts{"\"a", "b"}));  // unterminated
  EXPECT_EQ(split("LL\"a\""), (Texts{"LL", "\"a\""}));
}

TEST(CppTokens, RawStrings) {
  for (const std::string prefix : {"R", "LR", "uR", "UR", "u8R"}) {
    const std::string raw = prefix + "\"x(a\")\"\n)y\")x\"";
    EXPECT_EQ(split(raw + "b"), (Texts{raw, "b"})) << prefix;
  }
  EXPECT_EQ(split("R\"(a"), (Texts{"R\"(a"}));
  EXPECT_EQ(split("R\"12345678901234567(\" a"), (Texts{"R\"12345678901234567(\"", "a"}));
}

TEST(CppTokens, Numbers) {
  for (const std::string number : {"0", "1'000'000", "0x1p-3", "1e+5f", ".5", "12ull", "0b1'0"}) {
    EXPECT_EQ(split(number + " x"), (Texts{number, "x"}));
  }
  EXPECT_EQ(split("1+2"), (Texts{"1", "+", "2"}));
}

TEST(CppTokens, Directives) {
  const std::string file = " # include <a/b.h> // c\n#define F(x) x \\\n  < 1\n#if A < B\n";
  EXPECT_EQ(split(file),
            (Texts{"#", "include", "<a/b.h>", "// c", "\n", "#",  "define", "F", "(", "x", ")",
                   "x", "<",       "1",       "\n",   "#",  "if", "A",      "<", "B", "\n"}));
  EXPECT_EQ(split("#error don't\nx"), (Texts{"#", "error", "don", "'t", "\n", "x"}));
  EXPECT_EQ(split("a # b"), (Texts{"a", "#", "b"}));
}

TEST(CppTokens, Launches) {
  EXPECT_EQ(split("f<<<1,2>>>(x)"),
            (Texts{"f", "<<<", "1", ",", "2", ">", ">", ">", "(", "x", ")"}));
  EXPECT_EQ(split("a<b<c<int>>>"), (Texts{"a", "<", "b", "<", "c", "<", "int", ">", ">", ">"}));
  EXPECT_EQ(split("<<<<"), (Texts{"<", "<", "<", "<"}));  // of a merge marker
  EXPECT_EQ(split("a::b->c"), (Texts{"a", "::", "b", "->", "c"}));
}

TEST(CppTokens, RoundTripOfEveryShortString) {
  for_each_string({"a", "R", "\"", "'", "/", "*", "\\", "\n", "#", "<", "(", ")", " "}, 5,
                  [](const std::string& file) { expect_round_trip(file, cpp_tokens(file)); });
}

RC_GTEST_PROP(CppTokensProperty, RoundTripOfAnyBytes, (const std::string& file)) {
  expect_round_trip(file, cpp_tokens(file));
}

}  // namespace
}  // namespace lotse
