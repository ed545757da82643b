#include "source/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/mmap.h"
#include "base/progress.h"
#include "base/utf8.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

struct Listed {
  std::string path;
  Language language;
};

class Walker {
 public:
  Walker(const fs::path& root, SourceReport& report) : root_(root), report_(report) {}

  // Without recursion; a folder is read when its turn comes.
  std::vector<Listed> run() {
    std::vector<std::string> folders = {""};
    while (!folders.empty() && !full_) {
      const std::string folder = std::move(folders.back());
      folders.pop_back();
      std::error_code error;
      fs::directory_iterator entries(root_ / folder, error);
      if (error) {
        remark(folder, "cannot read the folder: " + error.message());
        continue;
      }
      for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
        entry(*entries, folder, folders);
      }
    }
    std::ranges::sort(files_, {}, &Listed::path);
    return std::move(files_);
  }

 private:
  void remark(std::string path, std::string text) {
    report_.remarks.push_back({path.empty() ? "." : std::move(path), std::move(text), true});
  }

  static bool left_out(const fs::path& path) {
    constexpr std::array<std::string_view, 5> kNames = {".git", ".hg", ".svn", "__pycache__",
                                                        "node_modules"};
    std::error_code error;
    return std::ranges::find(kNames, path.filename().string()) != kNames.end() ||
           fs::exists(path / "pyvenv.cfg", error);
  }

  void entry(const fs::directory_entry& entry, const std::string& folder,
             std::vector<std::string>& folders) {
    const std::string name = entry.path().filename().string();
    const std::string path = folder.empty() ? name : folder + "/" + name;
    std::error_code error;
    const fs::file_status status = entry.symlink_status(error);
    if (fs::is_directory(status)) {
      if (!left_out(entry.path())) folders.push_back(path);
      return;
    }
    const std::optional<Language> language = language_of(path);
    if (!language) {
      if (name.ends_with(".ipynb"))
        remark(path, "a notebook: export its code as .py to have it read");
      ++report_.files_other;
    } else if (fs::is_symlink(status)) {
      remark(path, "a symbolic link: not followed");
    } else if (!fs::is_regular_file(status)) {
      remark(path, error ? "cannot be read: " + error.message() : "not a regular file");
    } else if (files_.size() >= kMostSources) {
      if (!full_)
        remark(path, fmt::format("more than {} sources: the rest is left out", kMostSources));
      full_ = true;
    } else {
      files_.push_back({path, *language});
    }
  }

  const fs::path& root_;
  SourceReport& report_;
  std::vector<Listed> files_;
  bool full_ = false;
};

// Adds up hours: those of a topic's uses once, a rule's once a file, or each time.
class Sums {
 public:
  void add(const std::string& path, const Finding& finding) {
    const Rule& rule = *finding.rule;
    TopicSummary& topic = topics_[rule.topic];
    topic.topic = rule.topic;
    switch (finding.verdict.kind) {
      case WorkKind::rename:
        ++topic.renames;
        break;
      case WorkKind::rewrite:
        ++topic.rewrites;
        break;
      case WorkKind::impossible:
        ++topic.impossible;
        break;
    }
    if (rule.per == Per::tree) {
      Hours& once = once_[rule.topic];
      once.low = std::max(once.low, finding.verdict.hours.low);
      once.high = std::max(once.high, finding.verdict.hours.high);
    } else if (rule.per == Per::use || seen_.emplace(&rule, path).second) {
      topic.hours += finding.verdict.hours;
    }
  }

  void finish(SourceReport& report) {
    for (auto& [name, topic] : topics_) {
      topic.hours += once_[name];
      report.total.renames += topic.renames;
      report.total.rewrites += topic.rewrites;
      report.total.impossible += topic.impossible;
      report.total.hours += topic.hours;
      report.topics.push_back(topic);
    }
    report.total.topic = "all";
    std::ranges::sort(report.topics, {}, [](const TopicSummary& topic) {
      return std::pair(-topic.hours.high, topic.topic);
    });
  }

 private:
  std::map<std::string, TopicSummary> topics_;
  std::map<std::string, Hours> once_;
  std::set<std::pair<const Rule*, std::string>> seen_;
};

class Examination {
 public:
  Examination(const fs::path& root, const RuleTable& rules, const SourceTarget* target,
              SourceReport& report)
      : root_(root), rules_(rules), target_(target), report_(report) {}

  void file(const Listed& listed) {
    Result<std::string> text = read_text_file(root_ / listed.path, kLargestSource);
    if (!text) {
      skip(listed.path, text.error().code == ErrorCode::limit
                            ? "larger than " + format_bytes(static_cast<double>(kLargestSource))
                            : reason(text.error()));
      return;
    }
    if (text->find('\0') != std::string::npos) return skip(listed.path, "binary");
    if (!is_valid_utf8(*text)) {
      report_.remarks.push_back({listed.path, "not UTF-8: read byte by byte", false});
    }
    ++report_.files_read;
    report_.bytes += static_cast<int64_t>(text->size());
    Examined examined = examine_source(*text, listed.language, rules_, target_);
    if (examined.cut_short) {
      report_.remarks.push_back(
          {listed.path,
           fmt::format("more than {} findings: the rest is left out, and the patch leaves it alone",
                       kMostFindings),
           false});
    }
    report_.patch += unified_diff(listed.path, *text, examined.edits);
    for (const Finding& finding : examined.findings) {
      sums_.add(listed.path, finding);
      report_.in_patch += finding.in_patch ? 1 : 0;
    }
    if (!examined.findings.empty()) {
      report_.files.push_back({listed.path, std::move(examined.findings)});
    }
  }

  void finish() {
    sums_.finish(report_);
    std::ranges::sort(report_.remarks, {},
                      [](const Remark& remark) { return std::pair(remark.path, remark.text); });
  }

 private:
  void skip(const std::string& path, std::string why) {
    report_.remarks.push_back({path, std::move(why), true});
  }

  // The message without the path, which the remark has.
  static std::string reason(const Error& error) {
    const size_t colon = error.message.find(": ");
    return colon == std::string::npos ? error.message : error.message.substr(colon + 2);
  }

  const fs::path& root_;
  const RuleTable& rules_;
  const SourceTarget* target_;
  SourceReport& report_;
  Sums sums_;
};

}  // namespace

Result<SourceReport> examine_tree(const fs::path& root, const RuleTable& rules,
                                  const SourceTarget* target, const SourceProgress& progress) {
  std::error_code error;
  const fs::file_status status = fs::status(root, error);
  if (!fs::exists(status)) {
    return fail(ErrorCode::not_found, "{}: no such directory", root.string());
  }
  if (!fs::is_directory(status)) {
    return fail(ErrorCode::invalid_input, "{}: not a directory; --source takes a source tree",
                root.string());
  }
  SourceReport report;
  report.root = root.string();
  if (target != nullptr) report.target = target->title;
  const std::vector<Listed> files = Walker(root, report).run();
  Examination examination(root, rules, target, report);
  for (size_t i = 0; i < files.size(); ++i) {
    progress(i, files.size(), files[i].path);
    examination.file(files[i]);
  }
  examination.finish();
  return report;
}

}  // namespace lotse
