#include "server/fields.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

constexpr size_t kShownBytes = 64;

std::string shown(const OrderedJson& value) {
  if (value.is_array() || value.is_object()) {
    return fmt::format("{} with {} elements", value.is_array() ? "an array" : "an object",
                       value.size());
  }
  std::string text = to_text(value);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes - 3) + "...";
  return text;
}

// 16 is an integer, 16.0 too; neither NaN nor what int64 cannot hold is.
bool is_integer(const OrderedJson& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>() <= uint64_t{INT64_MAX};
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return std::fabs(number) < 9e15 && std::trunc(number) == number;
}

// A number without the decimals that it does not need.
std::string bound(double value) {
  if (value == static_cast<double>(INT64_MAX)) return "2^63-1";
  if (value == static_cast<double>(INT64_MIN)) return "-2^63";
  return fmt::format("{}", value);
}

std::string expectation(const Field& field) {
  const std::string range = fmt::format("from {} to {}", bound(field.low), bound(field.high));
  switch (field.type) {
    case FieldType::boolean:
      return "true or false";
    case FieldType::integer:
      return "an integer " + range;
    case FieldType::number:
      return "a number " + range;
    case FieldType::string:
      return field.max_length == 0 ? "a string"
                                   : fmt::format("a string of at most {} bytes", field.max_length);
    case FieldType::object:
      return "an object";
    case FieldType::array:
      return "an array";
    case FieldType::integers:
      return fmt::format("an array of at most {} integers {}", field.max_length, range);
    case FieldType::string_or_strings:
      return fmt::format("a string or an array of at most {} strings", field.max_length);
    case FieldType::string_or_array:
      return "a string or an array";
    case FieldType::any:
      return "a value";
  }
  return "a value";
}

bool in_range(const Field& field, const OrderedJson& value) {
  const double number = value.get<double>();
  return number >= field.low && number <= field.high;
}

bool fits(const Field& field, const OrderedJson& value) {
  const bool short_enough =
      field.max_length == 0 ||
      static_cast<int64_t>(value.is_string() ? value.get_ref<const std::string&>().size()
                                             : value.size()) <= field.max_length;
  const auto all = [&](auto test) { return std::ranges::all_of(value, test); };
  switch (field.type) {
    case FieldType::boolean:
      return value.is_boolean();
    case FieldType::integer:
      return is_integer(value) && in_range(field, value);
    case FieldType::number:
      return value.is_number() && in_range(field, value);
    case FieldType::string:
      return value.is_string() && short_enough;
    case FieldType::object:
      return value.is_object() && short_enough;
    case FieldType::array:
      return value.is_array() && short_enough;
    case FieldType::integers:
      return value.is_array() && short_enough && all([&](const OrderedJson& item) {
               return is_integer(item) && in_range(field, item);
             });
    case FieldType::string_or_strings:
      return value.is_string() || (value.is_array() && short_enough &&
                                   all([](const OrderedJson& item) { return item.is_string(); }));
    case FieldType::string_or_array:
      return value.is_string() || value.is_array();
    case FieldType::any:
      return true;
  }
  return false;
}

ApiResult<void> check_field(const Field& field, const OrderedJson* value) {
  if (value == nullptr) {
    if (!field.required) return {};
    return bad_field(field.name, "the field is required: {}", expectation(field));
  }
  if (field.use == FieldUse::unsupported) {
    const auto neutral = OrderedJson::parse(field.neutral);
    if (std::ranges::find(neutral, *value) != neutral.end()) return {};
    return std::unexpected(
        ApiError{400, fmt::format("{}: not supported yet; leave the field out", field.name),
                 field.name, "unsupported_parameter"});
  }
  if (fits(field, *value)) return {};
  return bad_field(field.name, "expected {}, got {}", expectation(field), shown(*value));
}

}  // namespace

ApiResult<RequestFields> RequestFields::check(const OrderedJson& body,
                                              std::span<const std::span<const Field>> tables) {
  if (!body.is_object()) {
    return std::unexpected(
        ApiError{400, fmt::format("the body: expected a JSON object, got {}", shown(body))});
  }
  RequestFields fields;
  for (const auto table : tables) {
    for (const Field& field : table) {
      const auto it = body.find(field.name);
      const OrderedJson* value = it == body.end() || it->is_null() ? nullptr : &*it;
      LOTSE_TRY(check_field(field, value));
      if (value != nullptr) fields.known_.emplace_back(field.name, value);
    }
  }
  for (const auto& [name, value] : body.items()) {
    const bool known = std::ranges::any_of(tables, [&](std::span<const Field> table) {
      return std::ranges::any_of(table, [&](const Field& field) { return name == field.name; });
    });
    if (!known) fields.unknown_.push_back(name.substr(0, kShownBytes));
  }
  return fields;
}

const OrderedJson* RequestFields::find(std::string_view name) const {
  for (const auto& [known, value] : known_) {
    if (known == name) return value;
  }
  return nullptr;
}

std::optional<bool> RequestFields::boolean(std::string_view name) const {
  const OrderedJson* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<bool>());
}

std::optional<int64_t> RequestFields::integer(std::string_view name) const {
  const OrderedJson* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<int64_t>());
}

std::optional<double> RequestFields::number(std::string_view name) const {
  const OrderedJson* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<double>());
}

std::optional<std::string> RequestFields::string(std::string_view name) const {
  const OrderedJson* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<std::string>());
}

std::vector<int32_t> RequestFields::integers(std::string_view name) const {
  const OrderedJson* value = find(name);
  return value == nullptr ? std::vector<int32_t>() : value->get<std::vector<int32_t>>();
}

std::vector<std::string> RequestFields::strings(std::string_view name) const {
  const OrderedJson* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  return value->get<std::vector<std::string>>();
}

}  // namespace lotse
