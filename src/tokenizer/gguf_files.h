// A GGUF file's vocabulary as the files that a Hugging Face directory has in its place.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

struct TokenizerFiles {
  std::string tokenizer_json;
  std::string tokenizer_config_json;
};

// What the vocabulary itself does not need.
struct GgufExtras {
  std::optional<int32_t> pad = std::nullopt;
  std::optional<std::string> chat_template = std::nullopt;
};

// Texts that mean the tokenizer of Tokenizer::from_gguf(): the same ids, texts and special tokens.
// They name the class PreTrainedTokenizerFast, which takes tokenizer.json as it stands. Errors:
// those of from_gguf(), and an id that has no token.
Result<TokenizerFiles> tokenizer_files(const GgufVocabulary& vocabulary, const GgufExtras& extras);

}  // namespace lotse
