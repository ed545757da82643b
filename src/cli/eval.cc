// lotse eval: perplexity of a text, exact match on a task.
#include <fmt/core.h>

#include <memory>

#include "base/json.h"
#include "base/mmap.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/kv_option.h"
#include "cli/placement_options.h"
#include "engine/score.h"

namespace lotse::cli {
namespace {

struct EvalOptions {
  std::string model;
  std::string text;
  std::string task;
  int64_t window = 512;
  EngineOptions engine;
  bool json = false;
  bool wrong = false;
};

Result<int> eval_perplexity(Engine& engine, const EvalOptions& options) {
  if (engine.tokenizer() == nullptr) {
    return fail(ErrorCode::not_found, "{}: the model has no tokenizer", options.model);
  }
  const std::string text = LOTSE_TRY(read_text_file(options.text, int64_t{1} << 30));
  const auto tokens =
      LOTSE_TRY(engine.tokenizer()->encode(text, {.add_bos_eos = false, .parse_special = true}));
  const auto windows = cut_windows(tokens, options.window, engine.tokenizer()->bos_id());
  Progress progress("scoring", std::ssize(tokens));
  const Perplexity result =
      LOTSE_TRY(measure_perplexity(engine, windows, [&](int64_t done) { progress.update(done); }));
  if (options.json) {
    fmt::print("{}\n", Json({{"perplexity", result.value}, {"tokens", result.tokens}}).dump(2));
  } else {
    fmt::print("perplexity {:.4f} over {} tokens, windows of {}\n", result.value, result.tokens,
               options.window);
  }
  return kOk;
}

Json to_json(const TaskScore& score) {
  Json categories = Json::object();
  for (const auto& c : score.categories) {
    categories[c.name] = {{"right", c.right}, {"asked", c.asked}};
  }
  return {{"exact_match", score.share()},
          {"right", score.right},
          {"asked", score.asked},
          {"categories", categories}};
}

Result<int> eval_task(Engine& engine, const EvalOptions& options) {
  const auto questions = LOTSE_TRY(read_task(options.task));
  Progress progress("asking", std::ssize(questions));
  int64_t done = 0;
  const TaskScore score = LOTSE_TRY(score_task(
      engine, questions, [&](const TaskQuestion& q, const std::string& given, bool right) {
        progress.update(++done, q.category);
        if (options.wrong && !right) {
          fmt::print("{}\n",
                     Json({{"prompt", q.prompt}, {"expected", q.answer}, {"given", given}}).dump());
        }
      }));
  if (options.json) {
    fmt::print("{}\n", to_json(score).dump(2));
    return kOk;
  }
  for (const auto& c : score.categories) {
    fmt::print("{:<20} {:>5} of {:>5}\n", c.name, c.right, c.asked);
  }
  fmt::print("{:<20} {:>5} of {:>5}  exact match {:.1f}%\n", "all", score.right, score.asked,
             100 * score.share());
  return kOk;
}

Result<int> eval(EvalOptions options) {
  const auto path = LOTSE_TRY(find_model(options.model));
  const auto engine = LOTSE_TRY(Engine::open(path, options.engine));
  return options.task.empty() ? eval_perplexity(*engine, options) : eval_task(*engine, options);
}

}  // namespace

void add_eval(Commands& commands) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App* app = commands.add("eval", "Measure perplexity, or exact match on a task",
                               "  lotse eval lotse-nano --perplexity models/lotse-nano/eval.txt\n"
                               "  lotse eval lotse-nano --task models/lotse-nano/task.jsonl\n");
  app->add_option("MODEL", options->model, "Path, name in the models directory, or ORG/MODEL")
      ->required();
  auto* what = app->add_option_group("what", "What to measure");
  what->add_option("--perplexity", options->text, "Text file; special tokens in it are recognised");
  what->add_option("--task", options->task, "JSON lines with prompt, answer and category");
  what->require_option(1);
  app->add_option("--window", options->window, "Tokens in one window of perplexity")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app->add_flag("--show-wrong", options->wrong, "Print each wrong answer as a JSON line");
  add_kv_dtype(*app, options->engine.cache_type);
  add_placement(*app, options->engine);
  app->add_flag("--json", options->json, "Print JSON");
  app->callback([&commands, options] { commands.action = [options] { return eval(*options); }; });
}

}  // namespace lotse::cli
