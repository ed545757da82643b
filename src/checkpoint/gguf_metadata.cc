#include <cmath>

#include "checkpoint/gguf_reader.h"
#include "checkpoint/tensor_table.h"

namespace lotse {
namespace {

// What a value holds, in the words of a message.
std::string describe(const GgufValue& value) {
  struct Describe {
    std::string operator()(int64_t v) const { return fmt::format("the integer {}", v); }
    std::string operator()(uint64_t v) const { return fmt::format("the integer {}", v); }
    std::string operator()(double v) const { return fmt::format("the number {}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::string_view v) const {
      return fmt::format("the string \"{}\"", printable(v));
    }
    std::string operator()(const GgufArray& v) const {
      constexpr const char* kKinds[] = {"integers", "numbers", "booleans", "strings"};
      return fmt::format("a list of {}", kKinds[v.items.index()]);
    }
  };
  return std::visit(Describe{}, value);
}

}  // namespace

bool GgufMetadata::add(std::string_view key, GgufValue value) {
  return values_.emplace(key, std::move(value)).second;
}

std::unexpected<Error> GgufMetadata::wrong(std::string_view key, std::string_view expected) const {
  return fail(ErrorCode::invalid_input, "{}: metadata {}: expected {}, got {}", origin_,
              printable(key), expected, describe(values_.find(key)->second));
}

template <class T>
Result<std::optional<T>> GgufMetadata::scalar(std::string_view key, const char* expected) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return std::optional<T>();
  const T* value = std::get_if<T>(&it->second);
  if (value == nullptr) return wrong(key, expected);
  return std::optional<T>(*value);
}

template <class T>
Result<std::optional<std::vector<T>>> GgufMetadata::array(std::string_view key,
                                                          const char* expected) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return std::optional<std::vector<T>>();
  const GgufArray* list = std::get_if<GgufArray>(&it->second);
  const std::vector<T>* items = list ? std::get_if<std::vector<T>>(&list->items) : nullptr;
  if (items == nullptr) return wrong(key, expected);
  return std::optional<std::vector<T>>(*items);
}

Result<std::optional<int64_t>> GgufMetadata::integer(std::string_view key, int64_t low,
                                                     int64_t high) const {
  const std::optional<int64_t> value = LOTSE_TRY(scalar<int64_t>(key, "an integer"));
  if (value && (*value < low || *value > high)) {
    return wrong(key, fmt::format("an integer from {} to {}", low, high));
  }
  return value;
}

Result<std::optional<double>> GgufMetadata::number(std::string_view key) const {
  const auto it = values_.find(key);
  if (it != values_.end() && std::holds_alternative<int64_t>(it->second)) {
    return std::optional<double>(static_cast<double>(std::get<int64_t>(it->second)));
  }
  const std::optional<double> value = LOTSE_TRY(scalar<double>(key, "a number"));
  if (value && !std::isfinite(*value)) return wrong(key, "a finite number");
  return value;
}

Result<std::optional<bool>> GgufMetadata::boolean(std::string_view key) const {
  return scalar<bool>(key, "true or false");
}

Result<std::optional<std::string_view>> GgufMetadata::string(std::string_view key) const {
  return scalar<std::string_view>(key, "a string");
}

Result<std::optional<std::vector<int64_t>>> GgufMetadata::integers(std::string_view key) const {
  return array<int64_t>(key, "a list of integers");
}

Result<std::optional<std::vector<double>>> GgufMetadata::numbers(std::string_view key) const {
  return array<double>(key, "a list of numbers");
}

Result<std::optional<std::vector<std::string_view>>> GgufMetadata::strings(
    std::string_view key) const {
  return array<std::string_view>(key, "a list of strings");
}

}  // namespace lotse
