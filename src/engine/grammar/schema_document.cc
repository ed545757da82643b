#include "engine/grammar/schema_document.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

namespace lotse {
namespace {

using Json = SchemaJson;

// They say nothing about which values are valid.
constexpr std::string_view kAnnotations[] = {"$anchor",         "$comment",
                                             "$defs",           "$id",
                                             "$schema",         "$vocabulary",
                                             "contentEncoding", "contentMediaType",
                                             "contentSchema",   "default",
                                             "definitions",     "deprecated",
                                             "description",     "discriminator",
                                             "example",         "examples",
                                             "externalDocs",    "id",
                                             "readOnly",        "title",
                                             "writeOnly",       "xml"};

enum class Type : uint8_t {
  any,
  schema,
  schemas,
  schema_or_schemas,
  schema_map,
  text,
  texts,
  count,
  number,
  boolean,
  number_or_boolean,
  list,
  type,
  text_lists,
  dependencies
};
struct Keyword {
  std::string_view name;
  Type type;
};
constexpr Keyword kSupported[] = {
    {"$ref", Type::text},
    {"additionalItems", Type::schema},
    {"additionalProperties", Type::schema},
    {"allOf", Type::schemas},
    {"anyOf", Type::schemas},
    {"const", Type::any},
    {"dependencies", Type::dependencies},
    {"dependentRequired", Type::text_lists},
    {"dependentSchemas", Type::schema_map},
    {"else", Type::schema},
    {"enum", Type::list},
    {"exclusiveMaximum", Type::number_or_boolean},
    {"exclusiveMinimum", Type::number_or_boolean},
    {"format", Type::text},
    {"if", Type::schema},
    {"items", Type::schema_or_schemas},
    {"maxItems", Type::count},
    {"maxLength", Type::count},
    {"maxProperties", Type::count},
    {"maximum", Type::number},
    {"minItems", Type::count},
    {"minLength", Type::count},
    {"minProperties", Type::count},
    {"minimum", Type::number},
    {"multipleOf", Type::number},
    {"not", Type::schema},
    {"nullable", Type::boolean},
    {"oneOf", Type::schemas},
    {"pattern", Type::text},
    {"patternProperties", Type::schema_map},
    {"prefixItems", Type::schemas},
    {"properties", Type::schema_map},
    {"propertyNames", Type::schema},
    {"required", Type::texts},
    {"then", Type::schema},
    {"type", Type::type},
};

// Of some version of JSON schema, and not supported.
constexpr std::string_view kRefused[] = {
    "$dynamicRef", "$recursiveRef", "contains",    "disallow",         "divisibleBy",
    "extends",     "maxContains",   "minContains", "unevaluatedItems", "unevaluatedProperties",
    "uniqueItems"};

// Whether one edit (a letter more, less, changed or swapped with its neighbour) makes them equal.
bool nearly_equal(std::string_view a, std::string_view b) {
  if (a.empty()) return false;
  const bool letter = (a[0] >= 'a' && a[0] <= 'z') || (a[0] >= 'A' && a[0] <= 'Z');
  if (!letter) return false;  // "_format" and the like are meant
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > 1 || a.size() < 4) return false;
  const auto difference = std::ranges::mismatch(a, b);
  const auto at = static_cast<size_t>(difference.in1 - a.begin());
  if (a.size() < b.size()) return a.substr(at) == b.substr(at + 1);
  if (at == a.size()) return true;
  if (a.substr(at + 1) == b.substr(at + 1)) return true;
  return at + 1 < a.size() && a[at] == b[at + 1] && a[at + 1] == b[at] &&
         a.substr(at + 2) == b.substr(at + 2);
}

bool is_schema(const Json& v) { return v.is_object() || v.is_boolean(); }
bool all_schemas(const Json& v) { return std::all_of(v.begin(), v.end(), is_schema); }
bool all_texts(const Json& v) {
  return std::all_of(v.begin(), v.end(), [](const Json& e) { return e.is_string(); });
}
bool is_text_list(const Json& v) { return v.is_array() && all_texts(v); }
bool is_count(const Json& v) {
  if (v.is_number_float())
    return v.get<double>() >= 0 && v.get<double>() == std::floor(v.get<double>());
  return v.is_number_unsigned() || (v.is_number_integer() && v.get<int64_t>() >= 0);
}

bool fits(Type type, const Json& v) {
  switch (type) {
    case Type::any:
      return true;
    case Type::schema:
      return is_schema(v);
    case Type::schemas:
      return v.is_array() && all_schemas(v);
    case Type::schema_or_schemas:
      return is_schema(v) || (v.is_array() && all_schemas(v));
    case Type::schema_map:
      return v.is_object() && all_schemas(v);
    case Type::text:
      return v.is_string();
    case Type::texts:
      return v.is_array() && all_texts(v);
    case Type::count:
      return is_count(v);
    case Type::number:
      return v.is_number();
    case Type::boolean:
      return v.is_boolean();
    case Type::number_or_boolean:
      return v.is_number() || v.is_boolean();
    case Type::list:
      return v.is_array();
    case Type::type:
      return v.is_string() || (v.is_array() && all_texts(v));
    case Type::text_lists:
      return v.is_object() && std::all_of(v.begin(), v.end(), is_text_list);
    case Type::dependencies:
      return v.is_object() && std::all_of(v.begin(), v.end(), [](const Json& e) {
               return is_schema(e) || e.is_string() || is_text_list(e);
             });
  }
  return false;
}

constexpr std::string_view kExpected[] = {"any value",
                                          "a schema",
                                          "a list of schemas",
                                          "a schema or a list of schemas",
                                          "an object of schemas",
                                          "a string",
                                          "a list of strings",
                                          "an integer of at least 0",
                                          "a number",
                                          "true or false",
                                          "a number or a boolean",
                                          "a list",
                                          "a type's name or a list of them",
                                          "an object of lists of strings",
                                          "an object of schemas or lists of strings"};

// "~1" is "/", "~0" is "~", and "%XX" a byte.
std::string unescaped(std::string_view token) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    unsigned value = 0;
    if (token[i] == '%' && i + 2 < token.size() + 0 &&
        std::from_chars(&token[i + 1], &token[i + 1] + 2, value, 16).ptr == &token[i + 1] + 2) {
      bytes += static_cast<char>(static_cast<uint8_t>(value));
      i += 2;
    } else {
      bytes += token[i];
    }
  }
  std::string result;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool escape = bytes[i] == '~' && i + 1 < bytes.size();
    if (escape && (bytes[i + 1] == '0' || bytes[i + 1] == '1')) {
      result += bytes[++i] == '0' ? '~' : '/';
    } else {
      result += bytes[i];
    }
  }
  return result;
}

std::string escaped(std::string_view name) {
  std::string result;
  for (const char c : name) result += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return result;
}

// Depth-first search for a node; false when it is not below `from`.
bool find_place(const Json& from, const Json& node, std::string& path) {
  if (&from == &node) return true;
  if (!from.is_structured()) return false;
  const size_t length = path.size();
  size_t number = 0;
  for (auto it = from.begin(); it != from.end(); ++it, ++number) {
    path += "/" + (from.is_object() ? escaped(it.key()) : std::to_string(number));
    if (find_place(*it, node, path)) return true;
    path.resize(length);
  }
  return false;
}

}  // namespace

std::string SchemaDocument::place(const Json& schema) const {
  std::string path = "#";
  if (const auto own = origins_.find(&schema); own != origins_.end()) return place(*own->second);
  return find_place(root_, schema, path) ? path : "#";
}

const Json* SchemaDocument::keep(Json own, const Json& origin) {
  const auto of_own = origins_.find(&origin);
  const Json* place = of_own == origins_.end() ? &origin : of_own->second;
  const Json* kept = &own_.emplace_back(std::move(own));
  origins_.emplace(kept, place);
  if (const auto properties = kept->find("properties"); properties != kept->end()) {
    for (const Json& property : *properties) origins_.emplace(&property, place);
  }
  return kept;
}

int64_t SchemaDocument::number_of(const Json& schema) {
  numbered_.push_back(&schema);
  return static_cast<int64_t>(numbered_.size()) - 1;
}

const Json* SchemaDocument::known_alternatives(const Json& schema, int purpose) const {
  const auto known = known_alternatives_.find({&schema, purpose});
  return known == known_alternatives_.end() ? nullptr : known->second;
}

const Json* SchemaDocument::set_alternatives(const Json& schema, int purpose,
                                             std::vector<Conjunction> alternatives) {
  const Json* group = keep(Json::array(), schema);
  known_alternatives_[{&schema, purpose}] = group;
  alternatives_[group] = std::move(alternatives);
  return group;
}

const std::vector<Conjunction>& SchemaDocument::alternatives(const Json& group) {
  const auto [place, is_new] = alternatives_.try_emplace(&group);
  if (is_new) {
    for (const Json& schema : group) place->second.push_back({{&schema}});
  }
  return place->second;
}

const Json* SchemaDocument::member(const Json& object, const std::string& name) {
  if (!object.is_object()) return nullptr;
  if (object.size() <= 16) {
    const auto found = object.find(name);
    return found == object.end() ? nullptr : &*found;
  }
  auto& index = members_[&object];
  if (index.empty()) {
    for (auto it = object.begin(); it != object.end(); ++it) index.emplace(it.key(), &*it);
  }
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

Result<void> SchemaDocument::check(const Json& schema) {
  if (schema.is_boolean()) return {};
  if (!schema.is_object()) {
    return problem(schema, ErrorCode::invalid_input, "expected a schema: an object or a boolean");
  }
  if (checked_.contains(&schema) || is_own(schema)) return {};
  for (auto it = schema.begin(); it != schema.end(); ++it) {
    LOTSE_TRY(check_keyword(schema, it.key(), *it));
  }
  checked_.insert(&schema);
  return {};
}

Result<void> SchemaDocument::check_keyword(const Json& schema, const std::string& name,
                                           const Json& value) {
  if (name.starts_with("x-") || std::ranges::find(kAnnotations, name) != std::end(kAnnotations)) {
    return {};
  }
  const auto keyword = std::ranges::find(kSupported, name, &Keyword::name);
  if (keyword != std::end(kSupported)) {
    if (fits(keyword->type, value)) return {};
    return problem(schema, ErrorCode::invalid_input, "\"{}\" must be {}", name,
                   kExpected[static_cast<size_t>(keyword->type)]);
  }
  // What is allowed where it says nothing.
  if (name == "uniqueItems" && value == false) return {};
  const bool like_additional = name == "unevaluatedProperties" || name == "unevaluatedItems";
  if (like_additional) {
    static constexpr const char* kOthers[] = {
        "$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies"};
    const bool alone = std::none_of(std::begin(kOthers), std::end(kOthers),
                                    [&](const char* other) { return schema.contains(other); });
    if (value == true || (alone && is_schema(value))) return {};
    return problem(schema, ErrorCode::unsupported,
                   "the keyword \"{}\" is not supported beside keywords that apply other schemas",
                   name);
  }
  if (std::ranges::find(kRefused, name) != std::end(kRefused)) {
    return problem(schema, ErrorCode::unsupported,
                   "the keyword \"{}\" is not supported (docs/structured-output.md lists those "
                   "that are); remove it or say it with others",
                   name);
  }
  for (const Keyword& known : kSupported) {
    if (!nearly_equal(name, known.name)) continue;
    return problem(schema, ErrorCode::invalid_input, "\"{}\" is no keyword; is \"{}\" meant?", name,
                   known.name);
  }
  ignored_.insert(name);
  return {};
}

// A nested "$id" gives references another meaning.
Result<void> SchemaDocument::check_identifiers(const Json& schema) {
  if (identifiers_checked_) return {};
  identifiers_checked_ = true;
  std::vector<const Json*> work = {&root_};
  while (!work.empty()) {
    const Json& node = *work.back();
    work.pop_back();
    if (!node.is_structured()) continue;
    for (auto it = node.begin(); it != node.end(); ++it) {
      if (node.is_object() && &node != &root_ && it.key() == "$id" && it->is_string()) {
        return problem(schema, ErrorCode::unsupported,
                       "\"$ref\" is not supported in a schema with an \"$id\" below its root ({})",
                       place(node));
      }
      work.push_back(&*it);
    }
  }
  return {};
}

Result<const Json*> SchemaDocument::resolve(const Json& schema, const std::string& reference) {
  LOTSE_TRY(check_identifiers(schema));
  if (const auto known = resolved_.find(reference); known != resolved_.end()) return known->second;
  std::string_view rest = reference;
  if (const auto id = root_.find("$id"); id != root_.end() && id->is_string()) {
    const auto& base = id->get_ref<const std::string&>();
    if (!base.empty() && rest.starts_with(base)) rest.remove_prefix(base.size());
    if (rest.empty()) rest = "#";
  }
  if (!rest.starts_with('#')) {
    return problem(schema, ErrorCode::unsupported,
                   "\"$ref\": \"{}\" is not supported: only references within the schema (\"#…\") "
                   "are",
                   reference);
  }
  rest.remove_prefix(1);
  const Json* at = &root_;
  if (!rest.empty() && rest[0] != '/') {
    return problem(schema, ErrorCode::unsupported,
                   "\"$ref\": \"{}\" is not supported: references to anchors are not", reference);
  }
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const size_t end = std::min(rest.find('/'), rest.size());
    const std::string token = unescaped(rest.substr(0, end));
    rest.remove_prefix(end);
    const Json* next = nullptr;
    if (at->is_array()) {
      size_t number = at->size();
      const auto parsed = std::from_chars(token.data(), token.data() + token.size(), number);
      const bool whole = parsed.ptr == token.data() + token.size() && !token.empty();
      if (whole && number < at->size()) next = &(*at)[number];
    } else {
      next = member(*at, token);
    }
    if (next == nullptr) {
      return problem(schema, ErrorCode::invalid_input, "\"$ref\": there is nothing at \"{}\"",
                     reference);
    }
    at = next;
  }
  resolved_.emplace(reference, at);
  return at;
}

}  // namespace lotse
