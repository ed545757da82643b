// Recorded traces: Azure's CSV and Mooncake's JSON Lines.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "base/json.h"
#include "base/mmap.h"
#include "load/workload.h"

namespace lotse {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 24;
constexpr size_t kMaxBlocks = 1 << 16;
constexpr size_t kMaxLine = 1 << 20;

class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  // The next line that is not empty.
  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      const size_t end = std::min(rest_.find('\n'), rest_.size());
      std::string_view line = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
      if (!line.empty()) return line;
    }
    return std::nullopt;
  }
  int64_t number() const { return number_; }

 private:
  std::string_view rest_;
  int64_t number_ = 0;
};

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const size_t comma = line.find(',');
    cells.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

// "2023-11-16 18:17:03.9799600" and what ISO 8601 makes of it; a zone is taken for UTC.
std::optional<double> parse_time(std::string_view cell) {
  const std::string text(cell.substr(0, 40));
  int year = 0, hour = 0, minute = 0, used = 0;
  unsigned month = 0, day = 0;
  double second = 0;
  const int fields = std::sscanf(text.c_str(), "%4d-%2u-%2u%*1[ T]%2d:%2d:%n", &year, &month, &day,
                                 &hour, &minute, &used);
  if (fields != 5 || used == 0) return std::nullopt;
  const char* begin = text.data() + used;
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), second);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  const bool in_range = hour >= 0 && hour < 24 && minute >= 0 && minute < 60;
  if (error != std::errc() || !date.ok() || !in_range || !(second >= 0 && second < 61)) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400 + hour * 3600 + minute * 60 + second;
}

std::optional<int64_t> parse_tokens(std::string_view cell) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc() || end != cell.data() + cell.size()) return std::nullopt;
  return value >= 0 && value <= kMaxTokens ? std::optional(value) : std::nullopt;
}

Result<Workload> read_csv(std::string_view text, const std::string& origin, int64_t limit) {
  constexpr std::string_view kNames[] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};
  Lines lines(text);
  const auto header = split(*lines.next());
  size_t columns[3];
  for (size_t i = 0; i < 3; ++i) {
    const auto found = std::ranges::find(header, kNames[i]);
    if (found == header.end()) {
      return fail(ErrorCode::invalid_input,
                  "{}: expected a column {} (Azure's trace), or JSON Lines (Mooncake's)", origin,
                  kNames[i]);
    }
    columns[i] = static_cast<size_t>(found - header.begin());
  }
  Workload workload;
  while (std::ssize(workload) < limit) {
    const auto line = lines.next();
    if (!line) break;
    const auto cells = split(*line);
    const auto cell = [&](size_t i) {
      return columns[i] < cells.size() ? cells[columns[i]] : std::string_view();
    };
    const auto wrong = [&](size_t i, const char* expected) {
      return fail(ErrorCode::invalid_input, "{}:{}: {}: expected {}, got \"{}\"", origin,
                  lines.number(), kNames[i], expected, cell(i).substr(0, 60));
    };
    const auto time = parse_time(cell(0));
    if (!time) return wrong(0, "a time such as 2023-11-16 18:17:03.97");
    const auto input = parse_tokens(cell(1));
    if (!input) return wrong(1, "a number of tokens");
    const auto output = parse_tokens(cell(2));
    if (!output) return wrong(2, "a number of tokens");
    workload.push_back({*time, std::max<int64_t>(*input, 1), std::max<int64_t>(*output, 1)});
  }
  return workload;
}

Result<Workload> read_json_lines(std::string_view text, const std::string& origin, int64_t limit) {
  Workload workload;
  Lines lines(text);
  while (std::ssize(workload) < limit) {
    const auto line = lines.next();
    if (!line) break;
    const std::string where = fmt::format("{}:{}", origin, lines.number());
    if (line->size() > kMaxLine) {
      return fail(ErrorCode::limit, "{}: a line of {} bytes; at most {} are read", where,
                  line->size(), kMaxLine);
    }
    const Json json = LOTSE_TRY(parse_json(*line, where));
    if (!json.is_object()) return fail(ErrorCode::invalid_input, "{}: expected an object", where);
    const JsonFields fields(json, where);
    PlannedRequest request;
    const auto milliseconds = LOTSE_TRY(fields.number("timestamp"));
    if (!milliseconds || !(*milliseconds >= 0)) {
      return fail(ErrorCode::invalid_input, "{}: timestamp: expected milliseconds from 0 on",
                  where);
    }
    request.at_seconds = *milliseconds / 1000;
    const auto length = [&](const char* key) -> Result<int64_t> {
      return std::max<int64_t>(LOTSE_TRY(fields.required_integer(key, 0, kMaxTokens)), 1);
    };
    request.input_tokens = LOTSE_TRY(length("input_length"));
    request.output_tokens = LOTSE_TRY(length("output_length"));
    if (const auto ids = json.find("hash_ids"); ids != json.end()) {
      if (!ids->is_array() || ids->size() > kMaxBlocks) {
        return fail(ErrorCode::invalid_input, "{}: hash_ids: expected an array of numbers", where);
      }
      for (const Json& id : *ids) {
        if (!id.is_number_integer()) {
          return fail(ErrorCode::invalid_input, "{}: hash_ids: expected an array of numbers",
                      where);
        }
        request.blocks.push_back(id.get<int64_t>());
      }
    }
    workload.push_back(std::move(request));
  }
  return workload;
}

}  // namespace

Result<Workload> read_trace(const std::filesystem::path& path, int64_t limit) {
  const auto file = LOTSE_TRY(MappedFile::open(path));
  const std::string_view text = file->text();
  const auto first = Lines(text).next();
  const bool is_json = first && first->starts_with('{');
  Workload workload;
  if (first) {
    workload = LOTSE_TRY(is_json ? read_json_lines(text, path.string(), limit)
                                 : read_csv(text, path.string(), limit));
  }
  if (workload.empty()) {
    return fail(ErrorCode::invalid_input, "{}: the trace has no requests", path.string());
  }
  if (!std::ranges::is_sorted(workload, {}, &PlannedRequest::at_seconds)) {
    return fail(ErrorCode::invalid_input, "{}: expected requests in the order of their times",
                path.string());
  }
  const double start = workload.front().at_seconds;
  for (PlannedRequest& request : workload) request.at_seconds -= start;
  return workload;
}

}  // namespace lotse
