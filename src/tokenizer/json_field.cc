#include "tokenizer/json_field.h"

#include <cmath>

#include "tokenizer/shown.h"

namespace lotse {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxBytes = size_t{1} << 30;

std::string shown_value(simdjson::dom::element value) {
  switch (value.type()) {
    case simdjson::dom::element_type::ARRAY:
      return "an array";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    default:
      return shown_briefly(simdjson::minify(value));
  }
}

}  // namespace

Result<JsonDocument> JsonDocument::parse(std::string_view text, std::string_view origin) {
  JsonDocument document;
  document.origin_ = origin;
  if (text.size() > kMaxBytes) {
    return fail(ErrorCode::limit, "{}: {} bytes exceed the limit of {}", origin, text.size(),
                kMaxBytes);
  }
  simdjson::error_code error = document.parser_->allocate(text.size() + 1, kMaxDepth);
  if (error == simdjson::SUCCESS) {
    error = document.parser_->parse(text.data(), text.size(), true).get(document.root_);
  }
  if (error == simdjson::DEPTH_ERROR) {
    return fail(ErrorCode::invalid_input, "{}: nested deeper than {} levels", origin, kMaxDepth);
  }
  if (error != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", origin,
                simdjson::error_message(error));
  }
  return document;
}

JsonField JsonDocument::root() const { return JsonField(root_, origin_); }

std::string JsonField::place_of(std::string_view key) const {
  const bool nested = place_.find(": ") != std::string::npos;
  return fmt::format("{}{}{}", place_, nested ? "." : ": ", shown_briefly(key));
}

std::unexpected<Error> JsonField::wrong(std::string_view expected) const {
  return fail(ErrorCode::invalid_input, "{}: expected {}, got {}", place_, expected,
              shown_value(value_));
}

Result<simdjson::dom::object> JsonField::object() const {
  simdjson::dom::object object;
  if (value_.get_object().get(object) != simdjson::SUCCESS) return wrong("an object");
  return object;
}

Result<simdjson::dom::array> JsonField::array() const {
  simdjson::dom::array array;
  if (value_.get_array().get(array) != simdjson::SUCCESS) return wrong("an array");
  return array;
}

Result<std::optional<JsonField>> JsonField::optional(std::string_view key) const {
  std::optional<JsonField> found;
  bool seen = false;
  for (const auto member : LOTSE_TRY(object())) {
    if (member.key != key) continue;
    if (seen) return fail(ErrorCode::invalid_input, "{}: the key stands twice", place_of(key));
    seen = true;
    if (!member.value.is_null()) found.emplace(member.value, place_of(key));
  }
  return found;
}

Result<JsonField> JsonField::required(std::string_view key) const {
  auto field = LOTSE_TRY(optional(key));
  if (!field) return fail(ErrorCode::invalid_input, "{}: missing", place_of(key));
  return std::move(*field);
}

Result<std::string_view> JsonField::string() const {
  std::string_view text;
  if (value_.get_string().get(text) != simdjson::SUCCESS) return wrong("a string");
  return text;
}

Result<bool> JsonField::boolean() const {
  bool flag = false;
  if (value_.get_bool().get(flag) != simdjson::SUCCESS) return wrong("true or false");
  return flag;
}

Result<int64_t> JsonField::integer(int64_t low, int64_t high) const {
  int64_t number = 0;
  if (value_.get_int64().get(number) != simdjson::SUCCESS || number < low || number > high) {
    return wrong(fmt::format("an integer from {} to {}", low, high));
  }
  return number;
}

Result<double> JsonField::number() const {
  double number = 0;
  if (value_.get_double().get(number) != simdjson::SUCCESS || !std::isfinite(number)) {
    return wrong("a finite number");
  }
  return number;
}

Result<std::vector<JsonField>> JsonField::elements() const {
  std::vector<JsonField> fields;
  for (const auto element : LOTSE_TRY(array())) {
    fields.emplace_back(element, fmt::format("{}[{}]", place_, fields.size()));
  }
  return fields;
}

Result<std::vector<std::pair<std::string_view, JsonField>>> JsonField::members() const {
  std::vector<std::pair<std::string_view, JsonField>> fields;
  for (const auto member : LOTSE_TRY(object())) {
    fields.emplace_back(member.key, JsonField(member.value, place_of(member.key)));
  }
  return fields;
}

Result<std::string_view> JsonField::required_string(std::string_view key) const {
  return LOTSE_TRY(required(key)).string();
}

Result<std::string_view> JsonField::string_or(std::string_view key,
                                              std::string_view fallback) const {
  const auto field = LOTSE_TRY(optional(key));
  if (!field) return fallback;
  return field->string();
}

Result<bool> JsonField::boolean_or(std::string_view key, bool fallback) const {
  const auto field = LOTSE_TRY(optional(key));
  if (!field) return fallback;
  return field->boolean();
}

Result<int64_t> JsonField::integer_or(std::string_view key, int64_t fallback, int64_t low,
                                      int64_t high) const {
  const auto field = LOTSE_TRY(optional(key));
  if (!field) return fallback;
  return field->integer(low, high);
}

}  // namespace lotse
