#include "source/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/progress.h"
#include "base/utf8.h"

namespace lotse {
namespace {

// Names and literals come from files: no control character of theirs reaches a terminal.
std::string printable(std::string_view text) {
  std::string clean = sanitize_utf8(text);
  std::ranges::replace_if(
      clean, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return clean;
}

std::string hours_text(double hours) {
  if (hours >= 10) return fmt::format("{:.0f}", hours);
  std::string text = fmt::format("{:.1f}", hours);
  if (hours > 0 && text == "0.0") text = "0.1";
  return text;
}

std::string range(const Hours& hours) {
  const std::string low = hours_text(hours.low);
  const std::string high = hours_text(hours.high);
  return low == high ? low : low + " to " + high;
}

// Remarks of rules, numbered in the order in which they appear.
class Notes {
 public:
  std::string mark(const std::string& note) {
    if (note.empty()) return "";
    const auto [found, fresh] = numbers_.emplace(note, texts_.size() + 1);
    if (fresh) texts_.push_back(note);
    return fmt::format(" [{}]", found->second);
  }

  std::string list() const {
    std::string text;
    for (size_t i = 0; i < texts_.size(); ++i) text += fmt::format("  [{}] {}\n", i + 1, texts_[i]);
    return text.empty() ? "" : "\nnotes\n" + text;
  }

 private:
  std::map<std::string, size_t> numbers_;
  std::vector<std::string> texts_;
};

// Findings of one file that say the same, with their lines.
struct Row {
  const Finding* finding;
  std::vector<int64_t> lines;
};

std::vector<Row> rows_of(const SourceFile& file) {
  std::vector<Row> rows;
  std::map<std::pair<const Rule*, std::string>, size_t> known;
  for (const Finding& finding : file.findings) {
    const auto [found, fresh] = known.emplace(std::pair(finding.rule, finding.found), rows.size());
    if (fresh) rows.push_back({&finding, {}});
    rows[found->second].lines.push_back(finding.line);
  }
  return rows;
}

std::string lines_text(std::vector<int64_t> lines) {
  constexpr size_t kShown = 4;
  const size_t times = lines.size();
  lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
  const bool all = lines.size() <= kShown;
  if (!all) lines.resize(kShown);
  std::string text = fmt::format("{}", fmt::join(lines, ","));
  if (!all) text += ",...";
  return times == 1 ? text : fmt::format("{} ({}x)", text, times);
}

std::string findings_text(const SourceReport& report, Notes& notes) {
  std::string text;
  for (const SourceFile& file : report.files) {
    const std::string path = printable(file.path);
    text += "\n" + path + "\n";
    for (const Row& row : rows_of(file)) {
      const Finding& finding = *row.finding;
      text += fmt::format("  {:<10} {:<36} -> {}{}\n  {:<10}   {}:{}\n", name(finding.verdict.kind),
                          printable(finding.found), printable(finding.verdict.counterpart),
                          notes.mark(finding.verdict.note), "", path, lines_text(row.lines));
    }
  }
  return text;
}

std::string summary_text(const SourceReport& report) {
  std::string text = fmt::format("\n{:<34} {:>7} {:>7} {:>8} {:>11}   {}\n", "topic", "places",
                                 "rename", "rewrite", "impossible", "hours (estimate)");
  const auto row = [&text](const TopicSummary& topic) {
    text += fmt::format("{:<34} {:>7} {:>7} {:>8} {:>11}   {}\n", topic.topic, topic.places(),
                        topic.renames, topic.rewrites, topic.impossible, range(topic.hours));
  };
  for (const TopicSummary& topic : report.topics) row(topic);
  row(report.total);
  return text;
}

std::string remarks_text(const SourceReport& report) {
  if (report.remarks.empty()) return "";
  std::string text = "\nfiles\n";
  for (const Remark& remark : report.remarks) {
    text += fmt::format("  {}{}: {}\n", remark.skipped ? "skipped " : "", printable(remark.path),
                        printable(remark.text));
  }
  return text;
}

std::string counted(int64_t count, const char* one, const char* many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

Json hours_json(const Hours& hours) { return {{"low", hours.low}, {"high", hours.high}}; }

Json topic_json(const TopicSummary& topic) {
  return {{"topic", topic.topic},           {"places", topic.places()},
          {"rename", topic.renames},        {"rewrite", topic.rewrites},
          {"impossible", topic.impossible}, {"hours_estimate", hours_json(topic.hours)}};
}

Json finding_json(const std::string& path, const Finding& finding) {
  Json hours = hours_json(finding.verdict.hours);
  hours["per"] = name(finding.rule->per);
  return {{"file", sanitize_utf8(path)},
          {"line", finding.line},
          {"column", finding.column},
          {"found", sanitize_utf8(finding.found)},
          {"topic", finding.rule->topic},
          {"rule", finding.rule->name},
          {"kind", name(finding.verdict.kind)},
          {"counterpart", finding.verdict.counterpart},
          {"note", finding.verdict.note},
          {"in_patch", finding.in_patch},
          {"hours_estimate", hours},
          {"source", finding.rule->source}};
}

}  // namespace

std::string source_verdict(const SourceReport& report) {
  const std::string where = report.target.empty() ? "Ascend" : report.target;
  const TopicSummary& total = report.total;
  if (total.places() == 0) {
    return fmt::format("Nothing that Lotse knows ties this tree to Nvidia ({} read).",
                       counted(report.files_read, "file", "files"));
  }
  std::string renames = counted(total.renames, "rename", "renames");
  if (total.renames > 0) {
    renames += report.in_patch == total.renames
                   ? " (--patch writes all)"
                   : fmt::format(" (--patch writes {})", report.in_patch);
  }
  return fmt::format(
      "{} this tree to Nvidia: {}, {}, {} on {}. Estimated work for someone who knows the code: {} "
      "hours, added up from a range for each finding; an estimate, not a measurement.",
      counted(total.places(), "place ties", "places tie"), renames,
      counted(total.rewrites, "rewrite", "rewrites"),
      total.impossible == 0 ? "none impossible" : fmt::format("{} impossible", total.impossible),
      where, range(total.hours));
}

std::string source_text(const SourceReport& report) {
  Notes notes;
  std::string text =
      fmt::format("{}: {} read ({}), {} of other kinds{}\n", printable(report.root),
                  counted(report.files_read, "source", "sources"),
                  format_bytes(static_cast<double>(report.bytes)), report.files_other,
                  report.target.empty() ? "" : "; target " + report.target);
  text += findings_text(report, notes);
  text += notes.list() + remarks_text(report);
  if (report.total.places() > 0) text += summary_text(report);
  return text + "\n" + source_verdict(report) + "\n";
}

Json source_json(const SourceReport& report) {
  Json findings = Json::array();
  for (const SourceFile& file : report.files) {
    for (const Finding& finding : file.findings) {
      findings.push_back(finding_json(file.path, finding));
    }
  }
  Json topics = Json::array();
  for (const TopicSummary& topic : report.topics) topics.push_back(topic_json(topic));
  Json remarks = Json::array();
  for (const Remark& remark : report.remarks) {
    remarks.push_back({{"file", sanitize_utf8(remark.path)},
                       {"text", sanitize_utf8(remark.text)},
                       {"skipped", remark.skipped}});
  }
  return {{"directory", sanitize_utf8(report.root)},
          {"target", report.target.empty() ? Json(nullptr) : Json(report.target)},
          {"files_read", report.files_read},
          {"files_of_other_kinds", report.files_other},
          {"findings", findings},
          {"topics", topics},
          {"total", topic_json(report.total)},
          {"in_patch", report.in_patch},
          {"remarks", remarks},
          {"verdict", source_verdict(report)}};
}

}  // namespace lotse
