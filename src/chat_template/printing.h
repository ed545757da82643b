// Values as text: Python's str() and repr(), and json.dumps.
#pragma once

#include <string>

#include "base/result.h"
#include "chat_template/interpreter.h"

namespace lotse::jinja {

// str(value). A container's own punctuation counts as untrusted, its strings keep their marks;
// numbers, True, False and None are trusted.
Result<Text> to_text(Budget& budget, const Value& value);

// repr(value), appended to `out`.
Result<void> append_repr(Budget& budget, Text& out, const Value& value);

// Python's repr of a float: the shortest digits that read back the same.
std::string float_repr(double value);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;  // of one level, when indented
  Text item_separator;
  Text key_separator;
};

// json.dumps(value, …). Marks as to_text. Errors: what JSON cannot hold.
Result<Text> to_json(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace lotse::jinja
