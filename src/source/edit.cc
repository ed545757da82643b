#include "source/edit.h"

#include <fmt/format.h>

#include <algorithm>

namespace lotse {
namespace {

constexpr size_t kContext = 3;

// A line with its line break; the last may have none.
std::vector<Span> lines_of(std::string_view file) {
  std::vector<Span> lines;
  for (size_t begin = 0; begin < file.size();) {
    const size_t newline = file.find('\n', begin);
    const size_t end = newline == std::string_view::npos ? file.size() : newline + 1;
    lines.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    begin = end;
  }
  return lines;
}

// One line that changes. Lines inserted at the end of the file belong to its last.
struct Change {
  size_t line;
  std::vector<Edit> edits;
};

std::vector<Change> changes_of(const std::vector<Span>& lines, const std::vector<Edit>& edits) {
  std::vector<Change> changes;
  size_t line = 0;
  for (const Edit& edit : edits) {
    while (line + 1 < lines.size() && lines[line].end <= edit.span.begin) ++line;
    if (changes.empty() || changes.back().line != line) changes.push_back({line, {}});
    changes.back().edits.push_back(edit);
  }
  return changes;
}

std::string quoted_path(std::string_view path) {
  const bool plain = std::ranges::all_of(
      path, [](char c) { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; });
  if (plain) return std::string(path);
  std::string quoted = "\"";
  for (const char c : path) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c >= ' ' && c < 0x7f) {
      quoted += c;
    } else {
      quoted += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    }
  }
  return quoted + "\"";
}

// Names with spaces end at a tab, or `patch` would cut them.
std::string header_path(std::string_view side, std::string_view path) {
  const std::string whole = quoted_path(std::string(side) + std::string(path));
  return path.find(' ') == std::string_view::npos ? whole : whole + "\t";
}

class Diff {
 public:
  Diff(std::string_view file, const std::vector<Edit>& edits)
      : file_(file), lines_(lines_of(file)), changes_(changes_of(lines_, edits)) {}

  std::string hunks() {
    for (size_t first = 0; first < changes_.size();) {
      size_t last = first;
      while (last + 1 < changes_.size() &&
             changes_[last + 1].line - changes_[last].line <= 2 * kContext) {
        ++last;
      }
      hunk(first, last);
      first = last + 1;
    }
    return std::move(text_);
  }

 private:
  std::string_view line(size_t i) const {
    return file_.substr(lines_[i].begin, lines_[i].end - lines_[i].begin);
  }

  void hunk(size_t first, size_t last) {
    const size_t begin = changes_[first].line - std::min(changes_[first].line, kContext);
    const size_t end = std::min(changes_[last].line + 1 + kContext, lines_.size());
    body_.clear();
    removed_ = added_ = 0;
    size_t next = begin;
    for (size_t i = first; i <= last; ++i) {
      for (; next < changes_[i].line; ++next) put(' ', line(next));
      change(changes_[i]);
      next = changes_[i].line + 1;
    }
    for (; next < end; ++next) put(' ', line(next));
    const auto new_line = static_cast<size_t>(static_cast<int64_t>(begin + 1) + shift_);
    text_ += fmt::format("@@ -{},{} +{},{} @@\n{}", begin + 1, removed_, new_line, added_, body_);
    shift_ += static_cast<int64_t>(added_) - static_cast<int64_t>(removed_);
  }

  void change(const Change& change) {
    const std::string_view old = line(change.line);
    const uint32_t start = lines_[change.line].begin;
    std::vector<Edit> edits = change.edits;
    for (Edit& edit : edits) {
      edit.span.begin -= start;
      edit.span.end -= start;
    }
    const std::string fresh = apply_edits(old, edits);
    const bool kept_last = fresh.ends_with(old) && fresh.size() > old.size() &&
                           fresh[fresh.size() - old.size() - 1] == '\n';
    const bool kept_first = fresh.starts_with(old) && old.ends_with('\n');
    if (kept_first) put(' ', old);
    if (!kept_first && !kept_last) put('-', old);
    std::string_view written = fresh;
    if (kept_first) written.remove_prefix(old.size());
    if (kept_last && !kept_first) written.remove_suffix(old.size());
    for (const Span& span : lines_of(written)) {
      put('+', written.substr(span.begin, span.end - span.begin));
    }
    if (kept_last && !kept_first) put(' ', old);
  }

  void put(char sign, std::string_view text) {
    removed_ += sign != '+' ? 1 : 0;
    added_ += sign != '-' ? 1 : 0;
    body_ += sign;
    body_ += text;
    if (!text.ends_with('\n')) body_ += "\n\\ No newline at end of file\n";
  }

  std::string_view file_;
  std::vector<Span> lines_;
  std::vector<Change> changes_;
  std::string body_;
  size_t removed_ = 0;
  size_t added_ = 0;
  int64_t shift_ = 0;
  std::string text_;
};

}  // namespace

std::vector<Edit> tidy_edits(std::vector<Edit> edits) {
  std::ranges::sort(edits);
  std::vector<Edit> tidy;
  for (Edit& edit : edits) {
    const bool overlaps = !tidy.empty() && edit.span.begin < tidy.back().span.end;
    if (overlaps || (!tidy.empty() && tidy.back() == edit)) continue;
    tidy.push_back(std::move(edit));
  }
  return tidy;
}

std::string apply_edits(std::string_view file, const std::vector<Edit>& edits) {
  std::string result;
  size_t position = 0;
  for (const Edit& edit : edits) {
    result += file.substr(position, edit.span.begin - position);
    result += edit.text;
    position = edit.span.end;
  }
  result += file.substr(position);
  return result;
}

std::string unified_diff(std::string_view path, std::string_view file,
                         const std::vector<Edit>& edits) {
  if (edits.empty()) return "";
  return fmt::format("--- {}\n+++ {}\n{}", header_path("a/", path), header_path("b/", path),
                     Diff(file, edits).hunks());
}

}  // namespace lotse
