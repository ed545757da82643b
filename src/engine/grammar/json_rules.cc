#include "engine/grammar/json_rules.h"

#include <nlohmann/json.hpp>

#include "engine/grammar/dfa.h"
#include "engine/grammar/regex_syntax.h"

namespace lotse {
namespace {

constexpr std::string_view kHex = "0123456789abcdefABCDEF";

void add_any_of(NetworkBuilder& builder, int32_t from, std::string_view bytes, int32_t to) {
  for (const char c : bytes) builder.add_text(from, std::string_view(&c, 1), to);
}

}  // namespace

int32_t JsonRules::space() {
  if (space_) return *space_;
  space_ = builder_.add_rule("white space");
  const int32_t end = builder_.end(*space_);
  builder_.add_jump(builder_.start(*space_), end);
  builder_.add_text(builder_.start(*space_), " ", end);
  int32_t at = builder_.add_state();
  builder_.add_text(builder_.start(*space_), "\n", at);
  for (int i = 0; i < kMaxIndent; ++i) {
    builder_.add_jump(at, end);
    const int32_t next = builder_.add_state();
    builder_.add_text(at, " ", next);
    at = next;
  }
  builder_.add_jump(at, end);
  return *space_;
}

// After a backslash. \u escapes of surrogates come in pairs only.
int32_t JsonRules::escape() {
  if (escape_) return *escape_;
  escape_ = builder_.add_rule("an escape");
  const int32_t end = builder_.end(*escape_);
  add_any_of(builder_, builder_.start(*escape_), "\"\\/bfnrt", end);
  const int32_t code = builder_.add_state();
  builder_.add_text(builder_.start(*escape_), "u", code);
  const auto states = [&] { return builder_.add_state(); };
  const int32_t two = states();
  const int32_t three = states();
  const int32_t after_d = states();
  const int32_t high_two = states();
  const int32_t high_three = states();
  const int32_t high_done = states();
  const int32_t low = states();
  const int32_t low_d = states();
  const int32_t before_two = states();
  add_any_of(builder_, code, "0123456789abcefABCEF", before_two);
  add_any_of(builder_, code, "dD", after_d);
  add_any_of(builder_, after_d, "01234567", two);
  add_any_of(builder_, before_two, kHex, two);
  add_any_of(builder_, two, kHex, three);
  add_any_of(builder_, three, kHex, end);
  add_any_of(builder_, after_d, "89abAB", high_two);
  add_any_of(builder_, high_two, kHex, high_three);
  add_any_of(builder_, high_three, kHex, high_done);
  builder_.add_text(high_done, "\\u", low);
  add_any_of(builder_, low, "dD", low_d);
  add_any_of(builder_, low_d, "cdefCDEF", two);
  return *escape_;
}

void JsonRules::add_character(int32_t from, int32_t to) {
  builder_.add_code_points(from, CodePointSet{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}}.inverted(), to);
  const int32_t backslash = builder_.add_state();
  builder_.add_text(from, "\\", backslash);
  builder_.add_call(backslash, escape(), to);
}

void JsonRules::add_string(int32_t from, int64_t min, int64_t max, int32_t to) {
  int32_t at = builder_.add_state();
  builder_.add_text(from, "\"", at);
  const int64_t last = max < 0 ? min : max;
  for (int64_t i = 0; i < last && !builder_.full(); ++i) {
    if (i >= min) builder_.add_text(at, "\"", to);
    const int32_t next = builder_.add_state();
    add_character(at, next);
    at = next;
  }
  if (max < 0) add_character(at, at);
  if (last >= min) builder_.add_text(at, "\"", to);
}

int32_t JsonRules::string() {
  if (!string_) {
    string_ = builder_.add_rule("a string");
    add_string(builder_.start(*string_), 0, -1, builder_.end(*string_));
  }
  return *string_;
}

int32_t JsonRules::number() {
  if (!number_) {
    number_ = builder_.add_rule("a number");
    const auto expression =
        parse_regex(fmt::format(R"(-?(0|[1-9]\d{{0,{}}})(\.\d{{1,{}}})?([eE][+-]?\d{{1,2}})?)",
                                kMaxIntegerDigits - 1, kMaxFractionDigits),
                    RegexDialect::pcre);
    DfaBudget budget;
    add_dfa(builder_, builder_.start(*number_), *to_dfa(*expression, RegexMatch::whole, budget),
            builder_.end(*number_), TextForm::plain);
  }
  return *number_;
}

void JsonRules::add_colon(int32_t from, int32_t to) {
  const int32_t colon = builder_.add_state();
  builder_.add_text(from, ":", colon);
  builder_.add_text(colon, " ", to);
  builder_.add_jump(colon, to);
}

int32_t JsonRules::object() {
  if (object_) return *object_;
  object_ = builder_.add_rule("an object");
  const int32_t open = builder_.add_state();
  const int32_t name = builder_.add_state();
  const int32_t named = builder_.add_state();
  const int32_t before = builder_.add_state();
  const int32_t after = builder_.add_state();
  const int32_t closing = builder_.add_state();
  builder_.add_text(builder_.start(*object_), "{", open);
  builder_.add_text(open, "}", builder_.end(*object_));
  add_space(open, name);
  builder_.add_call(name, string(), named);
  add_colon(named, before);
  builder_.add_call(before, value(), after);
  const int32_t comma = builder_.add_state();
  builder_.add_text(after, ",", comma);
  add_space(comma, name);
  add_space(after, closing);
  builder_.add_text(closing, "}", builder_.end(*object_));
  return *object_;
}

int32_t JsonRules::array() {
  if (array_) return *array_;
  array_ = builder_.add_rule("an array");
  const int32_t open = builder_.add_state();
  const int32_t before = builder_.add_state();
  const int32_t after = builder_.add_state();
  const int32_t closing = builder_.add_state();
  const int32_t comma = builder_.add_state();
  builder_.add_text(builder_.start(*array_), "[", open);
  builder_.add_text(open, "]", builder_.end(*array_));
  add_space(open, before);
  builder_.add_call(before, value(), after);
  builder_.add_text(after, ",", comma);
  add_space(comma, before);
  add_space(after, closing);
  builder_.add_text(closing, "]", builder_.end(*array_));
  return *array_;
}

int32_t JsonRules::value() {
  if (value_) return *value_;
  value_ = builder_.add_rule("a value");
  const int32_t start = builder_.start(*value_);
  const int32_t end = builder_.end(*value_);
  for (const std::string_view word : {"true", "false", "null"}) builder_.add_text(start, word, end);
  for (const int32_t rule : {string(), number(), array(), object()}) {
    builder_.add_call(start, rule, end);
  }
  return *value_;
}

void JsonRules::add_literal(int32_t from, const nlohmann::ordered_json& value, int32_t to) {
  if (!value.is_structured()) return builder_.add_text(from, value.dump(), to);
  const bool is_object = value.is_object();
  const int32_t open = builder_.add_state();
  builder_.add_text(from, is_object ? "{" : "[", open);
  if (value.empty()) return builder_.add_text(open, is_object ? "}" : "]", to);
  int32_t at = builder_.add_state();
  add_space(open, at);
  bool first = true;
  for (const auto& [name, member] : value.items()) {
    if (!first) {
      const int32_t comma = builder_.add_state();
      builder_.add_text(at, ",", comma);
      at = builder_.add_state();
      add_space(comma, at);
    }
    first = false;
    if (is_object) {
      const int32_t named = builder_.add_state();
      builder_.add_text(at, nlohmann::ordered_json(name).dump(), named);
      at = builder_.add_state();
      add_colon(named, at);
    }
    const int32_t next = builder_.add_state();
    add_literal(at, member, next);
    at = next;
  }
  const int32_t closing = builder_.add_state();
  add_space(at, closing);
  builder_.add_text(closing, is_object ? "}" : "]", to);
}

}  // namespace lotse
