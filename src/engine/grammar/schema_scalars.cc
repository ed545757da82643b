// Numbers, strings, and the values of enum and const.
#include "engine/grammar/byte_trie.h"
#include "engine/grammar/regex_syntax.h"
#include "engine/grammar/schema_writer.h"

namespace lotse {
namespace {

using Json = SchemaJson;

class ScalarWriter {
 public:
  explicit ScalarWriter(SchemaWriter& writer) : writer_(writer) {}

  // The values of enum and const that satisfy the other keywords, too.
  Result<void> write_values(const SchemaView& v, int32_t from, int32_t to) {
    const NumberRules numbers = LOTSE_TRY(number_rules(writer_.document, v));
    const StringRules strings = LOTSE_TRY(string_rules(writer_.document, v, writer_.budget));
    std::optional<Dfa> within;
    if (numbers.any) within = LOTSE_TRY(numbers_within(numbers.bounds, writer_.budget));
    std::vector<std::string> texts;
    for (const Json* value : *v.values) {
      if (value->is_structured()) {
        LOTSE_TRY(refuse_structure(v, *value));
        writer_.json.add_literal(from, *value, to);
        continue;
      }
      if (value->is_string() && !string_fits(value->get_ref<const std::string&>(), strings)) {
        continue;
      }
      if (value->is_number() && within && !LOTSE_TRY(number_fits(*value, numbers, *within, v))) {
        continue;
      }
      texts.push_back(value->dump());
    }
    add_texts(writer_.builder, from, std::move(texts), to);
    return {};
  }

  Result<void> refuse_structure(const SchemaView& v, const Json& value) {
    static constexpr std::string_view kObjectKeywords[] = {
        "properties",    "required",      "additionalProperties", "patternProperties",
        "propertyNames", "minProperties", "maxProperties",        "unevaluatedProperties"};
    static constexpr std::string_view kArrayKeywords[] = {
        "items", "prefixItems", "minItems", "maxItems", "additionalItems", "unevaluatedItems"};
    const std::span<const std::string_view> keywords =
        value.is_object() ? std::span<const std::string_view>(kObjectKeywords)
                          : std::span<const std::string_view>(kArrayKeywords);
    for (const Json* node : v.nodes) {
      for (const std::string_view keyword : keywords) {
        if (writer_.document.member(*node, std::string(keyword)) == nullptr) continue;
        return writer_.document.problem(
            *node, ErrorCode::unsupported,
            "\"{}\" is not supported together with objects or lists in enum or "
            "const",
            keyword);
      }
    }
    return {};
  }

  static bool string_fits(const std::string& text, const StringRules& rules) {
    int64_t length = 0;
    for (const char c : text) length += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    const bool short_enough = rules.max < 0 || length <= rules.max;
    return length >= rules.min && short_enough && (!rules.form || rules.form->accepts(text));
  }

  Result<bool> number_fits(const Json& value, const NumberRules& rules, const Dfa& within,
                           const SchemaView& v) {
    const auto decimal = Decimal::parse(value.dump());
    if (!decimal) {
      return writer_.document.problem(*v.nodes[0], ErrorCode::unsupported,
                                      "the value {} is not supported beside bounds", value.dump());
    }
    std::string text = (decimal->negative ? "-" : "") + std::to_string(decimal->whole);
    if (!decimal->is_whole()) text += "." + decimal->fraction;
    if (decimal->is_whole()) {
      for (const int64_t divisor : rules.divisors) {
        if (decimal->whole % divisor != 0) return false;
      }
    } else if (!rules.divisors.empty()) {
      return false;
    }
    if (rules.fraction_digits &&
        static_cast<int64_t>(decimal->fraction.size()) > *rules.fraction_digits) {
      return false;
    }
    return within.accepts(text);
  }

  // The ways to write a number without an exponent.
  Result<Dfa> spellings_of(const Decimal& value) {
    const bool is_zero = value.whole == 0 && value.fraction.empty();
    std::string form = is_zero ? "-?0" : (value.negative ? "-" : "") + std::to_string(value.whole);
    form += value.fraction.empty() ? "(\\.0+)?" : "\\." + value.fraction + "0*";
    return to_dfa(*parse_regex(form, RegexDialect::pcre), RegexMatch::whole, writer_.budget);
  }

  Result<void> write_number(const SchemaView& v, int32_t from, int32_t to) {
    const NumberRules rules = LOTSE_TRY(number_rules(writer_.document, v));
    const bool whole = (v.types & kFraction) == 0 || !rules.divisors.empty();
    const bool broken = (v.types & kInteger) == 0;
    if (whole && broken) return {};
    if (!whole && !broken && !rules.any) {
      writer_.builder.add_call(from, writer_.json.number(), to);
      return {};
    }
    const auto within = [&]() -> Result<Dfa> {
      Dfa dfa = LOTSE_TRY(whole ? integers_within(rules.bounds, writer_.budget)
                                : numbers_within(rules.bounds, writer_.budget));
      for (const Decimal& value : rules.excluded) {
        const Dfa spellings = LOTSE_TRY(spellings_of(value));
        dfa = LOTSE_TRY(intersection(dfa, complement(spellings), writer_.budget));
      }
      for (const int64_t divisor : rules.divisors) {
        dfa = LOTSE_TRY(intersection(dfa, multiples_of(divisor), writer_.budget));
      }
      if (broken) {
        const Expression fraction = *parse_regex(R"([^.]+\.\d*[1-9]\d*)", RegexDialect::pcre);
        const Dfa form = LOTSE_TRY(to_dfa(fraction, RegexMatch::whole, writer_.budget));
        dfa = LOTSE_TRY(intersection(dfa, form, writer_.budget));
      }
      if (whole || !rules.fraction_digits) return dfa;
      const std::string form = fmt::format("[^.]+(\\.\\d{{1,{}}})?", *rules.fraction_digits);
      const Dfa digits = LOTSE_TRY(
          to_dfa(*parse_regex(form, RegexDialect::pcre), RegexMatch::whole, writer_.budget));
      return intersection(dfa, digits, writer_.budget);
    }();
    if (!within) {
      return writer_.document.problem(*v.nodes[0], within.error().code, "bounds of a number: {}",
                                      within.error().message);
    }
    add_dfa(writer_.builder, from, *within, to, TextForm::plain);
    return {};
  }

  Result<void> write_string(const SchemaView& v, int32_t from, int32_t to) {
    StringRules rules = LOTSE_TRY(string_rules(writer_.document, v, writer_.budget));
    if (rules.max >= 0 && rules.max < rules.min) return {};
    if (rules.min > kMaxLengthWritten) {
      return writer_.document.problem(*v.nodes[0], ErrorCode::limit, "\"minLength\" above {}",
                                      kMaxLengthWritten);
    }
    if (rules.max > kMaxLengthWritten) rules.max = kMaxLengthWritten;
    const bool bounded = rules.min > 0 || rules.max >= 0;
    if (!rules.form && !bounded) {
      writer_.builder.add_call(from, writer_.json.string(), to);
      return {};
    }
    if (!rules.form) {
      writer_.json.add_string(from, rules.min, rules.max, to);
      return {};
    }
    auto dfa = [&]() -> Result<Dfa> {
      if (!bounded) return std::move(*rules.form);
      return intersection(*rules.form, LOTSE_TRY(of_length(rules.min, rules.max, writer_.budget)),
                          writer_.budget);
    }();
    if (!dfa) {
      return writer_.document.problem(*v.nodes[0], dfa.error().code,
                                      "\"pattern\" or \"format\" with a length: {}",
                                      dfa.error().message);
    }
    const int32_t open = writer_.builder.add_state();
    const int32_t close = writer_.builder.add_state();
    writer_.builder.add_text(from, "\"", open);
    add_dfa(writer_.builder, open, *dfa, close, TextForm::json_string);
    writer_.builder.add_text(close, "\"", to);
    return {};
  }

 private:
  SchemaWriter& writer_;
};

}  // namespace

Result<void> write_values(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to) {
  return ScalarWriter(writer).write_values(v, from, to);
}
Result<void> write_number(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to) {
  return ScalarWriter(writer).write_number(v, from, to);
}
Result<void> write_string(SchemaWriter& writer, const SchemaView& v, int32_t from, int32_t to) {
  return ScalarWriter(writer).write_string(v, from, to);
}

}  // namespace lotse
