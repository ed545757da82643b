#include "source/examine.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "source/cpp_uses.h"
#include "source/python_uses.h"
#include "source/word_uses.h"

namespace lotse {
namespace {

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

// What a rename writes: nothing where it cannot be written in place.
class Renamer {
 public:
  explicit Renamer(std::string_view file) : file_(file) {}

  std::optional<std::vector<Edit>> edits(const Use& use, const RuleMatch& match) const {
    if (match.verdict.kind != WorkKind::rename || match.to.empty()) return std::nullopt;
    std::optional<std::vector<Edit>> edits;
    switch (use.place) {
      case Place::python_name:
      case Place::python_decorator:
        edits = dotted(use, match, ".");
        break;
      case Place::cpp_name:
        edits = dotted(use, match, "::");
        break;
      case Place::python_member:
      case Place::cpp_member:
        edits = {{use.parts.front(), std::string(split(match.to, "(").front())}};
        break;
      case Place::python_string:
      case Place::cpp_string:
      case Place::cpp_include:
      case Place::env:
      case Place::command:
      case Place::device:
        edits = beginning(use, match);
        break;
      default:
        break;
    }
    if (!edits ||
        !std::ranges::all_of(*edits, [this](const Edit& edit) { return on_line(edit); })) {
      return std::nullopt;
    }
    return edits;
  }

 private:
  bool on_line(const Edit& edit) const {
    const std::string_view old = file_.substr(edit.span.begin, edit.span.end - edit.span.begin);
    return !old.empty() && old.find_first_of("\r\n") == std::string_view::npos;
  }

  // Part by part where both have as many, so that parts which an import gave stay there; else in
  // one piece, where all of it stands here.
  static std::optional<std::vector<Edit>> dotted(const Use& use, const RuleMatch& match,
                                                 std::string_view separator) {
    const auto from = split(match.pattern, separator);
    const auto to = split(match.to, separator);
    if (from.size() > use.parts.size()) return std::nullopt;
    std::vector<Edit> edits;
    if (from.size() == to.size()) {
      for (size_t i = 0; i < from.size(); ++i) {
        if (from[i] == to[i] || use.parts[i].empty()) continue;
        edits.push_back({use.parts[i], std::string(to[i])});
      }
      return edits;
    }
    const bool here = std::ranges::none_of(
        use.parts.begin(), use.parts.begin() + static_cast<std::ptrdiff_t>(from.size()),
        [](const Span& span) { return span.empty(); });
    if (!here || use.is_import) return std::nullopt;
    edits.push_back(
        {{use.parts.front().begin, use.parts[from.size() - 1].end}, std::string(match.to)});
    return edits;
  }

  // "cuda:*" to "npu:*": the beginning before the star.
  std::optional<std::vector<Edit>> beginning(const Use& use, const RuleMatch& match) const {
    const std::string_view from = match.pattern.substr(0, match.pattern.find('*'));
    const std::string_view to = match.to.substr(0, match.to.find('*'));
    const Span span{use.span.begin, static_cast<uint32_t>(use.span.begin + from.size())};
    if (file_.substr(span.begin, from.size()) != from) return std::nullopt;
    return std::vector<Edit>{{span, std::string(to)}};
  }

  std::string_view file_;
};

class Examiner {
 public:
  Examiner(std::string_view file, const RuleTable& rules, const SourceTarget* target)
      : file_(file), rules_(rules), target_(target), renamer_(file) {}

  bool take(const Use& use) {
    if (cut_short_) return true;
    const std::optional<RuleMatch> match = rules_.match(use, target_);
    std::optional<std::vector<Edit>> edits;
    if (match) edits = renamer_.edits(use, *match);
    if (use.import != 0) note_import(use, edits);
    if (!match) return false;
    if (found_.size() >= kMostFindings) {
      cut_short_ = true;
      return true;
    }
    found_.push_back({use.span.begin, found_.size(), {}, use.import, std::move(edits)});
    Finding& finding = found_.back().finding;
    finding.found = use.shown.empty() ? shown(use) : use.shown;
    finding.rule = match->rule;
    finding.verdict = match->verdict;
    complete(use, *match, finding.verdict.counterpart);
    return true;
  }

  Examined finish(const PythonFile& python) {
    std::ranges::sort(found_, {}, [](const Found& f) { return std::pair(f.offset, f.order); });
    Examined result;
    result.cut_short = cut_short_;
    bool needs_torch_npu = false;
    for (Found& found : found_) {
      if (found.edits && !cut_short_ && import_allows(found.import)) {
        found.finding.in_patch = true;
        needs_torch_npu = needs_torch_npu || found.finding.rule->torch_npu;
        result.edits.insert(result.edits.end(), found.edits->begin(), found.edits->end());
      }
      place(found);
      result.findings.push_back(std::move(found.finding));
    }
    if (needs_torch_npu && !python.has_torch_npu && !python.torch_import.empty()) {
      result.edits.push_back(import_torch_npu(python.torch_import));
    }
    result.edits = tidy_edits(std::move(result.edits));
    return result;
  }

 private:
  struct Found {
    uint32_t offset;
    size_t order;  // of those at the same offset
    Finding finding;
    uint32_t import;
    std::optional<std::vector<Edit>> edits;
  };
  // The counterpart of a pattern with a star holds what the star stands for; that of a string has
  // quotes.
  static void complete(const Use& use, const RuleMatch& match, std::string& counterpart) {
    if (match.to.empty() || counterpart != match.to) return;
    if (counterpart.ends_with('*')) {
      counterpart.pop_back();
      counterpart += use.text.substr(match.pattern.size() - 1);
    }
    if (use.place == Place::python_string || use.place == Place::cpp_string) {
      counterpart = "\"" + counterpart + "\"";
    }
  }

  // Of one "from … import": how many names it has, for how many of them the module is renamed and
  // how, whether a name itself is, and whether a use through it cannot be.
  struct Import {
    size_t names = 0;
    size_t module_renamed = 0;
    std::vector<Edit> module_edits;
    bool name_renamed = false;
    bool fixed_use = false;
  };

  void note_import(const Use& use, const std::optional<std::vector<Edit>>& edits) {
    Import& import = imported_[use.import];
    if (!use.is_import) {
      import.fixed_use = import.fixed_use || !edits;
      return;
    }
    ++import.names;
    if (!edits) return;
    bool module = false;
    for (const Edit& edit : *edits) {
      if (edit.span == use.parts.back()) {
        import.name_renamed = true;
      } else {
        import.module_edits.push_back(edit);
        module = true;
      }
    }
    import.module_renamed += module ? 1 : 0;
  }

  static std::string shown(const Use& use) {
    if (use.place == Place::python_member || use.place == Place::cpp_member) return "." + use.text;
    if (use.place == Place::cpp_string) return "\"" + use.text.substr(0, 60) + "\"";
    if (use.place == Place::cpp_include) return "#include <" + use.text + ">";
    return use.text;
  }

  // A module is renamed for all the names imported from it, and alike, or not at all; a name only
  // where all its uses follow.
  bool import_allows(uint32_t number) const {
    const auto found = imported_.find(number);
    if (found == imported_.end()) return true;
    const Import& import = found->second;
    if (import.name_renamed && import.fixed_use) return false;
    if (import.module_renamed == 0) return true;
    if (import.module_renamed != import.names) return false;
    std::set<Edit> edits(import.module_edits.begin(), import.module_edits.end());
    std::set<Span> spans;
    for (const Edit& edit : edits) spans.insert(edit.span);
    return spans.size() == edits.size();
  }

  void place(Found& found) {
    while (true) {
      const size_t newline = file_.find('\n', line_begin_);
      if (newline == std::string_view::npos || newline >= found.offset) break;
      line_begin_ = newline + 1;
      ++line_;
    }
    found.finding.line = line_;
    found.finding.column = static_cast<int64_t>(found.offset - line_begin_) + 1;
  }

  // A line after the statement, as deep as it.
  Edit import_torch_npu(Span statement) const {
    size_t line = statement.begin;
    while (line > 0 && file_[line - 1] != '\n') --line;
    const std::string indent(file_.substr(line, statement.begin - line));
    const std::string_view before = file_.substr(0, statement.end);
    const std::string_view newline = before.ends_with("\r\n") ? "\r\n" : "\n";
    if (before.ends_with('\n')) {
      return {{statement.end, statement.end}, indent + "import torch_npu" + std::string(newline)};
    }
    return {{statement.end, statement.end}, "\n" + indent + "import torch_npu\n"};
  }

  std::string_view file_;
  const RuleTable& rules_;
  const SourceTarget* target_;
  Renamer renamer_;
  std::vector<Found> found_;
  std::map<uint32_t, Import> imported_;
  bool cut_short_ = false;
  int64_t line_ = 1;
  size_t line_begin_ = 0;
};

}  // namespace

std::optional<Language> language_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  const std::string_view extension = dot == std::string_view::npos ? "" : name.substr(dot + 1);
  const auto any = [](std::string_view text, std::initializer_list<std::string_view> list) {
    return std::ranges::find(list, text) != list.end();
  };
  if (name == "setup.py") return Language::setup_py;
  if (name == "CMakeLists.txt" || extension == "cmake") return Language::cmake;
  if (name.starts_with("Dockerfile") || name == "Containerfile" || extension == "dockerfile") {
    return Language::container;
  }
  if (any(name, {"Makefile", "makefile", "GNUmakefile"}) || extension == "mk") {
    return Language::makefile;
  }
  if (any(name, {"pyproject.toml", "setup.cfg", "Pipfile"}) ||
      (any(extension, {"txt", "in"}) &&
       (name.find("requirements") != std::string_view::npos || name.starts_with("constraints"))) ||
      (any(extension, {"yml", "yaml"}) &&
       (name.starts_with("environment") || name.starts_with("conda")))) {
    return Language::requirements;
  }
  if (any(extension, {"py", "pyi"})) return Language::python;
  if (any(extension, {"cu", "cuh"})) return Language::cuda;
  if (any(extension, {"c", "cc", "cpp", "cxx", "h", "hh", "hpp", "hxx", "inc", "inl"})) {
    return Language::cpp;
  }
  if (any(extension, {"sh", "bash", "zsh", "sbatch", "slurm"})) return Language::shell;
  return std::nullopt;
}

Examined examine_source(std::string_view file, Language language, const RuleTable& rules,
                        const SourceTarget* target) {
  Examiner examiner(file, rules, target);
  const UseSink sink = [&examiner](const Use& use) { return examiner.take(use); };
  PythonFile python;
  switch (language) {
    case Language::python:
      python = read_python(file, false, sink);
      break;
    case Language::setup_py:
      python = read_python(file, true, sink);
      break;
    case Language::cpp:
      read_cpp(file, false, sink);
      break;
    case Language::cuda:
      read_cpp(file, true, sink);
      break;
    case Language::shell:
      read_words(file, WordFile::shell, sink);
      break;
    case Language::container:
      read_words(file, WordFile::container, sink);
      break;
    case Language::requirements:
      read_words(file, WordFile::requirements, sink);
      break;
    case Language::makefile:
      read_words(file, WordFile::makefile, sink);
      break;
    case Language::cmake:
      read_words(file, WordFile::cmake, sink);
      break;
  }
  return examiner.finish(python);
}

}  // namespace lotse
