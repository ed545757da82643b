// What the parts of the JSON schema compiler share.
#pragma once

#include <cstdint>

#include "engine/grammar/json_rules.h"
#include "engine/grammar/network.h"
#include "engine/grammar/schema_view.h"

namespace lotse {

// A higher maxLength, maxItems or maxProperties means this one.
inline constexpr int64_t kMaxLengthWritten = 20'000;

struct SchemaWriter {
  explicit SchemaWriter(const SchemaJson& root) : document(root), json(builder) {}
  virtual ~SchemaWriter() = default;

  // The rule of values that satisfy all of the parts; it is written later.
  virtual int32_t rule_of(const Conjunction& parts) = 0;

  NetworkBuilder builder;
  SchemaDocument document;
  JsonRules json;
  DfaBudget budget;
};

// Between two states, the values of one kind that a view allows; without alternatives.
Result<void> write_values(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to);
Result<void> write_number(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to);
Result<void> write_string(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to);
Result<void> write_object(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to);

}  // namespace lotse
