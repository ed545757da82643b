// How a text's embedding is made of the hidden states of its tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace lotse {

enum class Pooling : uint8_t {
  last,  // the last token's
  mean,  // the mean of all tokens'
  cls,   // the first token's
};
const char* name(Pooling pooling);
std::optional<Pooling> pooling_from_name(std::string_view name);

struct EmbeddingConfig {
  Pooling pooling = Pooling::last;
  bool normalise = true;   // scaled to length 1
  int64_t max_tokens = 0;  // of a text; 0: the context
  bool operator==(const EmbeddingConfig&) const = default;
};

// What sentence-transformers' files beside the weights say: modules.json, the pooling's
// config.json, sentence_bert_config.json. Nothing where there is no modules.json. Errors:
// unsupported, naming file and value, for a module or a pooling that Lotse does not have.
Result<std::optional<EmbeddingConfig>> read_embedding_config(
    const std::filesystem::path& directory);

}  // namespace lotse
