// The tree that regular expressions and the rules of grammars are parsed to.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/grammar/code_points.h"

namespace lotse {

struct Expression {
  enum class Kind : uint8_t {
    set,          // one code point of `set`
    sequence,     // of `parts`; none: the empty text
    alternation,  // one of `parts`; none: no text
    repeat,       // parts[0], `min` to `max` times
    call,         // a rule of the grammar
    begin,        // nothing, where the text begins
    end,          // nothing, where the text ends
  };
  static constexpr int64_t kUnbounded = -1;

  Kind kind = Kind::sequence;
  CodePointSet set;
  std::vector<Expression> parts;
  int64_t min = 0;
  int64_t max = kUnbounded;
  int32_t rule = 0;

  static Expression of(CodePointSet set) {
    Expression e;
    e.kind = Kind::set;
    e.set = std::move(set);
    return e;
  }
  static Expression of(Kind kind, std::vector<Expression> parts = {}) {
    Expression e;
    e.kind = kind;
    e.parts = std::move(parts);
    return e;
  }
  static Expression repeat(Expression what, int64_t min, int64_t max) {
    Expression e = of(Kind::repeat);
    e.parts.push_back(std::move(what));
    e.min = min;
    e.max = max;
    return e;
  }
};

}  // namespace lotse
