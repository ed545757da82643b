// Tokens as text, for comparison, and the properties that every list of tokens has.
#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "source/token.h"

namespace lotse {

using Tokenizer = std::vector<Token> (*)(std::string_view);

inline std::vector<std::string> texts(std::string_view file, const std::vector<Token>& tokens) {
  std::vector<std::string> list;
  for (const Token& token : tokens) list.emplace_back(text_of(file, token));
  return list;
}

// Texts and gaps give the file back, tokens do not overlap, and gaps hold white space and line
// continuations only.
inline void expect_round_trip(std::string_view file, const std::vector<Token>& tokens) {
  std::string whole;
  size_t position = 0;
  for (const Token& token : tokens) {
    ASSERT_LE(position, token.begin) << file;
    ASSERT_LE(token.begin, token.end) << file;
    ASSERT_LE(token.end, file.size()) << file;
    const std::string_view gap = file.substr(position, token.begin - position);
    ASSERT_EQ(gap.find_first_not_of(" \t\r\n\f\v\\\xef\xbb\xbf"), std::string_view::npos) << file;
    whole += gap;
    whole += text_of(file, token);
    position = token.end;
  }
  whole += file.substr(position);
  ASSERT_EQ(file.substr(position).find_first_not_of(" \t\r\n\f\v\\"), std::string_view::npos);
  ASSERT_EQ(whole, file);
}

// Every string of up to `length` letters of `alphabet`.
inline void for_each_string(const std::vector<std::string>& alphabet, int length,
                            const std::function<void(const std::string&)>& visit,
                            const std::string& prefix = "") {
  visit(prefix);
  if (length == 0) return;
  for (const std::string& letter : alphabet) {
    for_each_string(alphabet, length - 1, visit, prefix + letter);
  }
}

}  // namespace lotse
