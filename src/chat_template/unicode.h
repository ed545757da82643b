// The properties and case mappings of characters as Python's str has them. All text here is valid
// UTF-8; positions are in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lotse::jinja {

bool is_space(char32_t c);       // str.isspace, and \s of a regular expression
bool is_line_break(char32_t c);  // where str.splitlines cuts ("\r\n" counts once)
bool is_printable(char32_t c);   // shown by repr() without an escape
bool is_identifier_char(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_cased(char32_t c);
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);  // the ASCII digits and other characters of one decimal digit's value

// The upper, title and lower case of a character; up to three characters, as UTF-8.
std::string to_upper(char32_t c);
std::string to_title(char32_t c);
std::string to_lower(char32_t c);

// "\u00e9" for ('u', 0xe9, 4): a backslash, the letter and the code in lower-case digits.
std::string hex_escape(char letter, uint32_t code, int digits);

int64_t count_characters(std::string_view text);
// The byte position of character `index`, at most text.size().
size_t byte_of_character(std::string_view text, int64_t index);

// The text without white space at its start and at its end, as [begin, end).
size_t skip_space(std::string_view text, size_t begin);
size_t trim_space(std::string_view text, size_t begin, size_t end);
// Like string_view::find and rfind, in linear time for any needle.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from);
size_t rfind_bytes(std::string_view text, std::string_view needle);
// Where the character that ends at `end` begins; end > 0.
size_t previous_character(std::string_view text, size_t end);

}  // namespace lotse::jinja
