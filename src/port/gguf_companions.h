// The files beside the weights that a GGUF file holds within itself.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/gguf_vocab.h"

namespace lotse {

struct Companion {
  std::string name;
  std::string text;
};

// tokenizer.json and tokenizer_config.json, and generation_config.json where a text may end with
// another token than the one that config.json names. Error: invalid_input, limit or unsupported for
// a vocabulary that Lotse cannot read, saying what to do.
Result<std::vector<Companion>> gguf_companions(const GgufVocab& vocab);

}  // namespace lotse
