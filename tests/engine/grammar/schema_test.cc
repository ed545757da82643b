// JSON schemas: grammars against a small validator, texts drawn from masks against both, and what
// is refused.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"
#include "tests/engine/grammar/time_limit.h"
#include "tests/tokenizer/tokenizer_test_util.h"

namespace lotse {
namespace {

using Json = nlohmann::ordered_json;

// The specification's rules for the keywords that the random schemas use.
bool valid(const Json& schema, const Json& v, const Json& root);

bool type_is(const std::string& type, const Json& v) {
  if (type == "null") return v.is_null();
  if (type == "boolean") return v.is_boolean();
  if (type == "string") return v.is_string();
  if (type == "array") return v.is_array();
  if (type == "object") return v.is_object();
  const bool whole = v.is_number() && v.get<double>() == std::floor(v.get<double>());
  return type == "number" ? v.is_number() : whole;
}

size_t characters(const std::string& text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

bool valid_object(const Json& schema, const Json& v, const Json& root) {
  for (const Json& name : schema.value("required", Json::array())) {
    if (!v.contains(name.get<std::string>())) return false;
  }
  if (v.size() < schema.value("minProperties", size_t{0})) return false;
  if (v.size() > schema.value("maxProperties", size_t{1000})) return false;
  const Json properties = schema.value("properties", Json::object());
  const Json patterns = schema.value("patternProperties", Json::object());
  for (const auto& [name, member] : v.items()) {
    bool found = false;
    if (properties.contains(name)) {
      found = true;
      if (!valid(properties[name], member, root)) return false;
    }
    for (const auto& [pattern, inner] : patterns.items()) {
      if (!std::regex_search(name, std::regex(pattern))) continue;
      found = true;
      if (!valid(inner, member, root)) return false;
    }
    if (!found && schema.contains("additionalProperties") &&
        !valid(schema["additionalProperties"], member, root)) {
      return false;
    }
    if (schema.contains("propertyNames") && !valid(schema["propertyNames"], name, root)) {
      return false;
    }
  }
  return true;
}

bool valid_array(const Json& schema, const Json& v, const Json& root) {
  if (v.size() < schema.value("minItems", size_t{0})) return false;
  if (v.size() > schema.value("maxItems", size_t{1000})) return false;
  const Json prefix = schema.value("prefixItems", Json::array());
  for (size_t i = 0; i < v.size(); ++i) {
    if (i < prefix.size()) {
      if (!valid(prefix[i], v[i], root)) return false;
    } else if (schema.contains("items") && !valid(schema["items"], v[i], root)) {
      return false;
    }
  }
  return true;
}

bool valid_number(const Json& schema, const Json& v) {
  const double x = v.get<double>();
  if (schema.contains("minimum") && x < schema["minimum"].get<double>()) return false;
  if (schema.contains("maximum") && x > schema["maximum"].get<double>()) return false;
  if (schema.contains("exclusiveMinimum") && x <= schema["exclusiveMinimum"].get<double>()) {
    return false;
  }
  if (schema.contains("exclusiveMaximum") && x >= schema["exclusiveMaximum"].get<double>()) {
    return false;
  }
  if (!schema.contains("multipleOf")) return true;
  const auto divisor = schema["multipleOf"].get<int64_t>();
  return v.is_number_integer() ? v.get<int64_t>() % divisor == 0
                               : std::fmod(x, static_cast<double>(divisor)) == 0;
}

bool valid_string(const Json& schema, const std::string& text) {
  if (characters(text) < schema.value("minLength", size_t{0})) return false;
  if (characters(text) > schema.value("maxLength", size_t{1000})) return false;
  return !schema.contains("pattern") ||
         std::regex_search(text, std::regex(schema["pattern"].get<std::string>()));
}

bool valid_dependencies(const Json& schema, const Json& v, const Json& root) {
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const Json map = schema.value(keyword, Json::object());
    for (const auto& [name, rule] : map.items()) {
      if (!v.contains(name)) continue;
      if (!rule.is_array() && !valid(rule, v, root)) return false;
      for (const Json& other : rule.is_array() ? rule : Json::array()) {
        if (!v.contains(other.get<std::string>())) return false;
      }
    }
  }
  return true;
}

// A schema that leads back to itself with the same value means nothing.
struct Endless {};
struct Depth {
  explicit Depth(int& depth) : depth_(depth) {
    if (++depth_ > 100) {
      --depth_;
      throw Endless();
    }
  }
  ~Depth() { --depth_; }
  int& depth_;
};

bool valid(const Json& schema, const Json& v, const Json& root) {
  static int depth = 0;
  const Depth level(depth);
  if (schema.is_boolean()) return schema.get<bool>();
  if (schema.contains("$ref")) {
    const std::string pointer = schema["$ref"].get<std::string>().substr(1);
    if (!valid(root.at(Json::json_pointer(pointer)), v, root)) return false;
  }
  if (schema.contains("type")) {
    const Json& type = schema["type"];
    bool any = false;
    for (const Json& name : type.is_array() ? type : Json::array({type})) {
      any = any || type_is(name.get<std::string>(), v);
    }
    if (!any) return false;
  }
  if (schema.contains("const") && schema["const"] != v) return false;
  if (schema.contains("enum")) {
    const Json& list = schema["enum"];
    if (std::find(list.begin(), list.end(), v) == list.end()) return false;
  }
  if (schema.contains("anyOf") || schema.contains("oneOf")) {
    for (const char* keyword : {"anyOf", "oneOf"}) {
      if (!schema.contains(keyword)) continue;
      int count = 0;
      for (const Json& branch : schema[keyword]) count += valid(branch, v, root);
      if (keyword[0] == 'a' ? count == 0 : count != 1) return false;
    }
  }
  for (const Json& branch : schema.value("allOf", Json::array())) {
    if (!valid(branch, v, root)) return false;
  }
  if (schema.contains("not") && valid(schema["not"], v, root)) return false;
  if (schema.contains("if")) {
    const char* next = valid(schema["if"], v, root) ? "then" : "else";
    if (schema.contains(next) && !valid(schema[next], v, root)) return false;
  }
  if (v.is_object() && !valid_dependencies(schema, v, root)) return false;
  if (v.is_object()) return valid_object(schema, v, root);
  if (v.is_array()) return valid_array(schema, v, root);
  if (v.is_number()) return valid_number(schema, v);
  if (v.is_string()) return valid_string(schema, v.get<std::string>());
  return true;
}

class Random {
 public:
  explicit Random(unsigned seed) : random_(seed) {}
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool chance(int one_in) { return below(one_in) == 0; }
  template <class T, size_t N>
  T pick(const T (&list)[N]) {
    return list[random_() % N];
  }

  std::string name() { return pick({"a", "b", "ab", "c1", "é"}); }
  Json scalar() {
    switch (below(8)) {
      case 0:
        return nullptr;
      case 1:
        return chance(2);
      case 2:
      case 3:
        return below(41) - 20;
      case 4:
        return (below(81) - 40) / 4.0 + 0.125;
      default:
        return pick({"", "a", "b", "aab", "x\"y", "é1", "line\n", "ab12", "中"});
    }
  }
  Json instance(int depth) {
    if (depth == 0 || chance(3)) return scalar();
    if (chance(3)) {
      Json list = Json::array();
      for (int i = below(4); i > 0; --i) list.push_back(instance(depth - 1));
      return list;
    }
    Json object = Json::object();
    for (int i = below(4); i > 0; --i) object[name()] = instance(depth - 1);
    return object;
  }
  Json schema(int depth);
  Json object_schema(int depth);
  Json array_schema(int depth);
  Json conditional_schema(int depth);

 private:
  std::mt19937 random_;
};

Json Random::object_schema(int depth) {
  Json s = Json::object();
  if (!chance(4)) s["type"] = "object";
  for (int i = below(4); i > 0; --i) s["properties"][name()] = schema(depth - 1);
  if (chance(2)) s["required"] = Json::array({name()});
  if (chance(2)) s["additionalProperties"] = chance(2) ? Json(false) : schema(depth - 1);
  if (chance(5)) s["patternProperties"][pick({"^a", "b$", "1"})] = schema(depth - 1);
  if (chance(6)) s["maxProperties"] = below(4);
  if (chance(6)) s["minProperties"] = below(3);
  if (chance(8)) s["propertyNames"] = Json{{"maxLength", 1 + below(2)}};
  return s;
}

Json Random::array_schema(int depth) {
  Json s = Json::object();
  if (!chance(4)) s["type"] = "array";
  if (!chance(3)) s["items"] = schema(depth - 1);
  for (int i = below(3); i > 0 && chance(2); --i) s["prefixItems"].push_back(schema(depth - 1));
  if (chance(3)) s["minItems"] = below(3);
  if (chance(3)) s["maxItems"] = 1 + below(3);
  return s;
}

Json Random::conditional_schema(int depth) {
  Json s = chance(2) ? object_schema(depth) : schema(depth - 1);
  if (!s.is_object()) s = Json::object();
  switch (below(4)) {
    case 0:
      s["not"] = schema(depth - 1);
      break;
    case 1:
      s["if"] = schema(depth - 1);
      if (!chance(3)) s["then"] = schema(depth - 1);
      if (!chance(3)) s["else"] = schema(depth - 1);
      break;
    case 2:
      s["dependentSchemas"][name()] = schema(depth - 1);
      [[fallthrough]];
    default:
      s[pick({"dependentRequired", "dependencies"})][name()] = Json::array({name()});
  }
  return s;
}

Json Random::schema(int depth) {
  if (chance(12)) return chance(4) ? Json(false) : Json(true);
  if (depth > 0 && chance(3)) return chance(2) ? object_schema(depth) : array_schema(depth);
  if (depth > 0 && chance(6)) {
    Json s;
    const char* keyword = pick({"anyOf", "allOf", "anyOf", "oneOf"});
    for (int i = 2; i > 0; --i) s[keyword].push_back(schema(depth - 1));
    if (chance(3)) s["type"] = pick({"string", "integer", "object"});
    return s;
  }
  if (depth > 0 && chance(12)) return Json{{"$ref", "#"}};
  if (depth > 0 && chance(6)) return conditional_schema(depth);
  Json s;
  switch (below(6)) {
    case 0:
      for (int i = 1 + below(3); i > 0; --i) s["enum"].push_back(scalar());
      return s;
    case 1:
      return Json{{"const", scalar()}};
    case 2:
      s["type"] = pick({"integer", "number"});
      if (chance(2)) s[pick({"minimum", "exclusiveMinimum"})] = (below(41) - 20) / pick({1.0, 2.0});
      if (chance(2)) s[pick({"maximum", "exclusiveMaximum"})] = (below(41) - 10) / pick({1.0, 4.0});
      if (chance(5)) s["multipleOf"] = 1 + below(4);
      return s;
    case 3:
      s["type"] = "string";
      if (chance(3)) s["minLength"] = below(3);
      if (chance(3)) s["maxLength"] = 1 + below(3);
      if (chance(3)) s["pattern"] = pick({"^a", "b$", "^[ab]*$", "[0-9]", "a|1"});
      return s;
    case 4:
      s["type"] = Json::array({pick({"null", "boolean"}), pick({"string", "integer"})});
      return s;
    default:
      return Json{{"type", pick({"null", "boolean", "string", "integer", "number"})}};
  }
}

// The order in which a grammar writes members is the schema's: try all orders.
bool accepts_in_some_order(const Grammar& grammar, const Json& v) {
  std::vector<Json> orders = {v};
  if (v.is_object()) {
    std::vector<std::string> names;
    for (const auto& [name, member] : v.items()) names.push_back(name);
    std::ranges::sort(names);
    orders.clear();
    do {
      Json one = Json::object();
      for (const std::string& name : names) one[name] = v[name];
      orders.push_back(one);
    } while (std::ranges::next_permutation(names).found);
  }
  return std::ranges::any_of(orders.begin(), orders.end(),
                             [&](const Json& one) { return grammar_accepts(grammar, one.dump()); });
}

TEST(JsonSchema, AgreesWithAValidator) {
  Random random(1);
  int accepted = 0;
  int compiled = 0;
  for (int i = 0; i < 2500; ++i) {
    const Json schema = random.schema(2);
    const auto grammar = Grammar::parsed_json_schema(schema);
    if (!grammar) {
      const std::string& m = grammar.error().message;
      const bool known = m.find("oneOf") != m.npos || m.find("no finite text") != m.npos ||
                         m.find("minProperties") != m.npos || m.find("leads back") != m.npos ||
                         m.find("left recursion") != m.npos || m.find("enum or const") != m.npos ||
                         m.find("cannot be negated") != m.npos;
      ASSERT_TRUE(known) << schema << ": " << m;
      continue;
    }
    ++compiled;
    for (int j = 0; j < 20; ++j) {
      // Nested objects would need every order at every level.
      const Json v = random.chance(2) ? random.scalar() : random.instance(1);
      bool expected = false;
      try {
        expected = valid(schema, v, schema);
      } catch (const Endless&) {
        // Nothing makes it valid.
      }
      accepted += expected;
      ASSERT_EQ(accepts_in_some_order(*grammar, v), expected) << schema << "\n" << v;
    }
  }
  EXPECT_GT(accepted, 4000);
  EXPECT_GT(compiled, 1700);
}

std::shared_ptr<const TokenTable> vocabulary() {
  std::vector<std::string> tokens(1);
  for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
  const char* const kParts[] = {"{", "}",    "\"", ":",  ",",    " ",    "[",  "]",
                                "a", "b",    "1",  "0",  "-",    ".",    "\\", "n",
                                "é", "\xe4", "中", "\n", "true", "null", "u00"};
  std::mt19937 random(5);
  for (int i = 0; i < 1500; ++i) {
    std::string token;
    for (auto n = 1 + random() % 4; n > 0; --n) token += kParts[random() % std::size(kParts)];
    tokens.push_back(token);
  }
  return TokenTable::create(tokens);
}

// A text drawn token by token from the masks, until it may end; nothing when it grows too long.
std::optional<std::string> draw(GrammarMatcher& matcher, const TokenTable& tokens,
                                std::mt19937& random, int most) {
  std::string text;
  std::vector<uint32_t> bits(tokens.mask_words());
  for (int step = 0; step < most; ++step) {
    if (matcher.is_finished() || (matcher.can_end() && random() % 3 == 0)) return text;
    matcher.fill_mask(bits);
    std::vector<int32_t> allowed;
    for (int32_t t = 0; t < tokens.vocab_size(); ++t) {
      if ((bits[static_cast<size_t>(t) / 32] >> (t % 32) & 1) != 0) allowed.push_back(t);
    }
    if (allowed.empty()) {
      ADD_FAILURE() << "no token may follow " << text;
      return std::nullopt;
    }
    // Tokens that close something, so that texts end.
    int32_t token = allowed[random() % allowed.size()];
    if (random() % 3 == 0) {
      for (const int32_t t : allowed) {
        const std::string_view bytes = tokens.bytes(t);
        if (bytes == "}" || bytes == "]" || bytes == "\"") token = t;
      }
    }
    if (!matcher.accept(token)) {
      ADD_FAILURE() << "a token of the mask is refused after " << text;
      return std::nullopt;
    }
    text += tokens.bytes(token);
  }
  return std::nullopt;
}

TEST(JsonSchema, WhateverIsDrawnIsValid) {
  const auto tokens = vocabulary();
  Random random(2);
  std::mt19937 draws(3);
  int drawn = 0;
  for (int i = 0; i < 400; ++i) {
    const Json schema = random.schema(3);
    const auto grammar = Grammar::parsed_json_schema(schema);
    if (!grammar) continue;
    const auto masks = std::make_shared<GrammarMasks>(*grammar, tokens);
    for (int j = 0; j < 5; ++j) {
      GrammarMatcher matcher(masks);
      const auto text = draw(matcher, *tokens, draws, 150);
      if (!text) continue;
      ++drawn;
      ASSERT_TRUE(Json::accept(*text)) << schema << "\n" << *text;
      ASSERT_TRUE(valid(schema, Json::parse(*text), schema)) << schema << "\n" << *text;
    }
  }
  EXPECT_GT(drawn, 700);
}

TEST(JsonSchema, EveryBoundOfIntegersExactly) {
  for (int low = -12; low <= 12; low += 1) {
    for (int high = low - 1; high <= 25; high += 3) {
      const Json schema = {{"type", "integer"}, {"minimum", low}, {"maximum", high}};
      const auto grammar = Grammar::parsed_json_schema(schema);
      ASSERT_EQ(grammar.has_value(), low <= high);
      if (!grammar) continue;
      for (int v = -40; v <= 140; ++v) {
        ASSERT_EQ(grammar_accepts(*grammar, std::to_string(v)), low <= v && v <= high)
            << low << " " << high << " " << v;
      }
      EXPECT_FALSE(grammar_accepts(*grammar, "00"));
      EXPECT_FALSE(grammar_accepts(*grammar, "-0"));
    }
  }
  const auto wide = *Grammar::json_schema(R"({"type":"integer","exclusiveMinimum":999,
    "exclusiveMaximum":10000001,"multipleOf":7})");
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const auto v = static_cast<int>(random() % 20'000'000);
    ASSERT_EQ(grammar_accepts(wide, std::to_string(v)), v > 999 && v < 10'000'001 && v % 7 == 0);
  }
}

TEST(JsonSchema, WhiteSpaceIsBoundedAndPropertiesKeepTheirOrder) {
  const auto grammar = *Grammar::json_schema(
      R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"array",
         "items":{"type":"null"}}},"required":["b"],"additionalProperties":false})");
  for (const char* text : {"{\"b\":1}", "{\"b\": 1, \"a\": []}", "{ \"b\":1,\"a\":[null,null] }",
                           "{\n  \"b\": 1,\n  \"a\": [\n    null\n  ]\n}"}) {
    EXPECT_TRUE(grammar_accepts(grammar, text)) << text;
  }
  for (const char* text : {" {\"b\":1}", "{\"b\":1} ", "{\"a\":[],\"b\":1}", "{\"b\":1,}",
                           "{\"b\":  1}", "{\"b\" :1}", "{\"b\":1 ,\"a\":[]}", "{  \"b\":1}"}) {
    EXPECT_FALSE(grammar_accepts(grammar, text)) << text;
  }
  const auto object = Grammar::json_object();
  EXPECT_TRUE(grammar_accepts(object, R"({"x": [1, {"y": "\ud83d\ude00\n"}, -1.5e-3, {}]})"));
  EXPECT_FALSE(grammar_accepts(object, "[1]"));
  EXPECT_FALSE(grammar_accepts(object, R"({"x": "\ud83d"})"));
}

// A further property must not be one that is listed, however it is written.
TEST(JsonSchema, EscapedNamesDoNotSlipThrough) {
  const auto grammar =
      *Grammar::json_schema(R"({"type":"object","properties":{"name":{"type":"integer"}}})");
  EXPECT_TRUE(grammar_accepts(grammar, R"({"name":1,"names":"x","é":2})"));
  EXPECT_FALSE(grammar_accepts(grammar, R"({"nam\u0065":"x"})"));
  EXPECT_FALSE(grammar_accepts(grammar, R"({"name":"x"})"));
}

TEST(JsonSchema, Formats) {
  const std::pair<const char*, std::pair<std::vector<std::string>, std::vector<std::string>>>
      kCases[] = {
          {"date", {{"2024-02-29", "1999-12-31"}, {"2023-02-29", "2024-13-01", "1900-02-29"}}},
          {"time", {{"23:59:59Z", "01:02:03.5+02:00"}, {"24:00:00Z", "1:00:00Z", "10:00:00"}}},
          {"date-time", {{"2024-01-01T00:00:00Z"}, {"2024-01-01 00:00:00Z"}}},
          {"duration", {{"P1Y2M", "PT3H", "P2W", "P1DT12H"}, {"P", "PT", "P1H", "1D"}}},
          {"email", {{"a.b+c@example.org"}, {"a@b", "a..b@c.org", "@c.org"}}},
          {"ipv4", {{"127.0.0.1", "255.255.255.255"}, {"256.0.0.1", "1.2.3", "01.2.3.4"}}},
          {"ipv6", {{"::", "::1", "1:2:3:4:5:6:7:8", "fe80::1:2"}, {":::", "1:2:3:4:5:6:7:8:9"}}},
          {"uuid",
           {{"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567e89b12d3a456426614174000"}}},
          {"uri", {{"https://a.example:80/b?c=d#e"}, {"a b", "//x", "http:// x"}}},
          {"hostname", {{"a", "a-b.example"}, {"-a", "a..b", ""}}},
      };
  for (const auto& [format, texts] : kCases) {
    const auto grammar = Grammar::parsed_json_schema(Json{{"type", "string"}, {"format", format}});
    ASSERT_TRUE(grammar) << grammar.error().message;
    for (const auto& t : texts.first) EXPECT_TRUE(grammar_accepts(*grammar, Json(t).dump())) << t;
    for (const auto& t : texts.second) EXPECT_FALSE(grammar_accepts(*grammar, Json(t).dump())) << t;
  }
}

TEST(JsonSchema, RefusalsNameTheKeywordAndThePlace) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"properties":{"a":{"contains":{}}}})",
       "#/properties/a: the keyword \"contains\" is not supported"},
      {R"({"uniqueItems":true})", "\"uniqueItems\" is not supported"},
      {R"({"type":"array","uniqueItems":true})", "\"uniqueItems\" is not supported"},
      {R"({"contains":{}})", "\"contains\""},
      {R"({"minimun":3})", "\"minimun\" is no keyword; is \"minimum\" meant?"},
      {R"({"requierd":[]})", "is \"required\" meant?"},
      {R"({"maxLenth":3})", "is \"maxLength\" meant?"},
      {R"({"type":"strin"})", "\"strin\" is no type"},
      {R"({"type":3})", "\"type\" must be a type's name"},
      {R"({"minLength":-1})", "\"minLength\" must be an integer of at least 0"},
      {R"_({"pattern":"(?=a)"})_", "\"pattern\": regular expression, position 2"},
      {R"({"format":"regex"})", "\"format\": \"regex\" is not supported"},
      {R"({"$ref":"other.json"})", "only references within"},
      {R"({"$ref":"#/nothing"})", "there is nothing at \"#/nothing\""},
      {R"({"$ref":"#"})", "leads back to itself"},
      {R"({"anyOf":[{"$ref":"#"},{"$ref":"#"}]})", "no finite text"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "left recursion"},
      {R"({"oneOf":[{"type":"array","items":{"type":"null"}},{"minItems":1}]})",
       "\"items\" cannot be negated"},
      {R"({"not":{"not":{"not":{"format":"date"}}}})",
       "#/not/not/not: \"format\" cannot be negated"},
      {R"({"if":{"patternProperties":{"a":false}},"else":false})",
       "#/if: \"patternProperties\" cannot be negated"},
      {R"({"not":{"$ref":"#"}})", "leads back to itself"},
      {R"({"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}},"not":{"$ref":"#/$defs/a"}})",
       "leads back to itself"},
      {R"({"dependentRequired":{"a":"b"}})", "must be an object of lists of strings"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "no finite text"},
      {R"({"type":"string","enum":[]})", "no finite text"},
      {R"({"minProperties":3})", "minProperties"},
      {R"({"multipleOf":0.3})", "\"multipleOf\": 0.3"},
      {R"([1])", "expected a schema"},
      {R"({"type")", "not valid JSON"},
      {R"({"type":"string","type":"null"})", "duplicate key"},
  };
  for (const auto& [schema, message] : kCases) {
    const auto grammar = Grammar::json_schema(schema);
    ASSERT_FALSE(grammar) << schema;
    EXPECT_NE(grammar.error().message.find(message), std::string::npos)
        << grammar.error().message << "\n"
        << message;
  }
}

TEST(JsonSchema, UnknownNamesAreAnnotationsAndReported) {
  const auto grammar = *Grammar::json_schema(
      R"({"type":"object","properties":{"markdown":{"javaType":"x","type":"string","format":"klingon"}},"javaType":"y","order":1,
         "_type":"?"})");
  EXPECT_EQ(grammar.ignored(),
            (std::vector<std::string>{"_type", "format: klingon", "javaType", "order"}));
}

TEST(JsonSchema, HostileSchemasEndInTime) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += R"({"items":)";
  Json wide = {{"type", "object"}};
  for (int i = 0; i < 20'000; ++i) {
    wide["properties"]["property" + std::to_string(i)] = {{"type", "string"}, {"maxLength", 9}};
  }
  Json enumeration;
  for (int i = 0; i < 60'000; ++i) enumeration["enum"].push_back("value " + std::to_string(i));
  Json chain;
  for (int i = 0; i < 3000; ++i) {
    chain["$defs"]["d" + std::to_string(i)] = {{"$ref", "#/$defs/d" + std::to_string(i + 1)}};
  }
  chain["$ref"] = "#/$defs/d0";
  Json product;
  for (int i = 0; i < 40; ++i) {
    product["allOf"].push_back(
        {{"anyOf", {{{"minimum", i}}, {{"maxLength", i + 1}}, {{"minItems", i}}}}});
  }
  Json lengths;
  for (int i = 0; i < 200; ++i) {
    lengths["properties"]["p" + std::to_string(i)] = {
        {"type", "string"}, {"minLength", 19'000 + i}, {"pattern", "^(a|b)*a(a|b){12}$"}};
  }
  Json dependencies;
  Json choice;
  Json conditions;
  Json negated = {{"const", 1}};
  for (int i = 0; i < 300; ++i) {
    const std::string name = "p" + std::to_string(i);
    dependencies["dependentRequired"][name] = {"p" + std::to_string(i + 1)};
    if (i < 16) choice["oneOf"].push_back({{"required", {name, name + "a", name + "b"}}});
    conditions["allOf"].push_back({{"if", {{"required", {name}}}}, {"then", {{"minLength", i}}}});
    if (i < 50) negated = {{"not", {{"properties", {{"a", negated}}}, {"required", {name}}}}};
  }
  for (const std::string& text :
       {dependencies.dump(), choice.dump(), conditions.dump(), negated.dump(), deep, wide.dump(),
        enumeration.dump(), chain.dump(), product.dump(), lengths.dump(), std::string(1 << 20, '['),
        std::string("{\"enum\":[") + std::string(1 << 20, '9') + "]}"}) {
    const auto begin = std::chrono::steady_clock::now();
    const auto grammar = Grammar::json_schema(text);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(taken.count(), 4 * kSlowness)
        << text.substr(0, 60) << (grammar ? " compiled" : grammar.error().message);
  }
}

// With real vocabularies: byte-level, and SentencePiece's with tokens for bytes.
TEST(JsonSchema, RealTokenizersWriteValidJson) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const Json schema = Json::parse(R"({"type":"object","properties":{
    "name":{"type":"string","maxLength":8},"age":{"type":"integer","minimum":0,"maximum":150},
    "tags":{"type":"array","items":{"enum":["red","green","日本"]},"maxItems":3},
    "note":{"type":["string","null"],"pattern":"^[a-zé]{0,5}$"}},
    "required":["name","age"],"additionalProperties":false})");
  const auto grammar = *Grammar::parsed_json_schema(schema);
  for (const char* model : {"qwen3", "llama2", "deepseek-v3"}) {
    const auto tokenizer = Tokenizer::load(std::string(data) + "/tokenizers/" + model);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    const auto tokens = TokenTable::create(**tokenizer);
    for (int32_t t = 0; t < tokens->vocab_size(); ++t) {
      if ((*tokenizer)->is_special(t)) ASSERT_TRUE(tokens->bytes(t).empty());
    }
    const auto masks = std::make_shared<GrammarMasks>(grammar, tokens);
    std::mt19937 random(9);
    int drawn = 0;
    for (int i = 0; i < 40; ++i) {
      GrammarMatcher matcher(masks);
      const auto text = draw(matcher, *tokens, random, 200);
      if (!text) continue;
      ++drawn;
      ASSERT_TRUE(valid(schema, Json::parse(*text), schema)) << *text;
    }
    EXPECT_GT(drawn, 30) << model;
    // What the tokenizer itself makes of a valid text is allowed, and decodes to that text.
    const std::string text = R"({"name": "Zoë", "age": 41, "tags": ["日本", "red"]})";
    GrammarMatcher matcher(masks);
    std::string written;
    const auto ids = (*tokenizer)->encode("x" + text, {.add_bos_eos = false});
    for (const int32_t id : *ids) {
      written += tokens->bytes(id);
    }
    const size_t begin = written.find('{');
    ASSERT_NE(begin, std::string::npos);
    EXPECT_EQ(written.substr(begin), text) << model;
    EXPECT_TRUE(matcher.accept_bytes(written.substr(begin)) && matcher.is_finished());
  }
}

}  // namespace
}  // namespace lotse
