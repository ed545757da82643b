#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/checked.h"
#include "device/walk/storage.h"
#include "model/gguf_vocabulary.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

fs::path directory_of(const fs::path& path) {
  return fs::is_directory(path) ? path : path.parent_path();
}

std::span<const Weight> own_weights(const Model& model) {
  return std::span(model.weights).first(model.weights.size() - model.adapter_weights);
}

bool computes_in_f32(const Model& model) {
  return std::ranges::any_of(own_weights(model), [&](const Weight& weight) {
    const WeightPart& part = weight.parts.front();
    return part.format == WeightFormat::f32 && part.rows > 1;
  });
}

DType cache_type(const Model& model, const EngineOptions& options) {
  if (options.cache_type) return *options.cache_type;
  return computes_in_f32(model) ? DType::f32 : DType::bf16;
}

Result<Model> load_for(const Checkpoint& checkpoint, int64_t context) {
  return load_model(checkpoint, context > 0 ? context : kDefaultContext);
}

MemoryNeeds needs_of(const Model& model, DType cache_type) {
  MemoryNeeds needs;
  for (const Weight& weight : model.weights) needs.weights += stored_bytes(weight);
  const std::string_view cached = cache_type == DType::i8 ? "int8" : info(cache_type).name;
  needs.position_bytes =
      static_cast<int64_t>(kv_bytes_per_token(model.program, std::string(cached)));
  needs.max_context = model.context;
  return needs;
}

}  // namespace

Result<MemoryNeeds> memory_needs(const fs::path& path, const EngineOptions& options) {
  const Checkpoint checkpoint = LOTSE_TRY(open_checkpoint(path));
  const Model model = LOTSE_TRY(load_for(checkpoint, options.context));
  return needs_of(model, cache_type(model, options));
}

const char* name(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::deadline:
      return "deadline";
    case FinishReason::dead_end:
      return "dead end";
    case FinishReason::error:
      return "error";
  }
  return "unknown";
}

Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const Checkpoint& checkpoint) {
  if (checkpoint.gguf_vocab) return Tokenizer::from_gguf(gguf_vocabulary(*checkpoint.gguf_vocab));
  const fs::path directory = directory_of(checkpoint.path);
  if (!fs::exists(directory / "tokenizer.json")) return std::shared_ptr<const Tokenizer>();
  return Tokenizer::load(directory);
}

Result<std::unique_ptr<Engine>> Engine::open(const fs::path& path, const EngineOptions& options) {
  std::unique_ptr<Engine> engine(new Engine());
  const auto start = Clock::now();
  if (options.ranks > 1) engine->team_ = LOTSE_TRY(Team::start(path, options));
  Team* team = engine->team_.get();
  const auto loaded = engine->load(path, options, team == nullptr ? nullptr : &team->group());
  if (!loaded) {
    // A rank that could not load its share has ended, and said why.
    const bool is_others = team != nullptr && team->has_lost_a_rank();
    return std::unexpected(is_others ? team->explain(loaded.error()) : loaded.error());
  }
  if (team != nullptr) {
    LOTSE_TRY(team->wait_until_ready());
    engine->executable_ = team->lead(std::move(engine->executable_));
  }
  engine->load_seconds_ = seconds_since(start);
  return engine;
}

Result<std::unique_ptr<Engine>> Engine::open_rank(const fs::path& path,
                                                  const EngineOptions& options, Group& group) {
  std::unique_ptr<Engine> engine(new Engine());
  LOTSE_TRY(engine->load(path, options, &group));
  return engine;
}

Result<void> Engine::load(const fs::path& path, const EngineOptions& options, Group* group) {
  const Checkpoint checkpoint = LOTSE_TRY(open_checkpoint(path));
  model_ = LOTSE_TRY(load_for(checkpoint, options.context));
  for (const AdapterSource& adapter : options.adapters) LOTSE_TRY(add_adapter(model_, adapter));
  if (group != nullptr) LOTSE_TRY(shard_model(model_, group->rank(), group->size()));
  tokenizer_ = LOTSE_TRY(load_tokenizer(checkpoint));
  chat_ = LOTSE_TRY(Chat::load(checkpoint));
  end_tokens_ = model_.config.eos;
  if (checkpoint.gguf_vocab && checkpoint.gguf_vocab->eot) {
    end_tokens_.push_back(*checkpoint.gguf_vocab->eot);
  }
  LOTSE_TRY(read_generation_config(directory_of(path)));
  LOTSE_TRY(read_embedding(directory_of(path), options));
  device_ = LOTSE_TRY(open_device(options.device, {options.threads, group}));
  LOTSE_TRY(set_limits(options, group));
  for (size_t i = 0; i < own_weights(model_).size(); ++i) {
    if (model_.program.weights[i].role == WeightRole::table) continue;
    streamed_weight_bytes_ += stored_bytes(model_.weights[i]);
  }
  executable_ = LOTSE_TRY(device_->load(model_.program, std::move(model_.weights), limits_));
  model_.weights.clear();
  pool_ = std::make_unique<BlockPool>(limits_.cache_blocks);
  return {};
}

// All ranks of a group follow rank 0's plan: they number the blocks of the cache alike.
Result<void> Engine::set_limits(const EngineOptions& options, Group* group) {
  limits_.cache_type = cache_type(model_, options);
  MemoryNeeds needs = needs_of(model_, limits_.cache_type);
  needs.available = device_->available_bytes() / options.ranks;
  needs.draft_weights = options.beside.weights;
  needs.position_bytes += options.beside.position_bytes;
  needs.sequences = options.max_sequences;
  memory_plan_ = LOTSE_TRY(plan_memory(needs, {options.context, options.cache_tokens}));
  int64_t agreed[] = {memory_plan_.context, memory_plan_.cache_tokens};
  if (group != nullptr) {
    const auto bytes = std::as_bytes(std::span(agreed));
    const auto first = LOTSE_TRY(group->broadcast({bytes.begin(), bytes.end()}));
    LOTSE_CHECK(first.size() == sizeof agreed);
    std::memcpy(agreed, first.data(), sizeof agreed);
  }
  limits_.block_tokens = device_->block_tokens();
  limits_.max_context = agreed[0];
  limits_.cache_blocks = ceil_div(agreed[1], limits_.block_tokens);
  limits_.max_outputs = options.max_outputs;
  limits_.max_sequences = options.max_sequences;
  if (needs_whole_sequences(model_.program)) {
    limits_.max_tokens = std::max(limits_.max_tokens, limits_.max_context);
    limits_.max_outputs = limits_.max_tokens;
  }
  return {};
}

Result<void> Engine::read_generation_config(const fs::path& directory) {
  const fs::path path = directory / "generation_config.json";
  if (!fs::exists(path)) return {};
  const Json json = LOTSE_TRY(read_json_file(path.string()));
  const JsonFields fields(json, path.string());
  for (const int64_t id : LOTSE_TRY(read_token_ids(fields, "eos_token_id"))) {
    if (!is_end(static_cast<int32_t>(id))) end_tokens_.push_back(id);
  }
  if (!LOTSE_TRY(fields.boolean_or("do_sample", false))) return {};
  SamplingParams& s = default_sampling_;
  s.temperature = static_cast<float>(LOTSE_TRY(fields.number_or("temperature", 1)));
  s.top_p = static_cast<float>(LOTSE_TRY(fields.number_or("top_p", 1)));
  s.top_k = LOTSE_TRY(fields.integer_or("top_k", 0, -1, 1 << 30));
  s.min_p = static_cast<float>(LOTSE_TRY(fields.number_or("min_p", 0)));
  s.repetition_penalty = static_cast<float>(LOTSE_TRY(fields.positive_or("repetition_penalty", 1)));
  return {};
}

Result<void> Engine::read_embedding(const fs::path& directory, const EngineOptions& options) {
  const auto stored = LOTSE_TRY(read_embedding_config(directory));
  if (model_.config.is_encoder) embedding_.pooling = Pooling::mean;
  if (stored) embedding_ = *stored;
  if (options.pooling) embedding_.pooling = *options.pooling;
  return {};
}

int64_t Engine::embedding_tokens() const {
  const int64_t most = embedding_.max_tokens;
  return most > 0 ? std::min(most, limits_.max_context) : limits_.max_context;
}

bool Engine::is_end(int32_t token) const {
  return std::ranges::find(end_tokens_, int64_t{token}) != end_tokens_.end();
}

std::unique_ptr<Session> Engine::make_session(int32_t adapter) {
  LOTSE_CHECK(adapter >= 0 && adapter <= model_.program.adapters);
  return std::make_unique<Session>(*executable_, *pool_, limits_, model_.config.vocabulary,
                                   adapter);
}

Result<int32_t> Engine::next_token(Session& session, std::span<const int32_t> tokens,
                                   Sampler& sampler) {
  const auto request = sampler.wanted(model_.config.vocabulary, executable_->max_top());
  if (!request) return sampler.sample(LOTSE_TRY(session.append(tokens)));
  const auto token = sampler.sample_top(LOTSE_TRY(session.append_top(tokens, *request)));
  return token ? *token : sampler.sample(LOTSE_TRY(executable_->last_logits()));
}

Result<GenerationResult> Engine::generate(Session& session, std::span<const int32_t> prompt,
                                          const SamplingParams& sampling, int64_t max_tokens,
                                          const TokenCallback& on_token) {
  const auto length = static_cast<int64_t>(prompt.size());
  if (!generates()) return std::unexpected(no_logits());
  if (prompt.empty()) return fail(ErrorCode::invalid_input, "the prompt has no tokens");
  for (const int32_t token : prompt) {
    if (token < 0 || token >= model_.config.vocabulary) {
      return fail(ErrorCode::invalid_input,
                  "token {} of the prompt is outside the vocabulary of {}", token,
                  model_.config.vocabulary);
    }
  }
  GenerationResult result;
  result.prompt_tokens = length;
  result.cached_tokens = session.reuse(prompt);
  Sampler sampler(sampling);
  sampler.see_prompt(prompt);
  auto start = Clock::now();
  int32_t token = LOTSE_TRY(
      next_token(session, prompt.subspan(static_cast<size_t>(result.cached_tokens)), sampler));
  const int64_t room = std::min(max_tokens, limits_.max_context - length);
  while (static_cast<int64_t>(result.tokens.size()) < room) {
    if (result.tokens.empty()) {
      result.prefill_seconds = seconds_since(start);
      start = Clock::now();
    }
    if (is_end(token)) {
      result.finish = FinishReason::stop;
      break;
    }
    result.tokens.push_back(token);
    if (!on_token(token)) {
      result.finish = FinishReason::cancelled;
      break;
    }
    if (static_cast<int64_t>(result.tokens.size()) == room) break;
    token = LOTSE_TRY(next_token(session, {&token, 1}, sampler));
  }
  result.decode_seconds = seconds_since(start);
  return result;
}

}  // namespace lotse
