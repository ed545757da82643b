// The report as one HTML file: figures, and plots as SVG.
#include <algorithm>
#include <cmath>

#include "load/report.h"

namespace lotse {
namespace {

constexpr double kWidth = 460, kHeight = 200;  // of a plot, without its margins
constexpr double kLeft = 52, kTop = 8, kBelow = 34, kRight = 12;
constexpr size_t kMostPoints = 2000;

constexpr const char* kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Load report</title>
<style>
:root { color-scheme: light dark; --text: #17202b; --muted: #4f5b69; --edge: #c3cbd6;
  --ground: #fff; --one: #0b57a4; --two: #a84300; }
@media (prefers-color-scheme: dark) { :root { --text: #e7ebf1; --muted: #a7b2bf; --edge: #3a4552;
  --ground: #11151b; --one: #7ab8ff; --two: #f2a65a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground);
  max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 0 0 .4rem; }
p { color: var(--muted); margin: .2rem 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1.2rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--edge); text-align: right; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td { font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1.6rem; }
svg { width: 100%; height: auto; } svg text { font-size: 13px; fill: var(--muted); }
.axis { stroke: var(--edge); fill: none; } .line { stroke: var(--one); fill: none; stroke-width: 2; }
.area { fill: var(--one); opacity: .25; } .dot { fill: var(--one); opacity: .55; }
.bad { fill: var(--two); }
</style></head><body>
)";

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

struct Point {
  double x, y;
  bool is_bad = false;
};

// The smallest of 1, 2, 5 × 10ⁿ that makes at most `steps` steps of `range`.
double tick_step(double range, int steps) {
  const double rough = range / steps;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

// A frame from (0, 0) to the largest values, into which lines and dots are drawn.
class Plot {
 public:
  Plot(double largest_x, double largest_y)
      : x_(largest_x > 0 ? largest_x : 1), y_(largest_y > 0 ? largest_y : 1) {}

  void line(const std::vector<Point>& points, bool filled) {
    if (points.empty()) return;
    std::string path;
    for (const Point& p : points) {
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "M" : "L", at_x(p.x), at_y(p.y));
    }
    if (filled) {
      marks_ += fmt::format("<path class=\"area\" d=\"{}L{:.1f},{:.1f}L{:.1f},{:.1f}Z\"/>", path,
                            at_x(points.back().x), at_y(0), at_x(points.front().x), at_y(0));
    }
    marks_ += fmt::format("<path class=\"line\" d=\"{}\"/>", path);
  }

  void dots(const std::vector<Point>& points) {
    const size_t step = points.size() / kMostPoints + 1;
    for (size_t i = 0; i < points.size(); i += step) {
      marks_ += fmt::format("<circle class=\"dot{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>",
                            points[i].is_bad ? " bad" : "", at_x(points[i].x), at_y(points[i].y));
    }
  }

  std::string html(const char* title, const char* x_name, const char* y_name) const {
    std::string axes = fmt::format("<path class=\"axis\" d=\"M{0},{1}V{2}H{3}\"/>", kLeft, kTop,
                                   kTop + kHeight, kLeft + kWidth);
    const double step_x = tick_step(x_, 6), step_y = tick_step(y_, 5);
    for (int i = 0; i * step_x <= x_ * 1.0001; ++i) {
      axes += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:g}</text>",
                          at_x(i * step_x), kTop + kHeight + 14, i * step_x);
    }
    for (int i = 0; i * step_y <= y_ * 1.0001; ++i) {
      axes += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>", kLeft - 6,
                          at_y(i * step_y) + 4, i * step_y);
    }
    return fmt::format(
        "<section><h2>{0}</h2><svg viewBox=\"0 0 {1} {2}\" role=\"img\" aria-label=\"{0}: {4} by "
        "{3}\">{5}{6}<text x=\"{7}\" y=\"{8}\" text-anchor=\"end\">{3}</text>"
        "<text x=\"{9}\" y=\"{10}\">{4}</text></svg></section>\n",
        title, kLeft + kWidth + kRight, kTop + kHeight + kBelow, x_name, y_name, axes, marks_,
        kLeft + kWidth, kTop + kHeight + 30, kLeft + 6, kTop + 10);
  }

 private:
  double at_x(double x) const { return kLeft + x / x_ * kWidth; }
  double at_y(double y) const { return kTop + kHeight - std::min(y / y_, 1.0) * kHeight; }

  double x_, y_;
  std::string marks_;
};

// How many of the values are below each: a curve from 0 to 100%.
std::string shares(const char* title, std::vector<double> milliseconds) {
  if (milliseconds.empty()) return "";
  std::ranges::sort(milliseconds);
  // The last hundredth may be far away: it would press all others together.
  const double end = milliseconds[(milliseconds.size() - 1) * 99 / 100] * 1.15;
  Plot plot(end, 100);
  std::vector<Point> points = {{0, 0}};
  const size_t step = milliseconds.size() / kMostPoints + 1;
  const auto count = static_cast<double>(milliseconds.size());
  for (size_t i = 0; i < milliseconds.size() && milliseconds[i] <= end; i += step) {
    points.push_back({milliseconds[i], 100 * static_cast<double>(i + 1) / count});
  }
  points.push_back({end, points.back().y});
  plot.line(points, false);
  return plot.html(title, "ms", "% of values below");
}

// Sums of events over the run, in up to 120 parts of equal length.
class Timeline {
 public:
  explicit Timeline(double seconds)
      : part_(std::max(seconds / 120, 1e-3)),
        sums_(static_cast<size_t>(std::max(seconds, 0.0) / part_) + 1) {}
  void add(double time, double amount) {
    const double part = std::clamp(time / part_, 0.0, static_cast<double>(sums_.size() - 1));
    sums_[static_cast<size_t>(part)] += amount;
  }
  // As rates per second.
  std::vector<Point> rates() const {
    std::vector<Point> points;
    for (size_t i = 0; i < sums_.size(); ++i) {
      points.push_back({static_cast<double>(i) * part_, sums_[i] / part_});
    }
    return points;
  }
  // As a running total.
  std::vector<Point> totals() const {
    std::vector<Point> points;
    double total = 0;
    for (size_t i = 0; i < sums_.size(); ++i) {
      total += sums_[i];
      points.push_back({static_cast<double>(i) * part_, total});
    }
    return points;
  }

 private:
  double part_;
  std::vector<double> sums_;
};

std::string over_time(const char* title, const char* unit, const std::vector<Point>& points) {
  const auto highest = std::ranges::max_element(points, {}, &Point::y);
  Plot plot(points.back().x, highest->y * 1.05);
  plot.line(points, true);
  return plot.html(title, "s", unit);
}

std::string plots(const LoadReport& report) {
  std::vector<double> first, per_token, gaps, ends;
  std::vector<Point> dots;
  double highest = 0;
  Timeline tokens(report.summary.seconds), in_flight(report.summary.seconds);
  for (const RequestRecord& r : report.run.records) {
    in_flight.add(r.sent, 1);
    in_flight.add(r.ended, -1);
    const double wait = (r.first - r.sent) * 1000;
    if (r.error.empty()) {
      first.push_back(wait);
      ends.push_back((r.ended - r.sent) * 1000);
      if (const auto time = time_per_token(r)) per_token.push_back(*time * 1000);
      for (size_t i = 1; i < r.texts.size(); ++i)
        gaps.push_back((r.texts[i] - r.texts[i - 1]) * 1000);
      const auto each = static_cast<double>(r.completion_tokens) /
                        static_cast<double>(std::max<size_t>(r.texts.size(), 1));
      for (const double time : r.texts) tokens.add(time, each);
    }
    highest = std::max(highest, wait);
    dots.push_back({r.sent, wait, !r.error.empty()});
  }
  Plot waits(report.summary.seconds, highest * 1.05);
  waits.dots(dots);
  return over_time("Output tokens per second", "tokens/s", tokens.rates()) +
         over_time("Requests in flight", "requests", in_flight.totals()) +
         waits.html("Time to first token, over the run", "s", "ms") +
         shares("Time to first token", std::move(first)) +
         shares("Time per output token", std::move(per_token)) +
         shares("Inter-token latency", std::move(gaps)) + shares("End to end", std::move(ends));
}

std::string table(const LoadSummary& s) {
  std::string html =
      "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">ms</th><th scope=\"col\">mean</th>"
      "<th scope=\"col\">p50</th><th scope=\"col\">p90</th><th scope=\"col\">p99</th>"
      "<th scope=\"col\">max</th></tr></thead><tbody>\n";
  const auto row = [&html](const char* name, const Percentiles& p) {
    html += fmt::format("<tr><td>{}</td>", name);
    for (const double value : {p.mean, p.p50, p.p90, p.p99, p.max}) {
      html += fmt::format("<td>{:.2f}</td>", value * 1000);
    }
    html += "</tr>\n";
  };
  row("time to first token", s.first_token);
  row("time per output token", s.per_token);
  row("inter-token latency", s.inter_token);
  row("end to end", s.end_to_end);
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string load_page(const LoadReport& report) {
  std::string html = std::string(kHead) + "<h1>Load on " + escaped(report.run.model) + "</h1>\n";
  // The text has the table, too: here a real one takes its place.
  const std::string text = load_text(report);
  bool in_table = false;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) {
      in_table = !in_table;
      if (in_table) html += table(report.summary);
    } else if (!in_table) {
      html += "<p>" + escaped(line) + "</p>\n";
    }
  }
  return html + "<div class=\"plots\">\n" + plots(report) + "</div></body></html>\n";
}

}  // namespace lotse
