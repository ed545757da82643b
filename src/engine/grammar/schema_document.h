// A JSON schema's text: what stands where, which keywords there are, and what references mean.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"

namespace lotse {

using SchemaJson = nlohmann::ordered_json;

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
};

}  // namespace lotse
