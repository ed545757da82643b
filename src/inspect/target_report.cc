#include "inspect/target_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/progress.h"
#include "device/buffer_plan.h"

namespace lotse {
namespace {

constexpr int64_t kMostChips = 1024;
constexpr int64_t kStepTokens = 512;  // of a prefill chunk, for the working memory

double memory_of_this_machine() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

double device_memory(const ChipProfile& chip) {
  return chip.memory_bytes ? chip.memory_bytes->value : memory_of_this_machine();
}

// The part of one of `devices` devices: weights divide evenly, the cache by its heads.
double device_share(const MemoryNeed& need, int64_t devices, int64_t kv_heads) {
  return need.weights / static_cast<double>(devices) +
         need.cache / static_cast<double>(std::min(devices, kv_heads)) + need.working;
}

// Powers of two, so that heads divide; counts memory alone.
std::optional<int64_t> chips_needed(const MemoryNeed& need, const ChipProfile& chip,
                                    int64_t kv_heads) {
  const double usable = device_memory(chip) * kUsableMemory;
  const int64_t most = chip.memory_bytes ? kMostChips : 1;  // there is one of this machine
  for (int64_t chips = 1; chips <= most; chips *= 2) {
    if (device_share(need, chips * chip.devices_per_chip, kv_heads) <= usable) return chips;
  }
  return std::nullopt;
}

std::vector<OperatorReport> report_operators(const Program& program, const Storage& before,
                                             const Storage& after, const ChipProfile& chip) {
  std::vector<OperatorReport> reports;
  for (SupportRow& row : check_support(program, before, chip)) {
    const Op& first = program.ops[row.ops.front()];
    const OperatorQuery query = operator_query(program, after, first);
    reports.push_back({std::move(row), lookup(chip, query), query.weight_format, 0, std::nullopt});
  }
  return reports;
}

void add_times(std::vector<OperatorReport>& reports, const StepTime& step) {
  for (OperatorReport& report : reports) {
    for (const size_t op : report.row.ops) report.seconds += step.ops[op].seconds;
    report.limit = step.ops[report.row.ops.front()].limited_by;
  }
}

Result<Speed> estimate_speed(const ModelFacts& model, TargetReport& report) {
  const int64_t devices = *report.chips * report.chip.devices_per_chip;
  const int64_t context = report.load.context;
  const bool of_texts = needs_whole_sequences(model.program);
  const StepShape decode{report.load.batch, of_texts ? context : 1, context,
                         of_texts ? context : 1};
  const StepShape prefill{1, context, context, 1};
  const StepTime step =
      LOTSE_TRY(step_time(model.program, report.storage, decode, report.chip, devices));
  const StepTime prompt =
      LOTSE_TRY(step_time(model.program, report.storage, prefill, report.chip, devices));
  add_times(report.operators, step);
  return Speed{of_texts, step.seconds, prompt.seconds};
}

std::string missing_operators(const TargetReport& report) {
  std::string list;
  for (const OperatorReport& op : report.operators) {
    if (op.after.status != Support::Status::missing) continue;
    list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", op.row.query.kind, op.after.why);
  }
  return list;
}

std::string how_many(const TargetReport& report) {
  const std::string load = fmt::format("{} sequence{} of {} tokens", report.load.batch,
                                       report.load.batch == 1 ? "" : "s", report.load.context);
  const std::string total = format_bytes(report.need.total());
  const std::string usable = format_bytes(report.usable);
  if (report.fits) {
    return fmt::format("one chip holds it with {} ({} of {} usable)", load, total, usable);
  }
  if (report.chips) {
    return fmt::format("with {} it takes {} chips ({}, of {} usable a chip)", load, *report.chips,
                       total, usable);
  }
  return fmt::format("with {} it does not fit ({}, of {} usable)", load, total, usable);
}

// What `lotse port --quant` is called that makes this storage.
std::string quant_name(const Storage& storage) {
  const std::string format = main_format(storage);
  return format == "f16" || format == "f32" ? "bf16" : format;
}

std::string verdict(const ModelFacts& model, const TargetReport& report) {
  const std::string what =
      fmt::format("This {} model in {}", model.family, main_format(model.storage));
  if (!report.supported) {
    return fmt::format("{} cannot run on {}: missing {}.", what, report.chip.title,
                       missing_operators(report));
  }
  const std::string port =
      report.needs_port
          ? fmt::format("after `lotse port --target {} --quant {}`, in {}", report.chip.name,
                        quant_name(report.storage), main_format(report.storage))
          : std::string("as it is");
  return fmt::format("{} runs on {} {}; {}.", what, report.chip.title, port, how_many(report));
}

}  // namespace

MemoryNeed memory_need(const Program& program, const Storage& storage, int64_t context,
                       int64_t batch) {
  MemoryNeed need;
  need.weights = weight_bytes(storage);
  need.cache = static_cast<double>(context) * static_cast<double>(batch) *
               kv_bytes_per_token(program, storage.kv);
  const int64_t tokens = std::max(batch, std::min(context, kStepTokens));
  need.working = static_cast<double>(plan_buffers(program, tokens, batch).bytes);
  return need;
}

TargetReport judge_target(const ModelFacts& model, const ChipProfile& chip,
                          const InspectLoad& load) {
  TargetReport report;
  report.chip = chip;
  report.load = load;
  Storage wanted = model.storage;
  if (!load.quant.empty()) quantise(wanted, model.program, load.quant, 128);
  report.storage = legalise(model.program, std::move(wanted), chip, load.quant);
  report.operators = report_operators(model.program, model.storage, report.storage, chip);
  report.supported = std::ranges::all_of(report.operators, [](const OperatorReport& op) {
    return op.after.status == Support::Status::native ||
           op.after.status == Support::Status::composed;
  });
  const bool converts = std::ranges::any_of(report.operators, [](const OperatorReport& op) {
    return op.row.support.status == Support::Status::converted && !op.row.support.at_load;
  });
  report.needs_port = converts || !load.quant.empty();
  report.need = memory_need(model.program, report.storage, load.context, load.batch);
  report.usable = device_memory(chip) * kUsableMemory * static_cast<double>(chip.devices_per_chip);
  if (report.supported) report.chips = chips_needed(report.need, chip, model.config.kv_heads);
  report.fits = report.chips == 1;
  report.verdict = verdict(model, report);
  if (!report.chips) {
    report.no_speed = report.supported ? "it does not fit" : "it does not run";
    return report;
  }
  auto speed = estimate_speed(model, report);
  if (speed) {
    report.speed = *speed;
  } else {
    report.no_speed = speed.error().message;
  }
  return report;
}

}  // namespace lotse
