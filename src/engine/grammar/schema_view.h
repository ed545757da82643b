// What a set of schemas that hold together says about a value, keyword by keyword.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/grammar/dfa.h"
#include "engine/grammar/number_range.h"
#include "engine/grammar/schema_document.h"

namespace lotse {

Conjunction conjunction(std::vector<SchemaPart> parts);

enum SchemaType : uint8_t {
  kNull = 1,
  kBoolean = 2,
  kInteger = 4,
  kFraction = 8,  // numbers that are not integers
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAllTypes = 127
};

struct SchemaView {
  bool impossible = false;
  std::vector<const SchemaJson*> nodes;   // plain ones, in order of appearance
  std::vector<const SchemaJson*> groups;  // lists of alternatives that are still open
  uint8_t types = kAllTypes;
  std::optional<std::vector<const SchemaJson*>> values;  // of enum and const
  std::vector<const SchemaJson*> excluded;               // scalars that it must not be

  // The same set, in the form in which alternatives are chosen.
  Conjunction rest(const SchemaJson* without_group) const;
};

// Expands references and allOf, and gathers types and values.
Result<SchemaView> view(SchemaDocument& document, const Conjunction& parts);

// The bounds of numbers, and what must divide them: a whole number, or 10^−digits.
struct NumberRules {
  NumberBounds bounds;
  std::vector<int64_t> divisors;
  std::optional<int64_t> fraction_digits;
  std::vector<Decimal> excluded;
  bool any = false;  // whether there is any rule
};
Result<NumberRules> number_rules(SchemaDocument& document, const SchemaView& view);

struct StringRules {
  int64_t min = 0;
  int64_t max = Expression::kUnbounded;
  std::optional<Dfa> form;  // of patterns and formats, not of the length
};
Result<StringRules> string_rules(SchemaDocument& document, const SchemaView& view,
                                 DfaBudget& budget);

// One of the texts.
Result<Dfa> dfa_of_texts(std::span<const std::string> texts, DfaBudget& budget);

// A keyword's count, no more than `most`.
int64_t count_of(const SchemaJson& value, int64_t most);

// Whether no value satisfies both, as far as can be shown at moderate cost.
Result<bool> disjoint(SchemaDocument& document, const Conjunction& a, const Conjunction& b,
                      int depth);

}  // namespace lotse
