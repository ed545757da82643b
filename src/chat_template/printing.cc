#include "chat_template/printing.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

constexpr bool kStructure = false;  // the mark of a container's punctuation

Result<void> put(Budget& budget, Text& out, std::string_view bytes) {
  LOTSE_TRY(budget.grow(static_cast<int64_t>(bytes.size())));
  out.append(bytes, kStructure);
  return {};
}

// An escape for a character that repr does not show as it is; empty for one that it shows.
std::string repr_escape(char32_t c, char quote) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c == static_cast<char32_t>(quote)) return {'\\', quote};
  if (is_printable(c)) return "";
  if (c < 0x100) return hex_escape('x', c, 2);
  return c < 0x10000 ? hex_escape('u', c, 4) : hex_escape('U', c, 8);
}

Result<void> append_string_repr(Budget& budget, Text& out, const String& string) {
  const std::string& bytes = string.bytes();
  LOTSE_TRY(budget.grow(static_cast<int64_t>(bytes.size()) + 2));
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  if (string.markup) out.append("Markup(", kStructure);
  out.append({&quote, 1}, kStructure);
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    const size_t end = i + static_cast<size_t>(c.length);
    const std::string escape = repr_escape(c.code_point, quote);
    if (escape.empty()) {
      out.append_slice(string.text, i, end);
    } else {
      LOTSE_TRY(budget.grow(static_cast<int64_t>(escape.size())));
      out.append(escape, string.text.trusted_at(i));
    }
    i = end;
  }
  out.append({&quote, 1}, kStructure);
  if (string.markup) out.append(")", kStructure);
  return {};
}

Result<void> append_list_repr(Budget& budget, Text& out, const List& list) {
  if (list.flavour == Flavour::iterator) {
    return fail(ErrorCode::unsupported,
                "printing a generator (what map, select, … give); use |list first");
  }
  if (list.flavour == Flavour::range) return fail(ErrorCode::unsupported, "printing a range");
  const bool tuple = list.flavour == Flavour::tuple;
  const bool view = list.flavour >= Flavour::dict_keys;
  if (view) {
    const char* name =
        list.flavour == Flavour::dict_keys
            ? "dict_keys("
            : (list.flavour == Flavour::dict_values ? "dict_values(" : "dict_items(");
    LOTSE_TRY(put(budget, out, name));
  }
  LOTSE_TRY(put(budget, out, tuple ? "(" : "["));
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i != 0) LOTSE_TRY(put(budget, out, ", "));
    LOTSE_TRY(append_repr(budget, out, list.items[i]));
  }
  if (tuple && list.items.size() == 1) LOTSE_TRY(put(budget, out, ","));
  LOTSE_TRY(put(budget, out, tuple ? ")" : "]"));
  return view ? put(budget, out, ")") : Result<void>();
}

Result<void> append_dict_repr(Budget& budget, Text& out, const Dict& dict) {
  LOTSE_TRY(put(budget, out, "{"));
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!std::exchange(first, false)) LOTSE_TRY(put(budget, out, ", "));
    LOTSE_TRY(append_repr(budget, out, key));
    LOTSE_TRY(put(budget, out, ": "));
    LOTSE_TRY(append_repr(budget, out, value));
  }
  return put(budget, out, "}");
}

// Python's form of the shortest digits: an exponent below 1e-4 and from 1e16.
std::string format_digits(std::string digits, int exponent) {
  const auto count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    std::string out = digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1) {
    return digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  }
  return digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, std::fabs(value), std::chars_format::scientific)
          .ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  int exponent = 0;
  const char* exponent_begin = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent_begin, end, exponent);
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  return (std::signbit(value) ? "-" : "") + format_digits(std::move(digits), exponent);
}

Result<void> append_repr(Budget& budget, Text& out, const Value& value) {
  LOTSE_TRY(budget.enter());
  const DepthScope scope(budget);
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      return put(budget, out, "Undefined");
    case Kind::none:
      return put(budget, out, "None");
    case Kind::boolean:
      return put(budget, out, value.as_boolean() ? "True" : "False");
    case Kind::integer:
      return put(budget, out, std::to_string(value.as_integer()));
    case Kind::floating:
      return put(budget, out, float_repr(value.as_floating()));
    case Kind::string:
      return append_string_repr(budget, out, value.as_string());
    case Kind::list:
      return append_list_repr(budget, out, value.as_list());
    case Kind::dict:
      return append_dict_repr(budget, out, value.as_dict());
    case Kind::name_space:
      LOTSE_TRY(put(budget, out, "<Namespace "));
      LOTSE_TRY(append_dict_repr(budget, out, *value.as_namespace().attributes));
      return put(budget, out, ">");
    case Kind::macro:
      LOTSE_TRY(put(budget, out, "<Macro '"));
      LOTSE_TRY(put(budget, out, value.as_macro().definition->name));
      return put(budget, out, "'>");
    case Kind::method:
    case Kind::function:
    case Kind::loop:
      break;
  }
  return fail(ErrorCode::unsupported, "printing a {}", type_name(value));
}

Result<Text> to_text(Budget& budget, const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      return Text();
    case Kind::none:
      return Text("None", true);
    case Kind::boolean:
      return Text(value.as_boolean() ? "True" : "False", true);
    case Kind::integer:
      return Text(std::to_string(value.as_integer()), true);
    case Kind::floating:
      return Text(float_repr(value.as_floating()), true);
    case Kind::string:
      LOTSE_TRY(budget.grow(static_cast<int64_t>(value.as_bytes().size())));
      return value.as_string().text;
    default:
      break;
  }
  Text out;
  LOTSE_TRY(append_repr(budget, out, value));
  return out;
}

}  // namespace lotse::jinja
