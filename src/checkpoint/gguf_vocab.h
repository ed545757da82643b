// Tokenizer metadata of a GGUF file, as stored; turning it into a tokenizer is not done here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lotse {

// Token ids are within `tokens`. `scores` and `token_types` are empty or as long as `tokens`.
struct GgufVocab {
  std::string model;                // "llama" (unigram), "gpt2" (BPE), "bert" (WordPiece), "t5"
  std::string pre;                  // name of the pre-tokenizer, empty when absent
  std::vector<std::string> tokens;  // raw bytes, not necessarily UTF-8
  std::vector<float> scores;
  std::vector<int32_t> token_types;  // 1 normal, 2 unknown, 3 control, 4 user, 5 unused, 6 byte
  std::vector<std::string> merges;   // "left right"
  std::optional<int64_t> bos, eos, eot, unk, pad;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::optional<std::string> chat_template;
};

}  // namespace lotse
