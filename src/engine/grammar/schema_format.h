// The values of JSON schema's `format` that have a regular form.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lotse {

// Whether it says nothing about text: numbers' widths and hints for displays.
bool is_annotation_format(std::string_view name);
// Whether JSON schema defines it; others are annotations by its rules.
bool is_standard_format(std::string_view name);
// A regular expression for the whole text, which may be stricter than the format's standard.
std::optional<std::string> pattern_of_format(std::string_view name);
// Their names, for errors.
std::string supported_formats();

}  // namespace lotse
