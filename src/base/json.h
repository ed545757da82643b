// JSON of configurations and metadata, parsed strictly: no duplicate keys, bounded depth, UTF-8.
// Large tokenizer files are read elsewhere, with simdjson.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lotse {

using Json = nlohmann::json;

// Parses one JSON value. `origin` (a file name, say) begins every error message. Errors:
// invalid_input for bad syntax, a duplicate key, or nesting deeper than 64.
Result<Json> parse_json(std::string_view text, std::string_view origin);

// Reads and parses a file of at most `max_bytes`.
Result<Json> read_json_file(const std::string& path, int64_t max_bytes = int64_t{64} << 20);

// A typed view of one JSON object whose errors name file and field. Absent and null are the same.
class JsonFields {
 public:
  JsonFields(const Json& object, std::string origin)
      : object_(object), origin_(std::move(origin)) {}

  bool has(const char* key) const;
  // The field's value, nothing when absent, an error when it has another type or is out of range.
  Result<std::optional<int64_t>> integer(const char* key, int64_t low, int64_t high) const;
  Result<std::optional<double>> number(const char* key) const;
  Result<std::optional<bool>> boolean(const char* key) const;
  Result<std::optional<std::string>> string(const char* key) const;
  // The same, with a default for an absent field.
  Result<int64_t> integer_or(const char* key, int64_t fallback, int64_t low, int64_t high) const;
  Result<double> number_or(const char* key, double fallback) const;
  // A finite number above zero.
  Result<double> positive_or(const char* key, double fallback) const;
  Result<bool> boolean_or(const char* key, bool fallback) const;
  Result<std::string> string_or(const char* key, std::string fallback) const;
  // The same, an error when absent.
  Result<int64_t> required_integer(const char* key, int64_t low, int64_t high) const;
  Result<double> required_number(const char* key) const;
  // A nested object, nothing when absent. The view refers into this object's Json.
  Result<std::optional<JsonFields>> object(const char* key) const;

  const Json& json() const { return object_; }
  const std::string& origin() const { return origin_; }

 private:
  const Json* find(const char* key) const;
  std::unexpected<Error> wrong(const char* key, const char* expected, const Json& actual) const;
  std::unexpected<Error> missing(const char* key) const;

  const Json& object_;
  std::string origin_;
};

}  // namespace lotse
