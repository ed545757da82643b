// lotse run: one answer, or a chat on the terminal.
#include <fmt/core.h>
#include <unistd.h>

#include <memory>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/kv_option.h"
#include "cli/line_editor.h"
#include "cli/placement_options.h"
#include "engine/engine.h"

namespace lotse::cli {
namespace {

struct RunOptions {
  std::string model;
  std::optional<std::string> prompt;
  std::string system;
  int64_t max_tokens = 512;
  EngineOptions engine;
  std::string lora;  // directory
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  bool raw = false;
  bool json = false;
};

SamplingParams sampling(const RunOptions& options, const Engine& engine) {
  SamplingParams s = engine.default_sampling();
  if (options.temperature) s.temperature = *options.temperature;
  if (options.top_k) s.top_k = *options.top_k;
  if (options.top_p) s.top_p = *options.top_p;
  if (options.min_p) s.min_p = *options.min_p;
  if (options.repetition_penalty) s.repetition_penalty = *options.repetition_penalty;
  s.seed = options.seed.value_or(0);
  return s;
}

// The prompt without a template: the tokenizer's own beginning of text, then the text.
Result<std::vector<int32_t>> encode_raw(const Engine& engine, const std::string& text) {
  auto tokens = LOTSE_TRY(engine.tokenizer()->encode(text));
  if (tokens.empty()) {
    const auto bos = engine.tokenizer()->bos_id();
    if (bos) tokens.push_back(*bos);
    if (!bos && engine.config().bos) tokens.push_back(static_cast<int32_t>(*engine.config().bos));
  }
  if (!tokens.empty()) return tokens;
  return fail(ErrorCode::invalid_input,
              "the prompt is empty and the model has no beginning-of-text token");
}

Result<std::vector<int32_t>> encode(const Engine& engine, const RunOptions& options,
                                    const std::vector<Message>& messages) {
  if (!options.raw && engine.chat()) return engine.chat()->encode(*engine.tokenizer(), messages);
  return encode_raw(engine, messages.back().content);
}

std::vector<Message> opening(const RunOptions& options) {
  if (options.system.empty()) return {};
  return {{"system", options.system}};
}

void print_now(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

struct Answer {
  std::string text;
  GenerationResult result;
  double device_seconds = 0;  // by the device's own clock, where it has one
};

// Generates, streaming text to stdout when `stream` is set. Ctrl-C ends the answer.
Result<Answer> generate(Engine& engine, Session& session, std::span<const int32_t> prompt,
                        const RunOptions& options, bool stream) {
  Answer answer;
  StreamDecoder decoder(*engine.tokenizer(), true);
  const auto emit = [&](const std::string& text) {
    answer.text += text;
    if (stream) print_now(text);
  };
  const InterruptGuard guard;
  const double before = engine.executable().device_seconds();
  answer.result = LOTSE_TRY(engine.generate(session, prompt, sampling(options, engine),
                                            options.max_tokens, [&](int32_t token) {
                                              emit(decoder.push(token));
                                              return !InterruptGuard::interrupted();
                                            }));
  emit(decoder.flush());
  answer.device_seconds = engine.executable().device_seconds() - before;
  return answer;
}

// Whoever reads an answer of an emulated device is told so, and what its time means.
void say_emulated(const Engine& engine, const Answer& answer) {
  if (!engine.device().is_emulated()) return;
  const GenerationResult& r = answer.result;
  fmt::print(stderr,
             "[{} is {}. Predicted device time {:.1f} ms for {} + {} tokens; here it took {:.1f} "
             "ms]\n",
             engine.device().name(), engine.device().description(), 1e3 * answer.device_seconds,
             r.prompt_tokens, r.tokens.size(), 1e3 * (r.prefill_seconds + r.decode_seconds));
}

Json to_json(Engine& engine, std::span<const int32_t> prompt, const Answer& answer) {
  const GenerationResult& r = answer.result;
  const auto decoded = static_cast<double>(std::max<size_t>(r.tokens.size(), 1) - 1);
  Json json = {
      {"text", answer.text},
      {"token_ids", r.tokens},
      {"prompt_token_ids", std::vector<int32_t>(prompt.begin(), prompt.end())},
      {"finish_reason", name(r.finish)},
      {"device", engine.device().name()},
      {"emulated", engine.device().is_emulated()},
      {"timings",
       {{"load_seconds", engine.load_seconds()},
        {"prefill_seconds", r.prefill_seconds},
        {"decode_seconds", r.decode_seconds},
        {"decode_tokens_per_second", r.decode_seconds > 0 ? decoded / r.decode_seconds : 0.0}}}};
  if (answer.device_seconds > 0) json["timings"]["device_seconds"] = answer.device_seconds;
  if (const Executable::Steps steps = engine.executable().steps(); steps.all > 0) {
    json["steps"] = {{"all", steps.all}, {"replayed", steps.replayed}};
    if (!steps.why_not.empty()) json["steps"]["why_not_replayed"] = steps.why_not;
  }
  return json;
}

Result<int> answer_once(Engine& engine, const RunOptions& options, const std::string& text) {
  std::vector<Message> messages = opening(options);
  messages.push_back({"user", text});
  const auto prompt = LOTSE_TRY(encode(engine, options, messages));
  const auto session = engine.make_session(options.lora.empty() ? 0 : 1);
  const Answer answer = LOTSE_TRY(generate(engine, *session, prompt, options, !options.json));
  if (options.json) {
    fmt::print("{}\n", to_json(engine, prompt, answer).dump(2));
  } else {
    print_now("\n");
    say_emulated(engine, answer);
  }
  return kOk;
}

Result<int> chat(Engine& engine, const RunOptions& options) {
  if (!options.raw && !engine.chat()) {
    return fail(ErrorCode::unsupported,
                "the model has no chat template; give a prompt with -p, or use --raw");
  }
  fmt::print(stderr, "{} on {} ({}). Ctrl-C stops an answer, Ctrl-D leaves.\n", options.model,
             engine.device().name(), engine.device().description());
  std::vector<Message> messages = opening(options);
  const auto session = engine.make_session(options.lora.empty() ? 0 : 1);
  const InterruptGuard guard;
  while (const auto line = read_line("> ")) {
    if (line->empty()) continue;
    messages.push_back({"user", *line});
    const auto prompt = LOTSE_TRY(encode(engine, options, messages));
    const Answer answer = LOTSE_TRY(generate(engine, *session, prompt, options, true));
    print_now("\n");
    say_emulated(engine, answer);
    messages.push_back({"assistant", answer.text});
    InterruptGuard::clear();
  }
  print_now("\n");
  return kOk;
}

std::string read_pipe() {
  std::string text;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<int> run(const RunOptions& options) {
  const auto path = LOTSE_TRY(find_model(options.model));
  EngineOptions engine_options = options.engine;
  if (!options.lora.empty()) engine_options.adapters.push_back({"adapter", options.lora});
  const auto engine = LOTSE_TRY(Engine::open(path, engine_options));
  if (engine->tokenizer() == nullptr) {
    return fail(ErrorCode::not_found, "{}: the model has no tokenizer.json, so it cannot read text",
                path.string());
  }
  if (!options.raw && !engine->chat() && options.prompt) {
    fmt::print(stderr, "lotse: the model has no chat template; the prompt is sent as it is\n");
  }
  if (options.prompt) return answer_once(*engine, options, *options.prompt);
  if (::isatty(STDIN_FILENO) == 0) return answer_once(*engine, options, read_pipe());
  return chat(*engine, options);
}

}  // namespace

void add_run(Commands& commands) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* app =
      commands.add("run", "Answer a prompt, or chat on the terminal",
                   "  lotse run lotse-nano -p 'What is 17 plus 25?'\n"
                   "  lotse run Qwen/Qwen3-0.6B            # a chat with history and line editing\n"
                   "  echo 'Translate: Hafen' | lotse run lotse-nano --json\n");
  app->add_option("MODEL", options->model, "Path, name in the models directory, or ORG/MODEL")
      ->required();
  app->add_option("-p,--prompt", options->prompt,
                  "Prompt; without it: a chat, or what a pipe brings");
  app->add_option("--system", options->system, "System message");
  app->add_option("-n,--max-tokens", options->max_tokens, "Most tokens to generate")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30))
      ->capture_default_str();
  app->add_option("--temperature", options->temperature, "0 is greedy; default: the model's own")
      ->check(CLI::Range(0.0f, 100.0f));
  app->add_option("--top-k", options->top_k, "Draw from the k most likely tokens; 0: all")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30));
  app->add_option("--top-p", options->top_p, "Draw from the smallest set with this probability")
      ->check(CLI::Range(0.0f, 1.0f));
  app->add_option("--min-p", options->min_p, "Least probability relative to the most likely token")
      ->check(CLI::Range(0.0f, 1.0f));
  app->add_option("--repetition-penalty", options->repetition_penalty, "Above 1 discourages")
      ->check(CLI::Range(0.01f, 100.0f));
  app->add_option("--seed", options->seed, "Seed of the draws; default 0");
  add_kv_dtype(*app, options->engine.cache_type);
  add_placement(*app, options->engine);
  app->add_option("--context", options->engine.context,
                  fmt::format("Positions to make room for; default: the model's, at most {}",
                              kDefaultContext))
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 24));
  app->add_option("--lora", options->lora, "A LoRA adapter's directory, as PEFT saves one");
  app->add_flag("--raw", options->raw, "Send the prompt without the chat template");
  app->add_flag("--json", options->json, "Print one JSON object when done");
  app->callback([&commands, options] { commands.action = [options] { return run(*options); }; });
}

}  // namespace lotse::cli
