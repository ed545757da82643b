// A JSON schema's text: what stands where, which keywords there are, and what references mean.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"

namespace lotse {

using SchemaJson = nlohmann::ordered_json;

// A schema of the document, or one of its parts.
struct SchemaPart {
  enum class Kind : uint8_t {
    whole,
    plain,    // without what refers to other schemas in its place
    any_of,   // a list of alternatives: one of them must hold
    negated,  // the schema must not hold
  };
  const SchemaJson* json;
  Kind kind = Kind::whole;
  auto operator<=>(const SchemaPart&) const = default;
};

// Schemas that must all hold; none: any value. In order of appearance, without repetitions.
// Expressing a schema's children as such sets makes allOf, $ref with siblings and anyOf beside
// properties exact without ever writing a merged schema.
using Conjunction = std::vector<SchemaPart>;

// Schemas of the compiler's own have these keywords besides JSON schema's.
namespace own_keyword {
inline constexpr const char* kNegated = "$negated";        // number of a schema that must not hold
inline constexpr const char* kExcluded = "$excluded";      // list of scalars
inline constexpr const char* kNotPattern = "$notPattern";  // regular expression that must not match
inline constexpr const char* kFraction = "$fraction";      // a type: numbers that are not integers
}  // namespace own_keyword

// Refers into the JSON that it is made from.
//
// Names that no version of JSON schema defines are annotations by its rules; they are noted, and
// refused only where they look like a keyword with a slip of the pen.
class SchemaDocument {
 public:
  explicit SchemaDocument(const SchemaJson& root) : root_(root) {}

  const SchemaJson& root() const { return root_; }
  // Checks the keywords of one schema and the types of their values: each must be supported or an
  // annotation. Cheap when asked again.
  Result<void> check(const SchemaJson& schema);
  // What "$ref" names.
  Result<const SchemaJson*> resolve(const SchemaJson& schema, const std::string& reference);
  // The place of a schema, as "#/properties/name".
  std::string place(const SchemaJson& schema) const;
  // The member of an object or null; fast for large ones, too.
  const SchemaJson* member(const SchemaJson& object, const std::string& name);

  // Takes a schema of the compiler's own (those of its properties are, too), which messages place
  // where `origin` stands.
  const SchemaJson* keep(SchemaJson own, const SchemaJson& origin);
  bool is_own(const SchemaJson& schema) const { return origins_.contains(&schema); }
  // Numbers for own_keyword::kNegated.
  int64_t number_of(const SchemaJson& schema);
  const SchemaJson& numbered(int64_t number) const {
    return *numbered_[static_cast<size_t>(number)];
  }

  // Alternatives that follow from a schema, once they were set: named by that schema and a purpose.
  const SchemaJson* known_alternatives(const SchemaJson& schema, int purpose) const;
  const SchemaJson* set_alternatives(const SchemaJson& schema, int purpose,
                                     std::vector<Conjunction> alternatives);
  // Of such a set, or of a list of schemas in the document.
  const std::vector<Conjunction>& alternatives(const SchemaJson& group);

  void ignore(std::string name) { ignored_.insert(std::move(name)); }
  // What was taken for an annotation, each name once.
  std::vector<std::string> ignored() const { return {ignored_.begin(), ignored_.end()}; }

  template <class... Args>
  std::unexpected<Error> problem(const SchemaJson& schema, ErrorCode code,
                                 fmt::format_string<Args...> format, Args&&... args) const {
    return fail(code, "JSON schema, {}: {}", place(schema),
                fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  Result<void> check_keyword(const SchemaJson& schema, const std::string& name,
                             const SchemaJson& value);
  Result<void> check_identifiers(const SchemaJson& schema);

  const SchemaJson& root_;
  std::unordered_set<const SchemaJson*> checked_;
  std::unordered_map<const SchemaJson*, std::unordered_map<std::string_view, const SchemaJson*>>
      members_;
  std::unordered_map<std::string, const SchemaJson*> resolved_;
  std::set<std::string> ignored_;
  bool identifiers_checked_ = false;
  std::deque<SchemaJson> own_;
  std::unordered_map<const SchemaJson*, const SchemaJson*> origins_;
  std::vector<const SchemaJson*> numbered_;
  std::map<std::pair<const SchemaJson*, int>, const SchemaJson*> known_alternatives_;
  std::unordered_map<const SchemaJson*, std::vector<Conjunction>> alternatives_;
};

}  // namespace lotse
