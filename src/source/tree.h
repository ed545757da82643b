// A source tree against the rules. Nothing in it is executed, imported or changed.
#pragma once

#include <filesystem>
#include <functional>

#include "source/examine.h"

namespace lotse {

inline constexpr int64_t kLargestSource = int64_t{8} << 20;  // bytes a file
inline constexpr size_t kMostSources = 100'000;              // files

// Something about a file that the reader should know: why it was skipped, say.
struct Remark {
  std::string path;
  std::string text;
  bool skipped = true;
};

struct SourceFile {
  std::string path;  // relative to the tree
  std::vector<Finding> findings;
};

struct TopicSummary {
  std::string topic;
  int64_t renames = 0;
  int64_t rewrites = 0;
  int64_t impossible = 0;
  Hours hours;

  int64_t places() const { return renames + rewrites + impossible; }
};

struct SourceReport {
  std::string root;
  std::string target;  // title; empty without one
  int64_t files_read = 0;
  int64_t files_other = 0;  // neither sources nor lists of dependencies
  int64_t bytes = 0;
  std::vector<SourceFile> files;     // those with findings, by path
  std::vector<Remark> remarks;       // by path
  std::vector<TopicSummary> topics;  // most hours first
  TopicSummary total;
  int64_t in_patch = 0;
  std::string patch;  // a unified diff of the renames
};

// Called before each file: how many of how many, and its path.
using SourceProgress = std::function<void(size_t, size_t, std::string_view)>;

// Reads the sources below `root` in the order of their paths. Symbolic links are not followed;
// version control's folders and Python environments are left out. Errors: not_found and
// invalid_input for a root that is no directory. A file that cannot be read is a remark.
Result<SourceReport> examine_tree(const std::filesystem::path& root, const RuleTable& rules,
                                  const SourceTarget* target, const SourceProgress& progress);

}  // namespace lotse
