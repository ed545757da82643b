// JSON byte by byte, against a parser of whole texts.
#include "engine/output/json_cursor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

namespace lotse {
namespace {

std::string random_text(std::mt19937& random) {
  constexpr std::string_view kParts[] = {"{",     "}",    "[",      "]",    ",",     ":",   "\"a\"",
                                         "1",     "0",    "-",      ".5",   "e+2",   "E1",  "true",
                                         "false", "null", "\"",     "\\\"", "\\u00", "\n",  " ",
                                         "\\",    "é",    "\"b\":", "{}",   "[]",    "nul", "\x01"};
  std::string text;
  const int parts = std::uniform_int_distribution(1, 9)(random);
  for (int i = 0; i < parts; ++i) {
    text += kParts[std::uniform_int_distribution<size_t>(0, std::size(kParts) - 1)(random)];
  }
  return text;
}

TEST(JsonCursor, AcceptsWhatAParserAccepts) {
  std::mt19937 random(1);
  int valid = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string text = random_text(random);
    const bool expected = nlohmann::json::accept(text);
    ASSERT_EQ(is_json(text), expected) << text;
    valid += expected ? 1 : 0;
  }
  EXPECT_GT(valid, 5000);
}

TEST(JsonCursor, FindsTheEnd) {
  const auto end_of = [](std::string_view text) {
    JsonCursor cursor;
    for (size_t i = 0; i < text.size(); ++i) {
      const Taken taken = cursor.take(text[i]);
      if (taken == Taken::last) return static_cast<int>(i + 1);
      if (taken == Taken::beyond) return static_cast<int>(i);
      if (taken == Taken::bad) return -1;
    }
    return 0;
  };
  EXPECT_EQ(end_of(R"({"a": [1, {"b": "}"}]}, more)"), 22);
  EXPECT_EQ(end_of("12,"), 2);
  EXPECT_EQ(end_of("-0.5e3]"), 6);
  EXPECT_EQ(end_of("nullx"), 4);
  EXPECT_EQ(end_of(R"("\u00e9\"")x)"), 10);
  EXPECT_EQ(end_of("{\"a\": "), 0);
  EXPECT_EQ(end_of("{'a'"), -1);
}

TEST(JsonCursor, DepthIsLimited) {
  EXPECT_TRUE(is_json(std::string(64, '[') + std::string(64, ']')));
  EXPECT_FALSE(is_json(std::string(65, '[') + std::string(65, ']')));
}

TEST(JsonCursor, StringsGoBothWays) {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  all += "é中🎉";
  EXPECT_EQ(json_string_value('"' + json_string_inside(all) + '"'), all);
  EXPECT_EQ(json_string_value("12"), std::nullopt);
  EXPECT_EQ(json_string_value("\"\\ud800\""), std::nullopt);
}

}  // namespace
}  // namespace lotse
