// A value of a large JSON file together with its place in it, so that every error names the field.
// A thin layer over simdjson's DOM; included by the readers only.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

class JsonField;

// Owns a parsed document. Fields refer into it.
class JsonDocument {
 public:
  // Parses one JSON value (valid UTF-8, at most 64 levels, at most 1 GiB). `origin` begins every
  // error message.
  static Result<JsonDocument> parse(std::string_view text, std::string_view origin);

  JsonField root() const;

 private:
  JsonDocument() : parser_(std::make_unique<simdjson::dom::parser>()) {}

  std::unique_ptr<simdjson::dom::parser> parser_;
  simdjson::dom::element root_;
  std::string origin_;
};

class JsonField {
 public:
  JsonField(simdjson::dom::element value, std::string place)
      : value_(value), place_(std::move(place)) {}

  // `tokenizer.json: model.vocab`.
  const std::string& place() const { return place_; }
  simdjson::dom::element value() const { return value_; }
  bool is_string() const { return value_.is_string(); }
  bool is_object() const { return value_.is_object(); }
  bool is_array() const { return value_.is_array(); }

  // An object's member; absent and null are the same. An error when this is not an object or the
  // key stands twice in it.
  Result<std::optional<JsonField>> optional(std::string_view key) const;
  Result<JsonField> required(std::string_view key) const;

  Result<std::string_view> string() const;
  Result<bool> boolean() const;
  Result<int64_t> integer(int64_t low, int64_t high) const;
  Result<double> number() const;
  Result<std::vector<JsonField>> elements() const;
  Result<std::vector<std::pair<std::string_view, JsonField>>> members() const;
  Result<simdjson::dom::object> object() const;
  Result<simdjson::dom::array> array() const;

  // A member of a basic type: required, or with a default where absent or null.
  Result<std::string_view> required_string(std::string_view key) const;
  Result<std::string_view> string_or(std::string_view key, std::string_view fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;
  Result<int64_t> integer_or(std::string_view key, int64_t fallback, int64_t low,
                             int64_t high) const;

  // The error `place: expected …, got …`.
  std::unexpected<Error> wrong(std::string_view expected) const;

 private:
  std::string place_of(std::string_view key) const;

  simdjson::dom::element value_;
  std::string place_;
};

}  // namespace lotse
