#include "chat_template/text_operations.h"

#include <algorithm>

#include "base/checked.h"
#include "base/utf8.h"
#include "chat_template/unicode.h"

namespace lotse::jinja {
namespace {

constexpr int64_t kPartBytes = 256;  // of a string's bookkeeping

bool holds(std::string_view characters, std::string_view character) {
  return find_bytes(characters, character, 0) != std::string_view::npos;
}

Result<void> grow(Budget& budget, size_t bytes) { return budget.grow(static_cast<int64_t>(bytes)); }

}  // namespace

Result<Text> strip(Budget& budget, const Text& text, const std::optional<std::string>& characters,
                   bool left, bool right) {
  const std::string& bytes = text.bytes();
  LOTSE_TRY(grow(budget, bytes.size()));
  const auto stripped = [&](size_t at) {
    const Utf8Char c = decode_utf8(bytes, at);
    if (!characters) return is_space(c.code_point);
    return holds(*characters, std::string_view(bytes).substr(at, static_cast<size_t>(c.length)));
  };
  if (characters) LOTSE_TRY(budget.scan(characters->size()));
  size_t begin = 0;
  size_t end = bytes.size();
  while (left && begin < end && stripped(begin)) {
    if (characters) LOTSE_TRY(budget.scan(characters->size()));
    begin += static_cast<size_t>(decode_utf8(bytes, begin).length);
  }
  while (right && end > begin && stripped(previous_character(bytes, end))) {
    if (characters) LOTSE_TRY(budget.scan(characters->size()));
    end = previous_character(bytes, end);
  }
  return text.slice(begin, end);
}

Result<std::vector<Text>> split(Budget& budget, const Text& text, const std::string& separator,
                                int64_t limit, bool from_right) {
  LOTSE_TRY(grow(budget, text.size()));
  // Cuts never overlap: from the left each is the first one behind the cut before, from the right
  // the last one in front of it.
  std::string bytes = text.bytes();
  std::string needle = separator;
  if (from_right) {
    std::ranges::reverse(bytes);
    std::ranges::reverse(needle);
  }
  std::vector<Text> parts;
  const auto add = [&](size_t begin, size_t end) {
    parts.push_back(from_right ? text.slice(bytes.size() - end, bytes.size() - begin)
                               : text.slice(begin, end));
  };
  size_t begin = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = find_bytes(bytes, needle, begin);
    if (at == std::string::npos) break;
    LOTSE_TRY(budget.grow(kPartBytes));
    add(begin, at);
    begin = at + needle.size();
  }
  add(begin, bytes.size());
  if (from_right) std::ranges::reverse(parts);
  return parts;
}

Result<std::vector<Text>> split_space(Budget& budget, const Text& text, int64_t limit,
                                      bool from_right) {
  const std::string& bytes = text.bytes();
  LOTSE_TRY(grow(budget, bytes.size()));
  struct Word {
    size_t begin;
    size_t end;
  };
  std::vector<Word> words;
  for (size_t i = skip_space(bytes, 0); i < bytes.size(); i = skip_space(bytes, i)) {
    LOTSE_TRY(budget.grow(kPartBytes));
    const size_t begin = i;
    while (i < bytes.size()) {
      const Utf8Char c = decode_utf8(bytes, i);
      if (is_space(c.code_point)) break;
      i += static_cast<size_t>(c.length);
    }
    words.push_back({begin, i});
  }
  if (limit >= 0 && limit < static_cast<int64_t>(words.size())) {
    // The words beyond the limit stay together, with the white space between them.
    const auto kept = static_cast<std::ptrdiff_t>(limit);
    if (from_right) {
      const Word rest{0, (words.end() - kept - 1)->end};
      words.erase(words.begin(), words.end() - kept);
      words.insert(words.begin(), rest);
    } else {
      const Word rest{words[static_cast<size_t>(limit)].begin, bytes.size()};
      words.erase(words.begin() + kept, words.end());
      words.push_back(rest);
    }
  }
  std::vector<Text> parts;
  for (const Word& word : words) parts.push_back(text.slice(word.begin, word.end));
  return parts;
}

Result<std::vector<Text>> split_lines(Budget& budget, const Text& text, bool keep_ends) {
  const std::string& bytes = text.bytes();
  LOTSE_TRY(grow(budget, bytes.size()));
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    size_t end = i + static_cast<size_t>(c.length);
    if (is_line_break(c.code_point)) {
      LOTSE_TRY(budget.grow(kPartBytes));
      if (c.code_point == '\r' && end < bytes.size() && bytes[end] == '\n') ++end;
      lines.push_back(text.slice(begin, keep_ends ? end : i));
      begin = end;
    }
    i = end;
  }
  if (begin < bytes.size()) lines.push_back(text.slice(begin, bytes.size()));
  return lines;
}

Result<Text> replace(Budget& budget, const Text& text, const std::string& old_text,
                     const Text& new_text, int64_t count) {
  const std::string& bytes = text.bytes();
  LOTSE_TRY(grow(budget, bytes.size()));
  Text out;
  size_t begin = 0;
  const auto room = [&] { return budget.check_output(out.size() + bytes.size()); };
  if (!old_text.empty()) {
    for (int64_t done = 0; count < 0 || done < count; ++done) {
      const size_t at = find_bytes(bytes, old_text, begin);
      if (at == std::string::npos) break;
      LOTSE_TRY(grow(budget, new_text.size()));
      LOTSE_TRY(room());
      out.append_slice(text, begin, at);
      out.append(new_text);
      begin = at + old_text.size();
    }
    out.append_slice(text, begin, bytes.size());
    return out;
  }
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    LOTSE_TRY(grow(budget, new_text.size()));
    LOTSE_TRY(room());
    out.append(new_text);
    if (begin == bytes.size()) break;
    const size_t end = begin + static_cast<size_t>(decode_utf8(bytes, begin).length);
    out.append_slice(text, begin, end);
    begin = end;
  }
  out.append_slice(text, begin, bytes.size());
  return out;
}

Result<Text> join(Budget& budget, const Text& separator, const std::vector<Text>& parts) {
  Text out;
  for (size_t i = 0; i < parts.size(); ++i) {
    LOTSE_TRY(grow(budget, parts[i].size() + separator.size()));
    LOTSE_TRY(budget.check_output(out.size() + parts[i].size() + separator.size()));
    if (i != 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

namespace {

// Whether a capital sigma at [at, end) ends a word, which gives it another small letter.
bool is_final_sigma(std::string_view bytes, size_t at, size_t end) {
  const bool after =
      at > 0 && is_cased(decode_utf8(bytes, previous_character(bytes, at)).code_point);
  const bool before = end < bytes.size() && is_cased(decode_utf8(bytes, end).code_point);
  return after && !before;
}

std::string mapped(std::string_view bytes, size_t at, const Utf8Char& c, std::string_view method,
                   bool word_begins) {
  const bool upper = method == "upper" || (method == "swapcase" && !is_upper(c.code_point));
  if (upper) return to_upper(c.code_point);
  const bool title = (method == "title" && word_begins) || (method == "capitalize" && at == 0);
  if (title) return to_title(c.code_point);
  const size_t end = at + static_cast<size_t>(c.length);
  if (c.code_point == 0x3a3 && is_final_sigma(bytes, at, end)) return "ς";
  return to_lower(c.code_point);
}

}  // namespace

Result<Text> map_case(Budget& budget, const Text& text, std::string_view method) {
  const std::string& bytes = text.bytes();
  LOTSE_TRY(grow(budget, bytes.size()));
  LOTSE_TRY(budget.scan(bytes.size() * 8));
  Text out;
  bool word_begins = true;
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Char c = decode_utf8(bytes, i);
    out.append(mapped(bytes, i, c, method, word_begins), text.trusted_at(i));
    word_begins = !is_cased(c.code_point);
    i += static_cast<size_t>(c.length);
  }
  return out;
}

Result<Text> justify(Budget& budget, const Text& text, int64_t width, const Text& fill,
                     char align) {
  const int64_t missing =
      width < 0 ? 0 : std::max<int64_t>(width - count_characters(text.bytes()), 0);
  const auto padding = checked_mul(missing, static_cast<int64_t>(fill.size()));
  LOTSE_TRY(budget.grow(padding.value_or(INT64_MAX)));
  LOTSE_TRY(grow(budget, text.size()));
  int64_t left = align == '<' ? 0 : missing;
  if (align == '^') left = missing / 2 + (missing & width & 1);
  Text out;
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(text);
  for (int64_t i = left; i < missing; ++i) out.append(fill);
  return out;
}

bool text_is(std::string_view text, std::string_view method) {
  if (method == "isascii") return std::ranges::all_of(text, [](char c) { return c >= 0; });
  if (text.empty()) return method == "isprintable";
  const bool upper = method == "isupper";
  bool any_cased = false;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    i += static_cast<size_t>(c.length);
    bool fits = true;
    if (upper || method == "islower") {
      if (is_title(c.code_point) || (upper ? is_lower(c.code_point) : is_upper(c.code_point))) {
        return false;
      }
      any_cased |= is_cased(c.code_point);
      continue;
    }
    if (method == "isalpha") fits = is_alphabetic(c.code_point);
    if (method == "isalnum") fits = is_alphabetic(c.code_point) || is_digit(c.code_point);
    if (method == "isdecimal") fits = is_decimal(c.code_point);
    if (method == "isdigit") fits = is_digit(c.code_point);
    if (method == "isprintable") fits = is_printable(c.code_point);
    if (method == "isspace") fits = is_space(c.code_point);
    if (!fits) return false;
  }
  return any_cased || (!upper && method != "islower");
}

Result<Value> text_list(Budget& budget, std::vector<Text> parts, bool markup) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (Text& part : parts) items.push_back(Value::string(std::move(part), markup));
  return make_list(budget, std::move(items));
}

}  // namespace lotse::jinja
