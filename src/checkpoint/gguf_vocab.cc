#include "checkpoint/gguf_vocab.h"

#include "checkpoint/gguf_config.h"

namespace lotse {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 24;

// Scores and types come one for each token, or not at all.
Result<void> check_length(const GgufMetadata& metadata, const char* key, size_t actual,
                          size_t tokens) {
  if (actual == 0 || actual == tokens) return {};
  return fail(ErrorCode::invalid_input, "{}: metadata {}: {} items for {} tokens",
              metadata.origin(), key, actual, tokens);
}

Result<void> read_token_lists(const GgufMetadata& metadata, GgufVocab& vocab) {
  constexpr const char* kScores = "tokenizer.ggml.scores";
  constexpr const char* kTypes = "tokenizer.ggml.token_type";
  for (const double score : LOTSE_TRY(metadata.numbers(kScores)).value_or(std::vector<double>())) {
    vocab.scores.push_back(static_cast<float>(score));
  }
  LOTSE_TRY(check_length(metadata, kScores, vocab.scores.size(), vocab.tokens.size()));
  for (const int64_t type : LOTSE_TRY(metadata.integers(kTypes)).value_or(std::vector<int64_t>())) {
    if (type < 0 || type > 6) {
      return fail(ErrorCode::invalid_input, "{}: metadata {}: token type {}, expected 0 to 6",
                  metadata.origin(), kTypes, type);
    }
    vocab.token_types.push_back(static_cast<int32_t>(type));
  }
  return check_length(metadata, kTypes, vocab.token_types.size(), vocab.tokens.size());
}

}  // namespace

Result<std::optional<GgufVocab>> read_gguf_vocab(const GgufMetadata& metadata) {
  const auto tokens = LOTSE_TRY(metadata.strings("tokenizer.ggml.tokens"));
  if (!tokens) return std::optional<GgufVocab>();
  const auto count = static_cast<int64_t>(tokens->size());
  if (count > kMaxTokens) {
    return fail(ErrorCode::limit, "{}: metadata tokenizer.ggml.tokens: {} tokens, at most {}",
                metadata.origin(), count, kMaxTokens);
  }
  GgufVocab vocab;
  vocab.tokens.assign(tokens->begin(), tokens->end());
  LOTSE_TRY(read_token_lists(metadata, vocab));
  vocab.model = LOTSE_TRY(metadata.string("tokenizer.ggml.model")).value_or("");
  vocab.pre = LOTSE_TRY(metadata.string("tokenizer.ggml.pre")).value_or("");
  const auto merges = LOTSE_TRY(metadata.strings("tokenizer.ggml.merges"));
  if (merges) vocab.merges.assign(merges->begin(), merges->end());
  const auto id = [&](const char* key) { return metadata.integer(key, 0, count - 1); };
  vocab.bos = LOTSE_TRY(id("tokenizer.ggml.bos_token_id"));
  vocab.eos = LOTSE_TRY(id("tokenizer.ggml.eos_token_id"));
  vocab.eot = LOTSE_TRY(id("tokenizer.ggml.eot_token_id"));
  vocab.unk = LOTSE_TRY(id("tokenizer.ggml.unknown_token_id"));
  vocab.pad = LOTSE_TRY(id("tokenizer.ggml.padding_token_id"));
  vocab.add_bos = LOTSE_TRY(metadata.boolean("tokenizer.ggml.add_bos_token"));
  vocab.add_eos = LOTSE_TRY(metadata.boolean("tokenizer.ggml.add_eos_token"));
  vocab.add_space_prefix = LOTSE_TRY(metadata.boolean("tokenizer.ggml.add_space_prefix"));
  const auto chat = LOTSE_TRY(metadata.string("tokenizer.chat_template"));
  if (chat) vocab.chat_template = std::string(*chat);
  return vocab;
}

}  // namespace lotse
