#include "tokenizer/read_pattern.h"

#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {

Result<std::unique_ptr<Pattern>> read_pattern(const JsonField& field) {
  if (field.is_string()) return literal_pattern(LOTSE_TRY(field.string()));
  if (const auto literal = LOTSE_TRY(field.optional("String"))) {
    return literal_pattern(LOTSE_TRY(literal->string()));
  }
  const auto regex = LOTSE_TRY(field.optional("Regex"));
  if (!regex) return field.wrong("{\"String\": …} or {\"Regex\": …}");
  return regex_pattern(LOTSE_TRY(regex->string()), regex->place());
}

Result<std::string_view> read_single_char(const JsonField& section, std::string_view key,
                                          std::string_view fallback) {
  const std::string_view text = fallback.empty() ? LOTSE_TRY(section.required_string(key))
                                                 : LOTSE_TRY(section.string_or(key, fallback));
  size_t end = 0;
  if (!text.empty()) next_char(text, end);
  if (text.empty() || end != text.size()) {
    return fail(ErrorCode::invalid_input, "{}.{}: expected one character, got \"{}\"",
                section.place(), key, shown_briefly(text));
  }
  return text;
}

Result<PrependScheme> read_prepend_scheme(const JsonField& section) {
  const bool prefix = LOTSE_TRY(section.boolean_or("add_prefix_space", true));
  const std::string_view name =
      LOTSE_TRY(section.string_or("prepend_scheme", prefix ? "always" : "never"));
  if (name == "always") return PrependScheme::always;
  if (name == "first") return PrependScheme::first;
  if (name == "never") return PrependScheme::never;
  return fail(ErrorCode::invalid_input,
              "{}.prepend_scheme: expected always, first or never, got \"{}\"", section.place(),
              shown_briefly(name));
}

}  // namespace lotse
