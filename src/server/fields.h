// The fields of request bodies: one table that drives validation, errors and /openapi.json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat_template/chat_template.h"
#include "server/api_error.h"

namespace lotse {

enum class FieldType : uint8_t {
  boolean,
  integer,
  number,
  string,
  object,
  array,              // of anything; whoever reads it checks its elements
  integers,           // low and high bound the elements
  string_or_strings,  // bounded like a string and like an array
  string_or_array,    // a text, or an array that its reader checks
  any,
};

// Whether a field does anything.
enum class FieldUse : uint8_t {
  used,
  accepted,     // has no effect here by its meaning (metadata, user, …)
  unsupported,  // refused unless null or one of the values that ask for nothing
};

struct Field {
  const char* name;
  FieldType type;
  const char* description;
  bool required = false;
  // Of the number, or of each element of `integers`.
  double low = 0, high = 0;
  int64_t max_length = 0;          // bytes of a string, elements of an array; 0: no own limit
  const char* fallback = nullptr;  // JSON, for the document only
  FieldUse use = FieldUse::used;
  const char* neutral = "[]";  // JSON array: values of an unsupported field that ask for nothing
};

// The body of one request against a table, which it refers to.
class RequestFields {
 public:
  // Checks the type and range of every field that the table has; a field that is null counts as
  // absent. Errors are 400s that name the field.
  static ApiResult<RequestFields> check(const OrderedJson& body,
                                        std::span<const std::span<const Field>> tables);

  // The field's value; null when absent, and for fields that the tables do not have.
  const OrderedJson* find(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<std::string> string(std::string_view name) const;
  std::vector<int32_t> integers(std::string_view name) const;
  // A string as one element.
  std::vector<std::string> strings(std::string_view name) const;

  // Names in the body that no table has, cut to a printable length.
  const std::vector<std::string>& unknown() const { return unknown_; }

 private:
  RequestFields() = default;

  std::vector<std::pair<std::string_view, const OrderedJson*>> known_;
  std::vector<std::string> unknown_;
};

}  // namespace lotse
