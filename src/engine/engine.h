// A loaded model that answers: weights on a device, tokenizer, chat template, cache.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/registry.h"
#include "engine/block_pool.h"
#include "engine/chat.h"
#include "engine/memory_plan.h"
#include "engine/request.h"
#include "engine/session.h"
#include "engine/team.h"
#include "model/adapter.h"
#include "model/model.h"
#include "model/pooling.h"

namespace lotse {

struct EngineOptions {
  std::string device = "cpu";
  int threads = 0;           // 0: one a core
  int64_t context = 0;       // positions; 0: the model's, at most kDefaultContext, or what fits
  int64_t max_outputs = 64;  // rows of logits a step, for scoring
  int64_t max_sequences = 1;
  int64_t cache_tokens = 0;             // positions in the cache, of all sequences; 0: what fits
  std::optional<Pooling> pooling = {};  // of embeddings; else what the checkpoint says
  // Of keys and values: f32, bf16, or i8 with scales; without: f32 for an f32 model, else bf16.
  std::optional<DType> cache_type = {};
  int32_t ranks = 1;        // processes that share the model, each on a device of its own
  MemoryNeeds beside = {};  // of a draft model that is to be opened next, on the same device
  std::vector<AdapterSource> adapters = {};  // that requests may ask for, numbered from 1 on
};

inline constexpr int64_t kDefaultContext = 8192;

struct GenerationResult {
  std::vector<int32_t> tokens;  // without the token that ended it
  FinishReason finish = FinishReason::length;
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;   // of the prompt, found in the session's cache
  double prefill_seconds = 0;  // until the first token
  double decode_seconds = 0;   // of all following tokens
};

// Sees each token as it is chosen; returns false to cancel.
using TokenCallback = std::function<bool(int32_t token)>;

// One model on one device. Not thread-safe.
class Engine {
 public:
  // Opens a checkpoint in any supported format. Errors: whatever is wrong with its files, an
  // unsupported family or format, a device that lacks an operator, a model that cannot be divided.
  static Result<std::unique_ptr<Engine>> open(const std::filesystem::path& path,
                                              const EngineOptions& options);
  // One rank's share of it, for the other ranks of open() with options.ranks > 1.
  static Result<std::unique_ptr<Engine>> open_rank(const std::filesystem::path& path,
                                                   const EngineOptions& options, Group& group);

  const ModelConfig& config() const { return model_.config; }
  const Model& model() const { return model_; }
  // Null when the checkpoint has no tokenizer.
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  const std::optional<Chat>& chat() const { return chat_; }
  const Device& device() const { return *device_; }
  Executable& executable() { return *executable_; }
  const ExecutionLimits& limits() const { return limits_; }
  const MemoryPlan& memory_plan() const { return memory_plan_; }
  // Defaults of generation_config.json; greedy when it has none.
  const SamplingParams& default_sampling() const { return default_sampling_; }
  // Whether the model makes logits, and with them text; every model makes embeddings.
  bool generates() const { return model_.program.logits != kNone; }
  const EmbeddingConfig& embedding() const { return embedding_; }
  // Most tokens of a text that is embedded.
  int64_t embedding_tokens() const;
  // Whether the model ends an answer with this token.
  bool is_end(int32_t token) const;
  const std::vector<int64_t>& end_tokens() const { return end_tokens_; }
  double load_seconds() const { return load_seconds_; }
  // Bytes of all weights that every step reads whole: all but embedding tables.
  int64_t streamed_weight_bytes() const { return streamed_weight_bytes_; }

  // `adapter` counts options.adapters from 1; 0: none.
  std::unique_ptr<Session> make_session(int32_t adapter = 0);

  // Continues `session` with `prompt` (the whole sequence; what the session has cached of it is
  // not computed again) until an end token, `max_tokens`, the end of the context, or cancellation.
  Result<GenerationResult> generate(Session& session, std::span<const int32_t> prompt,
                                    const SamplingParams& sampling, int64_t max_tokens,
                                    const TokenCallback& on_token);

 private:
  Engine() = default;
  Result<void> load(const std::filesystem::path& path, const EngineOptions& options, Group* group);
  Result<void> set_limits(const EngineOptions& options, Group* group);
  // Appends tokens and draws the one that follows, from no more logits than it takes.
  Result<int32_t> next_token(Session& session, std::span<const int32_t> tokens, Sampler& sampler);
  Result<void> read_embedding(const std::filesystem::path& directory, const EngineOptions& options);
  Result<void> read_generation_config(const std::filesystem::path& directory);

  Model model_;
  ExecutionLimits limits_;
  MemoryPlan memory_plan_;
  SamplingParams default_sampling_;
  std::vector<int64_t> end_tokens_;
  EmbeddingConfig embedding_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<Chat> chat_;
  std::unique_ptr<Team> team_;  // null for one rank; outlives device and executable
  std::unique_ptr<Device> device_;
  std::unique_ptr<Executable> executable_;
  std::unique_ptr<BlockPool> pool_;
  double load_seconds_ = 0;
  int64_t streamed_weight_bytes_ = 0;
};

// What a checkpoint's weights and cache take, without loading them.
Result<MemoryNeeds> memory_needs(const std::filesystem::path& path, const EngineOptions& options);

// The tokenizer of a checkpoint: tokenizer.json beside the weights or a GGUF's own. Nothing when
// there is none.
Result<std::shared_ptr<const Tokenizer>> load_tokenizer(const Checkpoint& checkpoint);

}  // namespace lotse
