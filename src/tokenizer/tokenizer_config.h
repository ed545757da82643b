// What tokenizer_config.json adds to a tokenizer.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tokenizer/added_tokens.h"

namespace lotse {

struct TokenizerConfig {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::vector<AddedToken> added_tokens;  // `added_tokens_decoder`
  // Whether a text begins with bos and ends with eos: said only by the classes (Llama, Gemma) that
  // replace the post-processor of tokenizer.json.
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
};

// Reads tokenizer_config.json of a model directory; all empty where the file is absent.
Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& model_dir);

}  // namespace lotse
