// From the vocabulary that a GGUF file stores to the one that a tokenizer is made of.
#pragma once

#include "checkpoint/gguf_vocab.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

inline GgufVocabulary gguf_vocabulary(const GgufVocab& stored) {
  const auto narrow = [](std::optional<int64_t> id) {
    return id ? std::optional(static_cast<int32_t>(*id)) : std::nullopt;
  };
  GgufVocabulary vocabulary;
  vocabulary.model = stored.model;
  vocabulary.pre = stored.pre;
  vocabulary.tokens = stored.tokens;
  vocabulary.scores = stored.scores;
  vocabulary.types = stored.token_types;
  vocabulary.merges = stored.merges;
  vocabulary.bos = narrow(stored.bos);
  vocabulary.eos = narrow(stored.eos);
  vocabulary.unk = narrow(stored.unk);
  vocabulary.add_bos = stored.add_bos.value_or(stored.model == "llama");
  vocabulary.add_eos = stored.add_eos.value_or(false);
  vocabulary.add_space_prefix = stored.add_space_prefix.value_or(true);
  return vocabulary;
}

}  // namespace lotse
