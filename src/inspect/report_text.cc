#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"
#include "inspect/report.h"

namespace lotse {
namespace {

// "8.19 B", "3.61 M".
std::string format_count(int64_t count) {
  const auto value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.2f} B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.2f} M", value / 1e6);
  return fmt::format("{}", count);
}

// "1.2 ms", "35 µs".
std::string format_time(double seconds) {
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  if (seconds >= 1e-3) return fmt::format("{:.1f} ms", seconds * 1e3);
  return fmt::format("{:.0f} µs", seconds * 1e6);
}

std::string model_text(const ModelFacts& model) {
  const ModelConfig& c = model.config;
  const int64_t parameters = parameter_count(model.program);
  const int64_t active = active_parameter_count(model.program);
  std::string text = fmt::format("{}\n", model.checkpoint.path.string());
  text += fmt::format("  family       {} ({}){}{}\n", model.family, c.model_type,
                      c.architecture.empty() ? "" : ", ", c.architecture);
  text += fmt::format("  parameters   {}{}\n", format_count(parameters),
                      active == parameters ? "" : ", active " + format_count(active));
  text += fmt::format("  shape        {} layers, hidden {}, {} heads on {} KV heads of {}",
                      c.layers, c.hidden, c.heads, c.kv_heads, c.head_dim);
  text += c.moe.experts > 0
              ? fmt::format(", {} of {} experts of {}\n", c.moe.top_k, c.moe.experts, c.moe.width)
              : fmt::format(", MLP {}\n", c.intermediate);
  text += fmt::format("  vocabulary   {}, context up to {}\n", c.vocabulary, c.max_context);
  const std::string files = model.has_weights
                                ? fmt::format("{} tensors, {}", model.tensors,
                                              format_bytes(static_cast<double>(model.stored_bytes)))
                                : std::string("by the configuration alone");
  text += fmt::format("  weights      {}, {} ({}: {})\n", main_format(model.storage),
                      format_bytes(weight_bytes(model.storage)), model.checkpoint.format, files);
  if (model.program.cache_layers.empty()) return text + "  KV cache     none\n";
  text += fmt::format("  KV cache     {} a token in {}\n",
                      format_bytes(kv_bytes_per_token(model.program, model.storage.kv)),
                      model.storage.kv);
  return text;
}

std::string memory_text(const ModelFacts& model, const Storage& storage) {
  std::string text = fmt::format("\nmemory in {} ({} cache)\n  {:>10}", main_format(storage),
                                 storage.kv, "context");
  const std::vector<MemoryRow> rows = memory_table(model, storage);
  for (const MemoryRow& row : rows) {
    if (row.context == rows.front().context)
      text += fmt::format(" {:>12}", fmt::format("batch {}", row.batch));
  }
  int64_t context = 0;
  for (const MemoryRow& row : rows) {
    if (row.context != context) text += fmt::format("\n  {:>10}", row.context);
    context = row.context;
    text += fmt::format(" {:>12}", format_bytes(row.need.total()));
  }
  return text + "\n";
}

// Explanations below the table, each said once.
class Notes {
 public:
  // " [3]", or nothing for an empty text.
  std::string mark(const std::string& text) {
    if (text.empty()) return "";
    auto found = std::ranges::find(texts_, text);
    if (found == texts_.end()) found = texts_.insert(texts_.end(), text);
    return fmt::format(" [{}]", found - texts_.begin() + 1);
  }

  std::string list() const {
    std::string all;
    for (size_t i = 0; i < texts_.size(); ++i) all += fmt::format("  [{}] {}\n", i + 1, texts_[i]);
    return all;
  }

 private:
  std::vector<std::string> texts_;
};

std::string explanation(const Support& support, Notes& notes) {
  switch (support.status) {
    case Support::Status::native:
      return support.how + notes.mark(support.why);
    case Support::Status::converted:
      return "to " + support.to.front() + notes.mark(support.how);
    case Support::Status::composed:
      return fmt::format("{}{}", fmt::join(support.from, " + "), notes.mark(support.why));
    case Support::Status::missing:
      return "-" + notes.mark(support.why + "; would help: " + support.helps);
  }
  return "";
}

// What a conversion changes into, which need not be the profile's first choice.
std::string conversion(const OperatorReport& op, const Storage& after, Notes& notes) {
  Support chosen = op.row.support;
  const auto choose = [&chosen](const std::string& to) {
    if (std::ranges::find(chosen.to, to) != chosen.to.end()) chosen.to.front() = to;
  };
  if (chosen.changes == Support::Changes::kv) choose(after.kv);
  if (chosen.changes == Support::Changes::activations) choose(after.activation);
  if (chosen.changes == Support::Changes::weights) choose(op.format_after);
  // One after the other: the order of operands, and so of footnotes, is the compiler's choice.
  std::string text = explanation(chosen, notes);
  text += ", then " + explanation(op.after, notes);
  return text;
}

std::string operators_text(const TargetReport& report) {
  std::string text = fmt::format("\n{:<18} {:>5} {:<30} {:<11} {:<10} {}\n", "operator", "count",
                                 "shape", "weights", "status", "how");
  Notes notes;
  for (const OperatorReport& op : report.operators) {
    const SupportRow& row = op.row;
    const bool is_converted = row.support.status == Support::Status::converted;
    text += fmt::format(
        "{:<18} {:>5} {:<30} {:<11} {:<10} {}\n", row.name, row.count, row.shape,
        row.query.weight_format, name(row.support.status),
        is_converted ? conversion(op, report.storage, notes) : explanation(row.support, notes));
  }
  return text + notes.list();
}

std::string constant_text(const MaybeConstant& constant, double scale, const char* unit) {
  if (!constant) return "unknown";
  return fmt::format("{:.0f} {} ({}{}{})", constant->value * scale, unit, name(constant->from),
                     constant->note.empty() ? "" : ": ", constant->note);
}

std::string price_text(const ChipProfile& chip, double chips) {
  std::string text;
  if (chip.price) text = constant_text(chip.price, chips, "USD");
  if (chip.price_per_hour) {
    text += fmt::format("{}{:.2f} USD an hour ({}: {})", text.empty() ? "" : "; ",
                        chip.price_per_hour->value * chips, name(chip.price_per_hour->from),
                        chip.price_per_hour->note);
  }
  return text.empty() ? "unknown; give your own in a profile (docs/chips.md)" : text;
}

constexpr const char* kRoofline =
    "  Speeds are rooflines from the chip's profile, not measurements: what cannot be beaten,\n"
    "  without overlap, scheduling or imbalance.\n";

// The tightest limit by the time that it takes in a decode step.
std::string limits_text(const TargetReport& report) {
  std::array<double, 4> seconds{};
  double sum = 0;
  for (const OperatorReport& op : report.operators) {
    if (op.limit) seconds[static_cast<size_t>(*op.limit)] += op.seconds;
    sum += op.seconds;
  }
  std::string text;
  for (size_t i = 0; i < seconds.size(); ++i) {
    if (seconds[i] < 0.005 * sum) continue;
    text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", name(static_cast<Limit>(i)),
                        100 * seconds[i] / sum);
  }
  return text;
}

std::string cost_text(const TargetReport& report) {
  const ChipProfile& chip = report.chip;
  const auto chips = static_cast<double>(report.chips.value_or(1));
  std::string text = fmt::format("\ncost on {} x {}\n", report.chips.value_or(1), chip.title);
  text += fmt::format("  memory       {}: weights {}, cache {}, working {}; usable {} a chip\n",
                      format_bytes(report.need.total()), format_bytes(report.need.weights),
                      format_bytes(report.need.cache), format_bytes(report.need.working),
                      format_bytes(report.usable));
  text += fmt::format("  power        {}\n", constant_text(chip.power, chips, "W"));
  text += fmt::format("  price        {}\n", price_text(chip, chips));
  if (!report.speed) return text + fmt::format("  speed        no estimate: {}\n", report.no_speed);
  const auto batch = static_cast<double>(report.load.batch);
  const auto context = static_cast<double>(report.load.context);
  if (report.speed->of_texts) {
    text += fmt::format("  texts        {:.1f} a second of {} tokens, in batches of {}\n",
                        batch / report.speed->decode_step, report.load.context, report.load.batch);
    return text + kRoofline;
  }
  text += fmt::format("  decode       {:.1f} tokens/s, {} a token at batch {}, context {}\n",
                      batch / report.speed->decode_step, format_time(report.speed->decode_step),
                      report.load.batch, report.load.context);
  text += fmt::format("               limited by {}\n", limits_text(report));
  text += fmt::format("  prefill      {:.0f} tokens/s, {} for {} tokens\n",
                      context / report.speed->prefill, format_time(report.speed->prefill),
                      report.load.context);
  return text + kRoofline;
}

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string verdict_text(const TargetReport& report) {
  const std::string chips = report.chips ? fmt::format("{}", *report.chips) : "-";
  return fmt::format("\nsupported {}   needs port {}   fits one chip {}   chips {}\n{}\n",
                     yes_no(report.supported), yes_no(report.needs_port), yes_no(report.fits),
                     chips, report.verdict);
}

}  // namespace

std::vector<MemoryRow> memory_table(const ModelFacts& model, const Storage& storage) {
  std::vector<int64_t> contexts;
  for (const int64_t context : {2048, 8192, 32768}) {
    if (context < model.config.max_context) contexts.push_back(context);
  }
  contexts.push_back(model.config.max_context);
  std::vector<MemoryRow> rows;
  for (const int64_t context : contexts) {
    for (const int64_t batch : {1, 8, 32}) rows.push_back({context, batch, {}});
  }
  // Working memory depends on the batch alone, and is the part that takes time to plan.
  for (MemoryRow& row : rows) {
    if (row.context == contexts.front()) {
      row.need = memory_need(model.program, storage, row.context, row.batch);
      continue;
    }
    row.need = std::ranges::find(rows, row.batch, &MemoryRow::batch)->need;
    row.need.cache *= static_cast<double>(row.context) / static_cast<double>(contexts.front());
  }
  return rows;
}

std::string report_text(const ModelFacts& model, const TargetReport* target) {
  std::string text = model_text(model);
  if (!target) return text + memory_text(model, model.storage);
  return text + memory_text(model, target->storage) + operators_text(*target) + cost_text(*target) +
         verdict_text(*target);
}

std::string tensors_text(const ModelFacts& model) {
  std::string text;
  for (const TensorInfo& tensor : model.checkpoint.weights->tensors()) {
    text += fmt::format("{:<60} {:<8} {:<20} {}\n", tensor.name, name(tensor.dtype),
                        to_string(tensor.shape), format_bytes(static_cast<double>(tensor.bytes)));
  }
  return text;
}

}  // namespace lotse
