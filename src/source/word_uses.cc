#include "source/word_uses.h"

#include <algorithm>

namespace lotse {
namespace {

constexpr std::string_view kBlank = " \t\r\f\v";

// The characters between which words stand, whatever they are part of.
bool separates(char c) {
  return kBlank.find(c) != std::string_view::npos ||
         std::string_view("'\"=,;()[]{}<>|&$`!?*\\").find(c) != std::string_view::npos;
}

bool in_identifier(char c) { return is_letter(c) || is_digit(c) || c == '_'; }

class Line {
 public:
  Line(std::string_view file, Span line, WordFile kind, const UseSink& sink)
      : file_(file), line_(line), kind_(kind), sink_(sink) {}

  void run() {
    if (kind_ == WordFile::shell || kind_ == WordFile::container) identifiers();
    words();
  }

 private:
  std::string_view text(Span span) const { return file_.substr(span.begin, span.end - span.begin); }

  bool emit(Place place, std::string value, Span span) {
    Use use{.place = place, .text = std::move(value), .span = span};
    use.parts = {span};
    return sink_(use);
  }

  // Environment variables, however they are quoted or expanded.
  void identifiers() {
    for (uint32_t i = line_.begin; i < line_.end;) {
      uint32_t end = i;
      while (end < line_.end && in_identifier(file_[end])) ++end;
      if (end > i) emit(Place::env, std::string(text({i, end})), {i, end});
      i = std::max(end, i + 1);
    }
  }

  void words() {
    std::string_view previous;
    bool first = true;
    for (uint32_t i = line_.begin; i < line_.end;) {
      uint32_t end = i;
      while (end < line_.end && !separates(file_[end])) ++end;
      if (end > i) {
        word({i, end}, previous, first);
        previous = text({i, end});
        first = false;
      }
      i = std::max(end, i + 1);
    }
  }

  void word(Span span, std::string_view previous, bool first) {
    const std::string value(text(span));
    if (kind_ == WordFile::cmake) emit(Place::cmake, value, span);
    if (kind_ == WordFile::requirements) {
      const char before = span.begin > line_.begin ? file_[span.begin - 1] : ' ';
      if (first || previous == "-" || before == '"' || before == '\'') {
        emit(Place::package, package_name(value), span);
      }
      return;
    }
    if (previous.find("install") != std::string_view::npos) installs_ = true;
    if (installs_) emit(Place::package, package_name(value), span);
    if (kind_ == WordFile::container && (previous == "FROM" || previous == "from")) {
      emit(Place::image, value, span);
    }
    if (kind_ != WordFile::cmake) emit(Place::command, value, span);
    if (previous.ends_with("device") || previous.ends_with("DEVICE")) {
      emit(Place::device, value, span);
    }
  }

  std::string_view file_;
  Span line_;
  WordFile kind_;
  const UseSink& sink_;
  bool installs_ = false;
};

// Where the comment of a line begins, else its end.
uint32_t comment_begin(std::string_view file, Span line) {
  for (uint32_t i = line.begin; i < line.end; ++i) {
    const bool free = i == line.begin || kBlank.find(file[i - 1]) != std::string_view::npos;
    if (file[i] == '#' && free) return i;
  }
  return line.end;
}

}  // namespace

std::string package_name(std::string_view requirement) {
  const size_t channel = requirement.find("::");
  if (channel != std::string_view::npos) requirement.remove_prefix(channel + 2);
  std::string name;
  for (const char c : requirement) {
    if (!in_identifier(c) && c != '-' && c != '.') break;
    name += c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c | 32 : c);
  }
  return name;
}

void read_words(std::string_view file, WordFile kind, const UseSink& sink) {
  for (size_t begin = 0; begin < file.size();) {
    const size_t newline = std::min(file.find('\n', begin), file.size());
    Span line{static_cast<uint32_t>(begin), static_cast<uint32_t>(newline)};
    line.end = comment_begin(file, line);
    Line(file, line, kind, sink).run();
    begin = newline + 1;
  }
}

}  // namespace lotse
