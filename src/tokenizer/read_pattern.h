// Small fields that several sections of tokenizer.json share.
#pragma once

#include "tokenizer/json_field.h"
#include "tokenizer/pattern.h"
#include "tokenizer/pre_tokenizer.h"

namespace lotse {

// `{"String": "…"}`, `{"Regex": "…"}`, or a plain string, which is a literal.
Result<std::unique_ptr<Pattern>> read_pattern(const JsonField& field);

// A string of exactly one character; required when `fallback` is empty.
Result<std::string_view> read_single_char(const JsonField& section, std::string_view key,
                                          std::string_view fallback);

// Metaspace's `prepend_scheme`, or the older `add_prefix_space`.
Result<PrependScheme> read_prepend_scheme(const JsonField& section);

}  // namespace lotse
