// json.dumps of a template's value.
#include <cmath>
#include <vector>

#include "base/utf8.h"
#include "chat_template/printing.h"
#include "chat_template/sorting.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

std::string json_escape(char32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  const bool escaped = code < 0x20 || (ensure_ascii && code > 0x7e);
  if (!escaped) return "";
  if (code < 0x10000) return hex_escape('u', code, 4);
  return hex_escape('u', 0xd800 + ((code - 0x10000) >> 10), 4) +
         hex_escape('u', 0xdc00 + ((code - 0x10000) & 0x3ff), 4);
}

class JsonWriter {
 public:
  JsonWriter(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style) {}

  Result<void> write(const Value& value, int level) {
    switch (value.kind()) {
      case Kind::none:
        return put("null");
      case Kind::boolean:
        return put(value.as_boolean() ? "true" : "false");
      case Kind::integer:
        return put(std::to_string(value.as_integer()));
      case Kind::floating:
        return put(float_text(value.as_floating()));
      case Kind::string:
        return write_string(value.as_string().text);
      case Kind::list:
        if (value.as_list().flavour > Flavour::tuple) break;
        return write_list(value.as_list(), level);
      case Kind::dict:
        return write_dict(value.as_dict(), level);
      default:
        break;
    }
    return fail(ErrorCode::invalid_input, "Object of type {} is not JSON serializable",
                type_name(value));
  }

  Text take() { return std::move(out_); }

 private:
  static std::string float_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  Result<void> put(std::string_view bytes) {
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(bytes.size())));
    out_.append(bytes, false);
    return {};
  }

  Result<void> put(const Text& text) {
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(text.size())));
    out_.append(text);
    return {};
  }

  Result<void> line(int level) {
    if (!style_.indented) return {};
    LOTSE_TRY(budget_.grow(1 + static_cast<int64_t>(style_.indent.size()) * level));
    out_.append("\n", false);
    for (int i = 0; i < level; ++i) out_.append(style_.indent, false);
    return {};
  }

  Result<void> write_string(const Text& text) {
    LOTSE_TRY(put("\""));
    LOTSE_TRY(budget_.grow(static_cast<int64_t>(text.size())));
    size_t shown = 0;  // bytes up to here are written
    for (size_t i = 0; i < text.size();) {
      const Utf8Char c = decode_utf8(text.bytes(), i);
      const std::string escape = json_escape(c.code_point, style_.ensure_ascii);
      if (!escape.empty()) {
        out_.append_slice(text, shown, i);
        LOTSE_TRY(budget_.grow(static_cast<int64_t>(escape.size())));
        out_.append(escape, text.trusted_at(i));
        shown = i + static_cast<size_t>(c.length);
      }
      i += static_cast<size_t>(c.length);
    }
    out_.append_slice(text, shown, text.size());
    return put("\"");
  }

  Result<void> write_list(const List& list, int level) {
    if (list.items.empty()) return put("[]");
    LOTSE_TRY(put("["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i != 0) LOTSE_TRY(put(style_.item_separator));
      LOTSE_TRY(line(level + 1));
      LOTSE_TRY(write(list.items[i], level + 1));
    }
    LOTSE_TRY(line(level));
    return put("]");
  }

  Result<void> write_key(const Value& key) {
    if (key.is(Kind::string)) return write_string(key.as_string().text);
    if (key.is(Kind::none) || key.is_number()) {
      LOTSE_TRY(put("\""));
      LOTSE_TRY(write(key, 0));
      return put("\"");
    }
    return fail(ErrorCode::invalid_input, "keys must be str, int, float, bool or None, not {}",
                type_name(key));
  }

  // The entries in the order of writing.
  Result<std::vector<const Dict::Entry*>> ordered(const Dict& dict) {
    LOTSE_TRY(budget_.grow_items(dict.size()));
    std::vector<const Dict::Entry*> entries;
    std::vector<Value> keys;
    for (const Dict::Entry& entry : dict.entries()) {
      entries.push_back(&entry);
      if (style_.sort_keys) keys.push_back(entry.first);
    }
    if (!style_.sort_keys) return entries;
    std::vector<const Dict::Entry*> sorted;
    for (const size_t i : LOTSE_TRY(sorted_positions(budget_, keys, false))) {
      sorted.push_back(entries[i]);
    }
    return sorted;
  }

  Result<void> write_dict(const Dict& dict, int level) {
    if (dict.size() == 0) return put("{}");
    LOTSE_TRY(put("{"));
    bool first = true;
    for (const Dict::Entry* entry : LOTSE_TRY(ordered(dict))) {
      if (!std::exchange(first, false)) LOTSE_TRY(put(style_.item_separator));
      LOTSE_TRY(line(level + 1));
      LOTSE_TRY(write_key(entry->first));
      LOTSE_TRY(put(style_.key_separator));
      LOTSE_TRY(write(entry->second, level + 1));
    }
    LOTSE_TRY(line(level));
    return put("}");
  }

  Budget& budget_;
  const JsonStyle& style_;
  Text out_;
};

}  // namespace

Result<Text> to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  JsonWriter writer(budget, style);
  LOTSE_TRY(writer.write(value, 0));
  return writer.take();
}

}  // namespace lotse::jinja
