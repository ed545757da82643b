// The rules of JSON that schemas share: any value, strings, numbers, and the white space between.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "engine/grammar/network.h"

namespace lotse {

// Rules are added when they are first asked for.
class JsonRules {
 public:
  // More digits than these are never needed to name a double, and without a bound a model might
  // write them for ever.
  static constexpr int kMaxIntegerDigits = 18;
  static constexpr int kMaxFractionDigits = 17;
  static constexpr int kMaxIndent = 32;

  explicit JsonRules(NetworkBuilder& builder) : builder_(builder) {}

  int32_t value();
  int32_t object();
  int32_t array();
  int32_t string();
  int32_t number();
  // Nothing, a space, or a line end with up to kMaxIndent spaces.
  int32_t space();

  // The same between two states.
  void add_space(int32_t from, int32_t to) { builder_.add_call(from, space(), to); }
  // One character of a string, escaped in any way that JSON knows.
  void add_character(int32_t from, int32_t to);
  // A string of `min` to `max` characters; max −1: no limit.
  void add_string(int32_t from, int64_t min, int64_t max, int32_t to);
  // A JSON value written with this grammar's white space.
  void add_literal(int32_t from, const nlohmann::ordered_json& value, int32_t to);
  // `: ` or `:`.
  void add_colon(int32_t from, int32_t to);

 private:
  int32_t escape();

  NetworkBuilder& builder_;
  std::optional<int32_t> value_, object_, array_, string_, number_, space_, escape_;
};

}  // namespace lotse
