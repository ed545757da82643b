// What str's methods and Jinja's filters do to text. Every result is made of slices of the texts
// given, so that each byte keeps its mark.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat_template/value.h"

namespace lotse::jinja {

// Without white space, or without `characters`, at the sides asked for.
Result<Text> strip(Budget& budget, const Text& text, const std::optional<std::string>& characters,
                   bool left, bool right);

// At most `limit` cuts; all when negative. `separator` is not empty.
Result<std::vector<Text>> split(Budget& budget, const Text& text, const std::string& separator,
                                int64_t limit, bool from_right);
Result<std::vector<Text>> split_space(Budget& budget, const Text& text, int64_t limit,
                                      bool from_right);
Result<std::vector<Text>> split_lines(Budget& budget, const Text& text, bool keep_ends);

// At most `count` replacements; all when negative. An empty `old_text` is found between all
// characters.
Result<Text> replace(Budget& budget, const Text& text, const std::string& old_text,
                     const Text& new_text, int64_t count);
Result<Text> join(Budget& budget, const Text& separator, const std::vector<Text>& parts);

// `method` is one of upper, lower, title, capitalize, swapcase.
Result<Text> map_case(Budget& budget, const Text& text, std::string_view method);

// str.ljust ('<'), rjust ('>') and center ('^'), which rounds differently from str.format.
Result<Text> justify(Budget& budget, const Text& text, int64_t width, const Text& fill, char align);

// `method` is one of isalnum, isalpha, isascii, isdecimal, isdigit, islower, isprintable, isspace,
// isupper.
bool text_is(std::string_view text, std::string_view method);

// A list of strings.
Result<Value> text_list(Budget& budget, std::vector<Text> parts, bool markup);

}  // namespace lotse::jinja
