#include "engine/grammar/number_range.h"

#include <algorithm>

#include "engine/grammar/json_rules.h"

namespace lotse {
namespace {

using Kind = Expression::Kind;

constexpr int64_t kLimit = 1'000'000'000'000'000'000;  // 10^18

Expression digits(char low, char high) {
  return Expression::of(CodePointSet{{static_cast<char32_t>(low), static_cast<char32_t>(high)}});
}
Expression any_digits(int64_t min, int64_t max) {
  return Expression::repeat(digits('0', '9'), min, max);
}
Expression sequence(std::vector<Expression> parts) {
  return Expression::of(Kind::sequence, std::move(parts));
}
Expression either(std::vector<Expression> parts) {
  return Expression::of(Kind::alternation, std::move(parts));
}
Expression text(std::string_view characters) {
  Expression result;
  for (const char c : characters) result.parts.push_back(digits(c, c));
  return result;
}
int64_t length(std::string_view s) { return static_cast<int64_t>(s.size()); }

// Texts of as many digits, from or up to `bound`.
Expression at_least(std::string_view bound) {
  if (bound.empty()) return {};
  std::vector<Expression> parts;
  const char first = bound[0];
  parts.push_back(sequence({digits(first, first), at_least(bound.substr(1))}));
  if (first < '9') {
    parts.push_back(sequence({digits(static_cast<char>(first + 1), '9'),
                              any_digits(length(bound) - 1, length(bound) - 1)}));
  }
  return either(std::move(parts));
}
Expression at_most(std::string_view bound) {
  if (bound.empty()) return {};
  std::vector<Expression> parts;
  const char first = bound[0];
  parts.push_back(sequence({digits(first, first), at_most(bound.substr(1))}));
  if (first > '0') {
    parts.push_back(sequence({digits('0', static_cast<char>(first - 1)),
                              any_digits(length(bound) - 1, length(bound) - 1)}));
  }
  return either(std::move(parts));
}
Expression between(std::string_view low, std::string_view high) {
  if (low.empty()) return {};
  if (low[0] == high[0]) {
    return sequence({digits(low[0], low[0]), between(low.substr(1), high.substr(1))});
  }
  std::vector<Expression> parts;
  parts.push_back(sequence({digits(low[0], low[0]), at_least(low.substr(1))}));
  parts.push_back(sequence({digits(high[0], high[0]), at_most(high.substr(1))}));
  if (low[0] + 1 < high[0]) {
    parts.push_back(sequence({digits(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)),
                              any_digits(length(low) - 1, length(low) - 1)}));
  }
  return either(std::move(parts));
}

// Whole numbers from `low` to `high`, both at least 0.
Expression whole_between(int64_t low, int64_t high) {
  std::vector<Expression> parts;
  int64_t first = low;
  while (first <= high) {
    const std::string from = std::to_string(first);
    int64_t last = 9;
    for (size_t i = 1; i < from.size(); ++i) last = last * 10 + 9;
    last = std::min(last, high);
    parts.push_back(between(from, std::to_string(last)));
    first = last + 1;
  }
  return either(std::move(parts));
}

Expression point(Expression fraction) { return sequence({text("."), std::move(fraction)}); }
Expression optional(Expression e) { return Expression::repeat(std::move(e), 0, 1); }
Expression any_fraction() { return optional(point(any_digits(1, JsonRules::kMaxFractionDigits))); }
Expression some_nonzero_digit() {
  return sequence({Expression::repeat(digits('0', '0'), 0, JsonRules::kMaxFractionDigits - 1),
                   digits('1', '9'), any_digits(0, JsonRules::kMaxFractionDigits - 1)});
}

// What may follow the digits of a bound's whole part and point, to be above or below the bound.
Expression fraction_above(std::string_view bound, bool exclusive) {
  if (bound.empty()) {
    return exclusive ? some_nonzero_digit() : any_digits(0, JsonRules::kMaxFractionDigits);
  }
  std::vector<Expression> parts;
  parts.push_back(
      sequence({digits(bound[0], bound[0]), fraction_above(bound.substr(1), exclusive)}));
  if (bound[0] < '9') {
    parts.push_back(sequence({digits(static_cast<char>(bound[0] + 1), '9'),
                              any_digits(0, JsonRules::kMaxFractionDigits)}));
  }
  return either(std::move(parts));
}
Expression fraction_below(std::string_view bound, bool exclusive, bool may_end) {
  std::vector<Expression> parts;
  if (bound.empty()) {
    if (!exclusive) parts.push_back(Expression::repeat(digits('0', '0'), may_end ? 0 : 1, 17));
    return either(std::move(parts));
  }
  if (may_end) parts.emplace_back();
  parts.push_back(
      sequence({digits(bound[0], bound[0]), fraction_below(bound.substr(1), exclusive, true)}));
  if (bound[0] > '0') {
    parts.push_back(sequence({digits('0', static_cast<char>(bound[0] - 1)),
                              any_digits(0, JsonRules::kMaxFractionDigits)}));
  }
  return either(std::move(parts));
}

// Texts without a sign whose value is above or below a bound of at least 0.
Expression magnitude_above(const Decimal& bound, bool exclusive) {
  std::vector<Expression> parts;
  if (bound.whole + 1 < kLimit) {
    parts.push_back(sequence({whole_between(bound.whole + 1, kLimit - 1), any_fraction()}));
  }
  const Expression whole = text(std::to_string(bound.whole));
  if (bound.fraction.empty()) {
    parts.push_back(sequence({whole, exclusive ? point(some_nonzero_digit()) : any_fraction()}));
  } else {
    parts.push_back(sequence({whole, point(fraction_above(bound.fraction, exclusive))}));
  }
  return either(std::move(parts));
}
Expression magnitude_below(const Decimal& bound, bool exclusive) {
  std::vector<Expression> parts;
  if (bound.whole > 0) {
    parts.push_back(sequence({whole_between(0, bound.whole - 1), any_fraction()}));
  }
  const Expression whole = text(std::to_string(bound.whole));
  if (!exclusive || !bound.fraction.empty()) parts.push_back(whole);
  parts.push_back(sequence({whole, point(fraction_below(bound.fraction, exclusive, false))}));
  return either(std::move(parts));
}
Expression any_magnitude() { return sequence({whole_between(0, kLimit - 1), any_fraction()}); }
Expression minus(Expression e) { return sequence({text("-"), std::move(e)}); }

}  // namespace

std::optional<Decimal> Decimal::parse(std::string_view text) {
  Decimal result;
  if (text.starts_with('-')) {
    result.negative = true;
    text.remove_prefix(1);
  }
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    for (const char c : text.substr(e + 1)) {
      if (c >= '0' && c <= '9') exponent = std::min<int64_t>(exponent * 10 + (c - '0'), 10'000);
    }
    if (text.substr(e + 1).starts_with('-')) exponent = -exponent;
    text = text.substr(0, e);
  }
  const size_t dot = std::min(text.find('.'), text.size());
  std::string all(text.substr(0, dot));
  auto position = static_cast<int64_t>(dot) + exponent;
  if (dot < text.size()) all += text.substr(dot + 1);
  const size_t leading = std::min(all.find_first_not_of('0'), all.size());
  if (leading == all.size()) return Decimal{};
  if (position > 100 || position < -100) return std::nullopt;
  if (position < 0) all.insert(0, static_cast<size_t>(-position), '0');
  position = std::max<int64_t>(position, 0);
  if (static_cast<size_t>(position) > all.size()) all.resize(static_cast<size_t>(position), '0');
  for (const char c : all.substr(0, static_cast<size_t>(position))) {
    result.whole = result.whole * 10 + (c - '0');
    if (result.whole >= kLimit) return std::nullopt;
  }
  result.fraction = all.substr(static_cast<size_t>(position));
  while (result.fraction.ends_with('0')) result.fraction.pop_back();
  if (result.fraction.size() > 40) return std::nullopt;
  return result;
}

Result<Dfa> integers_within(const NumberBounds& bounds, DfaBudget& budget) {
  int64_t low = -(kLimit - 1);
  int64_t high = kLimit - 1;
  if (bounds.low) {
    const Decimal& b = *bounds.low;
    low = b.negative ? -b.whole : b.whole + (b.is_whole() ? 0 : 1);
    if (bounds.low_exclusive && b.is_whole()) ++low;
  }
  if (bounds.high) {
    const Decimal& b = *bounds.high;
    high = b.negative ? -b.whole - (b.is_whole() ? 0 : 1) : b.whole;
    if (bounds.high_exclusive && b.is_whole()) --high;
  }
  std::vector<Expression> parts;
  if (low < 0 && low <= high) {
    parts.push_back(minus(whole_between(high < 0 ? -high : 1, std::min(-low, kLimit - 1))));
  }
  parts.push_back(whole_between(std::max<int64_t>(low, 0), high));
  return to_dfa(either(std::move(parts)), RegexMatch::whole, budget);
}

Result<Dfa> numbers_within(const NumberBounds& bounds, DfaBudget& budget) {
  const auto above = [&](const Decimal& b) {
    if (!b.negative) return magnitude_above(b, bounds.low_exclusive);
    return either({any_magnitude(), minus(magnitude_below(b, bounds.low_exclusive))});
  };
  const auto below = [&](const Decimal& b) {
    if (b.negative) return minus(magnitude_above(b, bounds.high_exclusive));
    return either(
        {minus(magnitude_above(Decimal{}, true)), magnitude_below(b, bounds.high_exclusive)});
  };
  const Expression all = either({any_magnitude(), minus(any_magnitude())});
  const Dfa low =
      LOTSE_TRY(to_dfa(bounds.low ? above(*bounds.low) : all, RegexMatch::whole, budget));
  if (!bounds.high) return low;
  const Dfa high = LOTSE_TRY(to_dfa(below(*bounds.high), RegexMatch::whole, budget));
  return intersection(low, high, budget);
}

Dfa multiples_of(int64_t divisor) {
  // States: before anything, after the sign, then one for each remainder of what was read.
  Dfa result;
  const auto digits_from = [&](int64_t remainder) {
    std::vector<Dfa::Edge> edges;
    for (int64_t digit = 0; digit < 10; ++digit) {
      const auto c = static_cast<char32_t>('0' + digit);
      edges.push_back({c, c, static_cast<int32_t>(2 + (remainder * 10 + digit) % divisor)});
    }
    return edges;
  };
  result.edges = {digits_from(0), digits_from(0)};
  result.edges[0].insert(result.edges[0].begin(), {'-', '-', 1});
  result.accepting = {false, false};
  for (int64_t remainder = 0; remainder < divisor; ++remainder) {
    result.edges.push_back(digits_from(remainder));
    result.accepting.push_back(remainder == 0);
  }
  return result;
}

}  // namespace lotse
