#include "chat_template/formatting.h"

#include <cmath>

#include "base/utf8.h"
#include "chat_template/format_spec.h"
#include "chat_template/operators.h"
#include "chat_template/printing.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

Result<Text> repr_text(Budget& budget, const Value& value) {
  Text text;
  LOTSE_TRY(append_repr(budget, text, value));
  return text;
}

std::unexpected<Error> bad_format(std::string_view what) {
  return fail(ErrorCode::invalid_input, "{}", what);
}

// Takes the % conversions of one format in turn.
class PercentFormatter {
 public:
  PercentFormatter(Budget& budget, const String& format, const Value& arguments)
      : budget_(budget), format_(format), bytes_(format.bytes()), arguments_(arguments) {}

  Result<Text> run() {
    while (position_ < bytes_.size()) {
      const size_t percent = std::min(bytes_.find('%', position_), bytes_.size());
      LOTSE_TRY(budget_.grow(static_cast<int64_t>(percent - position_)));
      out_.append_slice(format_.text, position_, percent);
      position_ = percent;
      if (position_ < bytes_.size()) LOTSE_TRY(convert());
    }
    const bool all_used = arguments_.is_list(Flavour::tuple)
                              ? used_ == arguments_.as_list().items.size()
                              : used_ > 0 || is_mapping();
    if (!all_used && !by_name_) {
      return bad_format("not all arguments converted during string formatting");
    }
    return std::move(out_);
  }

 private:
  // What Python counts as a mapping here, whose items need not all be used: all with subscripts.
  bool is_mapping() const {
    return arguments_.is(Kind::dict) || arguments_.is(Kind::undefined) ||
           arguments_.is_list(Flavour::list) || arguments_.is_list(Flavour::range);
  }

  Result<Value> next_argument() {
    if (!arguments_.is_list(Flavour::tuple)) {
      if (used_++ == 0) return arguments_;
    } else if (used_ < arguments_.as_list().items.size()) {
      return arguments_.as_list().items[used_++];
    }
    return bad_format("not enough arguments for format string");
  }

  Result<Value> named_argument() {
    const size_t end = bytes_.find(')', position_);
    if (end == std::string_view::npos) return bad_format("incomplete format key");
    if (!arguments_.is(Kind::dict)) return bad_format("format requires a mapping");
    const std::string_view name = bytes_.substr(position_ + 1, end - position_ - 1);
    position_ = end + 1;
    by_name_ = true;
    const Value* value = arguments_.as_dict().find(name);
    if (value == nullptr) return fail(ErrorCode::invalid_input, "KeyError: '{}'", name);
    return *value;
  }

  char at() const { return position_ < bytes_.size() ? bytes_[position_] : '\0'; }

  Result<void> convert() {
    ++position_;
    Value value;
    if (at() == '(') value = LOTSE_TRY(named_argument());
    FormatSpec spec;
    spec.align = '>';
    bool zero = false;
    for (; std::string_view("-+ #0").find(at()) != std::string_view::npos && at() != 0;
         ++position_) {
      if (at() == '-') spec.align = '<';
      if (at() == '+' || (at() == ' ' && spec.sign != '+')) spec.sign = at();
      if (at() == '#') spec.alternate = true;
      if (at() == '0') zero = true;
    }
    if (at() == '*') return fail(ErrorCode::unsupported, "'*' in a format");
    spec.width = std::max<int64_t>(LOTSE_TRY(parse_count(bytes_, position_)), 0);
    if (at() == '.') {
      ++position_;
      spec.precision = std::max<int64_t>(LOTSE_TRY(parse_count(bytes_, position_)), 0);
    }
    if (position_ >= bytes_.size()) return bad_format("incomplete format");
    spec.type = bytes_[position_++];
    if (spec.type == '%') {
      out_.append_slice(format_.text, position_ - 1, position_);
      return {};
    }
    if (value.is(Kind::missing)) value = LOTSE_TRY(next_argument());
    const Text text = LOTSE_TRY(converted(value, spec, zero));
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(text.size())));
    out_.append(text);
    return {};
  }

  Result<Text> converted(const Value& value, FormatSpec spec, bool zero) {
    if (spec.type == 's' || spec.type == 'r') {
      const Text text =
          LOTSE_TRY(spec.type == 's' ? to_text(budget_, value) : repr_text(budget_, value));
      return format_text(budget_, text, spec);
    }
    LOTSE_TRY(require_defined(value));
    if (spec.type == 'c' && value.is(Kind::string) && value.as_string().length == 1) {
      return pad(budget_, value.as_string().text, spec, '>');
    }
    if (std::string_view("diuxXoeEfFgGc").find(spec.type) == std::string_view::npos) {
      return fail(ErrorCode::invalid_input, "unsupported format character '{}'", spec.type);
    }
    if (!value.is_number()) {
      return fail(ErrorCode::invalid_input, "%{} format: a real number is required, not {}",
                  spec.type, type_name(value));
    }
    if (zero && spec.align == '>') {
      spec.align = '=';
      spec.fill = Text("0", true);
    }
    return number(value, spec);
  }

  Result<Text> number(const Value& value, FormatSpec spec) {
    const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    const bool integral = decimal || std::string_view("xXoc").find(spec.type) != std::string::npos;
    if (decimal) spec.type = 'd';
    if (!integral) return format_number(budget_, value, spec);
    if (spec.precision >= 0) return fail(ErrorCode::unsupported, "a precision of an integer");
    if (!value.is(Kind::floating)) return format_number(budget_, value, spec);
    if (!decimal) return bad_format("an integer is required");
    const double whole = std::trunc(value.as_floating());
    if (!(whole >= -0x1p63 && whole < 0x1p63)) {
      return fail(ErrorCode::unsupported, "an integer beyond 64 bits");
    }
    return format_number(budget_, Value::integer(static_cast<int64_t>(whole)), spec);
  }

  Budget& budget_;
  const String& format_;
  std::string_view bytes_;
  const Value& arguments_;
  size_t position_ = 0;
  size_t used_ = 0;
  bool by_name_ = false;
  Text out_;
};

// Takes the {fields} of one str.format in turn.
class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const String& format, const Arguments& arguments)
      : interpreter_(interpreter),
        budget_(interpreter.budget()),
        format_(format),
        bytes_(format.bytes()),
        arguments_(arguments) {}

  Result<Text> run() {
    while (position_ < bytes_.size()) {
      const char c = bytes_[position_];
      const bool doubled = position_ + 1 < bytes_.size() && bytes_[position_ + 1] == c;
      if ((c == '{' || c == '}') && !doubled) {
        if (c == '}') return bad_format("Single '}' encountered in format string");
        LOTSE_TRY(field());
        continue;
      }
      LOTSE_TRY(budget_.grow(1));
      out_.append_slice(format_.text, position_, position_ + 1);
      position_ += c == '{' || c == '}' ? 2 : 1;
    }
    return std::move(out_);
  }

 private:
  Result<void> field() {
    const size_t end = bytes_.find('}', position_);
    if (end == std::string_view::npos) return bad_format("expected '}' before end of string");
    const size_t begin = position_ + 1;
    if (bytes_.substr(begin, end - begin).find('{') != std::string_view::npos) {
      return fail(ErrorCode::unsupported, "a field within a field of a format");
    }
    position_ = end + 1;
    size_t name_end = std::min(bytes_.find_first_of("!:", begin), end);
    Value value = LOTSE_TRY(lookup(bytes_.substr(begin, name_end - begin)));
    if (name_end < end && bytes_[name_end] == '!') {
      value = LOTSE_TRY(convert(value, bytes_.substr(name_end + 1, 1)));
      name_end += 2;
      if (name_end < end && bytes_[name_end] != ':') {
        return bad_format("expected ':' after conversion specifier");
      }
    }
    const Text spec = name_end < end ? format_.text.slice(name_end + 1, end) : Text();
    const Text text = LOTSE_TRY(formatted(value, spec));
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(text.size())));
    out_.append(text);
    return {};
  }

  Result<Value> convert(const Value& value, std::string_view conversion) {
    if (conversion == "s") return Value::string(LOTSE_TRY(to_text(budget_, value)));
    if (conversion == "r") return Value::string(LOTSE_TRY(repr_text(budget_, value)));
    return bad_format("bad conversion specifier in a format");
  }

  Result<Value> argument(std::string_view name) {
    size_t digits = 0;
    const int64_t number = LOTSE_TRY(parse_count(name, digits));
    if (name.empty() || digits == name.size()) {
      const auto index = static_cast<size_t>(name.empty() ? automatic_++ : number);
      if (index < arguments_.positional.size()) return arguments_.positional[index];
      return bad_format("Replacement index out of range for positional args tuple");
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return fail(ErrorCode::invalid_input, "KeyError: '{}'", name);
  }

  // The value of "name.attribute[key]…".
  Result<Value> lookup(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = LOTSE_TRY(argument(path.substr(0, end)));
    while (end < path.size()) {
      const bool attribute = path[end] == '.';
      const size_t begin = end + 1;
      end = std::min(path.find_first_of(attribute ? ".[" : "]", begin), path.size());
      const std::string_view key = path.substr(begin, end - begin);
      if (key.empty()) return bad_format("Empty attribute in format string");
      if (attribute) {
        value = LOTSE_TRY(interpreter_.get_attribute(value, key));
        continue;
      }
      if (end == path.size()) return bad_format("Missing ']' in format string");
      ++end;
      size_t digits = 0;
      const int64_t number = LOTSE_TRY(parse_count(key, digits));
      value = LOTSE_TRY(interpreter_.get_item(
          value, digits == key.size() ? Value::integer(number) : Value::string(key, true)));
    }
    return value;
  }

  Result<Text> formatted(const Value& value, const Text& spec_text) {
    if (spec_text.empty()) return to_text(budget_, value);
    LOTSE_TRY(require_defined(value));
    const FormatSpec spec = LOTSE_TRY(parse_spec(spec_text));
    if (value.is(Kind::string)) {
      if (spec.type != 0 && spec.type != 's') {
        return fail(ErrorCode::invalid_input, "Unknown format code '{}' for object of type 'str'",
                    spec.type);
      }
      return format_text(budget_, value.as_string().text, spec);
    }
    if (!value.is_number()) {
      return fail(ErrorCode::invalid_input, "unsupported format string passed to {}.__format__",
                  type_name(value));
    }
    const std::string_view types = value.is(Kind::floating) ? "eEfFgG%" : "bcdoxXeEfFgG%";
    if (spec.type != 0 && types.find(spec.type) == std::string_view::npos) {
      return fail(ErrorCode::invalid_input, "Unknown format code '{}' for object of type '{}'",
                  spec.type, type_name(value));
    }
    return format_number(budget_, value, spec);
  }

  static bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

  Result<FormatSpec> parse_spec(const Text& text) {
    const std::string_view bytes = text.bytes();
    FormatSpec spec;
    const auto first = static_cast<size_t>(decode_utf8(bytes, 0).length);
    size_t i = 0;
    if (first < bytes.size() && is_align(bytes[first])) {
      spec.fill = text.slice(0, first);
      spec.align = bytes[first];
      i = first + 1;
    } else if (is_align(bytes[0])) {
      spec.align = bytes[i++];
    }
    const auto at = [&](std::string_view choices) {
      return i < bytes.size() && choices.find(bytes[i]) != std::string_view::npos;
    };
    if (at("+- ")) spec.sign = bytes[i++];
    if (at("#")) spec.alternate = ++i > 0;
    if (at("0")) {
      ++i;
      if (spec.align == 0) {
        spec.align = '=';
        spec.fill = Text("0", true);
      }
    }
    spec.width = std::max<int64_t>(LOTSE_TRY(parse_count(bytes, i)), 0);
    if (at(",_")) spec.grouping = bytes[i++];
    if (at(".")) {
      spec.precision = LOTSE_TRY(parse_count(bytes, ++i));
      if (spec.precision < 0) return bad_format("Format specifier missing precision");
    }
    if (i < bytes.size()) spec.type = bytes[i++];
    if (i < bytes.size()) return bad_format("Invalid format specifier");
    return spec;
  }

  Interpreter& interpreter_;
  Budget& budget_;
  const String& format_;
  std::string_view bytes_;
  const Arguments& arguments_;
  size_t position_ = 0;
  int64_t automatic_ = 0;
  Text out_;
};

}  // namespace

Result<Value> percent_format(Budget& budget, const Value& format, const Value& arguments) {
  const String& string = format.as_string();
  if (string.markup) return fail(ErrorCode::unsupported, "formatting escaped text");
  return Value::string(LOTSE_TRY(PercentFormatter(budget, string, arguments).run()));
}

Result<Value> format_string(Interpreter& interpreter, const String& format,
                            const Arguments& arguments) {
  if (format.markup) return fail(ErrorCode::unsupported, "formatting escaped text");
  return Value::string(LOTSE_TRY(BraceFormatter(interpreter, format, arguments).run()));
}

}  // namespace lotse::jinja
