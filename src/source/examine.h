// One source file against the rules.
#pragma once

#include "source/edit.h"
#include "source/rules.h"

namespace lotse {

enum class Language {
  python,
  setup_py,
  cpp,
  cuda,
  shell,
  container,
  requirements,
  makefile,
  cmake
};

// By the file's name; nothing for a file that is not read. `path` is relative.
std::optional<Language> language_of(std::string_view path);

struct Finding {
  int64_t line = 0;            // from 1
  int64_t column = 0;          // from 1, in bytes
  std::string found;           // as people know it: "torch.cuda.synchronize", "__global__ softmax"
  const Rule* rule = nullptr;  // of the table that was given
  Verdict verdict;
  bool in_patch = false;  // a rename that the edits make
};

struct Examined {
  std::vector<Finding> findings;  // in the order of the file
  std::vector<Edit> edits;        // tidy
  bool cut_short = false;         // more than kMostFindings; then there are no edits
};

inline constexpr size_t kMostFindings = 10'000;  // a file

// Reads any bytes. `target` may be null.
Examined examine_source(std::string_view file, Language language, const RuleTable& rules,
                        const SourceTarget* target);

}  // namespace lotse
