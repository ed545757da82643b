// Changes to a file, and the unified diff that makes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "source/use.h"

namespace lotse {

struct Edit {
  Span span;  // replaced; empty for an insertion before span.begin
  std::string text;

  friend auto operator<=>(const Edit&, const Edit&) = default;
};

// Sorts, drops duplicates, and of edits that overlap all but the first.
std::vector<Edit> tidy_edits(std::vector<Edit> edits);

// The file with tidy edits made.
std::string apply_edits(std::string_view file, const std::vector<Edit>& edits);

// What `git apply` and `patch -p1` take: a/PATH to b/PATH with three lines of context; empty
// without edits. `edits` are tidy, and replacements hold no part of a line break. `path` is
// relative; odd characters in it are quoted as git does.
std::string unified_diff(std::string_view path, std::string_view file,
                         const std::vector<Edit>& edits);

}  // namespace lotse
