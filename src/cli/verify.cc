// lotse verify: does the port still say what the original says, and where does it first depart?
#include <fmt/core.h>

#include <algorithm>
#include <memory>

#include "base/json.h"
#include "base/mmap.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/kv_option.h"
#include "engine/score.h"
#include "port/artifact.h"
#include "verify/dump.h"
#include "verify/end_to_end.h"
#include "verify/operators.h"
#include "verify/sample_text.h"

namespace lotse::cli {
namespace {

constexpr int64_t kOperatorTokens = 64;

struct VerifyOptions {
  std::string ported;
  std::string original;
  std::string dump;
  std::string text;
  std::string task;
  std::string device = "cpu";
  std::string original_device = "cpu";
  int64_t tokens = 1024;
  int64_t rows = 10;
  int64_t questions = 1 << 20;
  std::optional<DType> cache_type;  // of the port
  int threads = 0;
  bool json = false;
};

struct Report {
  std::vector<OperatorDeparture> operators;
  EndToEndTolerance tolerance{};
  std::optional<EndToEnd> end_to_end;
  std::optional<TaskScore> task_ported, task_original;
  std::vector<std::string> failures;
};

const OperatorDeparture* first_departure(const Report& report) {
  const auto it = std::ranges::find_if(report.operators,
                                       [](const OperatorDeparture& d) { return !d.passed(); });
  return it == report.operators.end() ? nullptr : &*it;
}

Result<std::unique_ptr<Engine>> open_engine(const std::string& model, const std::string& device,
                                            int threads,
                                            std::optional<DType> cache_type = std::nullopt) {
  EngineOptions options;
  options.cache_type = cache_type;
  options.device = device;
  options.threads = threads;
  options.max_outputs = kOperatorTokens;
  return Engine::open(LOTSE_TRY(find_model(model)), options);
}

// The text to compare on: what the user gave, the bundled model's held-out text, or a sample.
Result<std::string> choose_text(const VerifyOptions& options) {
  if (!options.text.empty()) return read_text_file(options.text, int64_t{64} << 20);
  const auto bundled = LOTSE_TRY(find_model(options.original)) / "eval.txt";
  if (std::filesystem::exists(bundled)) return read_text_file(bundled, int64_t{64} << 20);
  return std::string(sample_text());
}

// Token ids of the text; of a model without a tokenizer, ids spread over the vocabulary.
Result<std::vector<int32_t>> choose_tokens(const Engine& engine, const VerifyOptions& options) {
  std::vector<int32_t> tokens;
  if (engine.tokenizer() != nullptr) {
    tokens = LOTSE_TRY(engine.tokenizer()->encode(LOTSE_TRY(choose_text(options)),
                                                  {.add_bos_eos = false, .parse_special = true}));
  } else {
    for (int64_t i = 0; i < 256; ++i) {
      tokens.push_back(static_cast<int32_t>((i * 7919 + 13) % engine.config().vocabulary));
    }
  }
  if (std::ssize(tokens) > options.tokens) tokens.resize(static_cast<size_t>(options.tokens));
  return tokens;
}

void judge(Report& report) {
  if (const OperatorDeparture* first = first_departure(report)) {
    report.failures.push_back(
        fmt::format("operator {} departs by {:.2e}, more than its tolerance of {:.0e}", first->name,
                    first->same_inputs.relative_error, first->tolerance));
  }
  if (report.end_to_end) {
    const EndToEnd& e = *report.end_to_end;
    const EndToEndTolerance& t = report.tolerance;
    if (e.top1_agreement < t.top1_agreement) {
      report.failures.push_back(fmt::format("top-1 agreement {:.2f}% is below {:.2f}%",
                                            100 * e.top1_agreement, 100 * t.top1_agreement));
    }
    if (!(e.kl <= t.kl)) {
      report.failures.push_back(fmt::format("KL divergence {:.2e} is above {:.0e}", e.kl, t.kl));
    }
    if (!(e.perplexity_ported <= e.perplexity_original * t.perplexity_ratio)) {
      report.failures.push_back(fmt::format("perplexity rose from {:.4f} to {:.4f}, more than {}x",
                                            e.perplexity_original, e.perplexity_ported,
                                            t.perplexity_ratio));
    }
  }
  if (report.task_ported && report.task_ported->share() < report.task_original->share() - 0.01) {
    report.failures.push_back("the task score fell by more than one point");
  }
}

void print_operators(const Report& report, int64_t rows) {
  std::vector<const OperatorDeparture*> sorted;
  for (const OperatorDeparture& d : report.operators) sorted.push_back(&d);
  // Equal departures stay in program order.
  std::ranges::sort(sorted, [](const OperatorDeparture* a, const OperatorDeparture* b) {
    const double left = a->same_inputs.relative_error;
    const double right = b->same_inputs.relative_error;
    return left > right || (left == right && a < b);
  });
  fmt::print("{:<28} {:<17} {:>10} {:>10} {:>10} {:>10}\n", "largest departures", "operator",
             "cosine", "rel. error", "tolerance", "in flow");
  const auto shown = std::min<int64_t>(rows, std::ssize(sorted));
  for (int64_t i = 0; i < shown; ++i) {
    const OperatorDeparture& d = *sorted[static_cast<size_t>(i)];
    fmt::print("{:<28} {:<17} {:>10.6f} {:>10.2e} {:>10.0e} {:>10.2e}{}\n", d.name, d.kind,
               d.same_inputs.cosine, d.same_inputs.relative_error, d.tolerance,
               d.running_free.relative_error, d.passed() ? "" : "  FAILS");
  }
  fmt::print(
      "{} operators compared: each with the original's inputs, and in the flow of all "
      "before it\n",
      report.operators.size());
  if (const OperatorDeparture* first = first_departure(report)) {
    fmt::print("first to depart beyond its tolerance: {}\n", first->name);
  }
}

void print_end_to_end(const Report& report) {
  if (report.end_to_end) {
    const EndToEnd& e = *report.end_to_end;
    fmt::print("\nend to end over {} tokens\n", e.tokens);
    fmt::print("  top-1 agreement {:.2f}% (at least {:.2f}%)\n", 100 * e.top1_agreement,
               100 * report.tolerance.top1_agreement);
    fmt::print("  KL divergence   {:.2e} nats (at most {:.0e})\n", e.kl, report.tolerance.kl);
    fmt::print("  perplexity      {:.4f} ported, {:.4f} original\n", e.perplexity_ported,
               e.perplexity_original);
  }
  if (report.task_ported) {
    fmt::print("  exact match     {:.1f}% ported, {:.1f}% original, of {} questions\n",
               100 * report.task_ported->share(), 100 * report.task_original->share(),
               report.task_ported->asked);
  }
}

Json to_json(const Report& report) {
  Json operators = Json::array();
  for (const OperatorDeparture& d : report.operators) {
    operators.push_back({{"name", d.name},
                         {"kind", d.kind},
                         {"cosine", d.same_inputs.cosine},
                         {"relative_error", d.same_inputs.relative_error},
                         {"relative_error_in_flow", d.running_free.relative_error},
                         {"tolerance", d.tolerance},
                         {"passed", d.passed()}});
  }
  const OperatorDeparture* first = first_departure(report);
  Json json = {{"passed", report.failures.empty()},
               {"failures", report.failures},
               {"first_departure", first == nullptr ? Json() : Json(first->name)},
               {"operators", operators},
               {"top1_agreement", nullptr},
               {"kl", nullptr},
               {"perplexity", nullptr}};
  if (report.end_to_end) {
    json["top1_agreement"] = report.end_to_end->top1_agreement;
    json["kl"] = report.end_to_end->kl;
    json["perplexity"] = {{"ported", report.end_to_end->perplexity_ported},
                          {"original", report.end_to_end->perplexity_original}};
    json["tolerance"] = {{"top1_agreement", report.tolerance.top1_agreement},
                         {"kl", report.tolerance.kl},
                         {"perplexity_ratio", report.tolerance.perplexity_ratio}};
  }
  if (report.task_ported) {
    json["exact_match"] = {{"ported", report.task_ported->share()},
                           {"original", report.task_original->share()}};
  }
  return json;
}

int finish(Report& report, const VerifyOptions& options) {
  judge(report);
  if (options.json) {
    fmt::print("{}\n", to_json(report).dump(2));
    return report.failures.empty() ? kOk : kFailed;
  }
  print_operators(report, options.rows);
  print_end_to_end(report);
  fmt::print("\n{}\n", report.failures.empty() ? "PASSED" : "FAILED");
  for (const std::string& failure : report.failures) fmt::print("  {}\n", failure);
  return report.failures.empty() ? kOk : kFailed;
}

Result<TaskScore> ask(Engine& engine, const std::vector<TaskQuestion>& questions,
                      const char* label) {
  Progress progress(label, std::ssize(questions));
  int64_t done = 0;
  return score_task(engine, questions, [&](const TaskQuestion&, const std::string&, bool) {
    progress.update(++done);
  });
}

// At most `count` questions, spread evenly over the task so that every category is asked.
std::vector<TaskQuestion> spread(const std::vector<TaskQuestion>& all, int64_t count) {
  const int64_t total = std::ssize(all);
  if (count >= total) return all;
  std::vector<TaskQuestion> chosen;
  for (int64_t i = 0; i < count; ++i) {
    chosen.push_back(all[static_cast<size_t>(i * total / count)]);
  }
  return chosen;
}

Result<void> compare_models(const VerifyOptions& options, Engine& ported, Report& report) {
  const auto original =
      LOTSE_TRY(open_engine(options.original, options.original_device, options.threads));
  const auto tokens = LOTSE_TRY(choose_tokens(*original, options));
  const auto sample = std::span(tokens).first(
      static_cast<size_t>(std::min<int64_t>(kOperatorTokens, std::ssize(tokens))));
  report.operators = LOTSE_TRY(compare_operators(ported, *original, sample));
  if (!original->generates()) return {};
  std::optional<int64_t> bos;
  if (original->tokenizer() != nullptr) bos = original->tokenizer()->bos_id();
  const int64_t window = std::min<int64_t>(512, original->limits().max_context);
  Progress progress("comparing", std::ssize(tokens));
  report.end_to_end =
      LOTSE_TRY(compare_end_to_end(ported, *original, cut_windows(tokens, window, bos),
                                   [&](int64_t done) { progress.update(done); }));
  std::filesystem::path task = options.task;
  if (task.empty()) task = LOTSE_TRY(find_model(options.original)) / "task.jsonl";
  if (options.questions > 0 && (!options.task.empty() || std::filesystem::exists(task))) {
    const auto questions = spread(LOTSE_TRY(read_task(task)), options.questions);
    report.task_original = LOTSE_TRY(ask(*original, questions, "asking the original"));
    report.task_ported = LOTSE_TRY(ask(ported, questions, "asking the port"));
  }
  return {};
}

Result<int> verify(const VerifyOptions& options) {
  const auto path = LOTSE_TRY(find_model(options.ported));
  if (std::filesystem::exists(path / "lotse.json")) LOTSE_TRY(check_artifact(path));
  const auto ported =
      LOTSE_TRY(open_engine(options.ported, options.device, options.threads, options.cache_type));
  Report report;
  report.tolerance = end_to_end_tolerance(narrowest_format(ported->model()));
  if (options.dump.empty()) {
    LOTSE_TRY(compare_models(options, *ported, report));
  } else {
    report.operators = LOTSE_TRY(compare_with_dump(*ported, options.dump));
  }
  return finish(report, options);
}

}  // namespace

void add_verify(Commands& commands) {
  auto options = std::make_shared<VerifyOptions>();
  CLI::App* app = commands.add(
      "verify", "Compare a ported model with the original, operator by operator and end to end",
      "  lotse verify lotse-nano-w8a8 --against lotse-nano\n"
      "  lotse verify OUT --against MODEL --text my.txt --json\n"
      "  lotse verify OUT --reference activations.safetensors   # recorded on the Nvidia side\n");
  app->add_option("PORTED", options->ported, "The ported model")->required();
  auto* against = app->add_option_group("against", "What to compare with");
  against->add_option("--against", options->original, "The original model");
  against->add_option("--reference", options->dump,
                      "Activations recorded by tools/record_activations.py");
  against->require_option(1);
  app->add_option("--text", options->text,
                  "Text to compare on; default: the model's eval.txt, "
                  "else a built-in sample");
  app->add_option("--task", options->task,
                  "JSON lines of questions; default: the model's "
                  "task.jsonl if it has one");
  app->add_option("--questions", options->questions,
                  "Most questions of the task, spread evenly; 0: none; default: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20));
  app->add_option("--tokens", options->tokens, "Most tokens of the text to compare on")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  app->add_option("--rows", options->rows, "Rows of the table")->capture_default_str();
  add_kv_dtype(*app, options->cache_type);
  app->add_option("--device", options->device, "Device of the port")->capture_default_str();
  app->add_option("--against-device", options->original_device, "Device of the original")
      ->capture_default_str();
  app->add_option("--threads", options->threads, "Threads; 0: one a core")
      ->check(CLI::Range(0, 1024));
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([&commands, options] { commands.action = [options] { return verify(*options); }; });
}

}  // namespace lotse::cli
