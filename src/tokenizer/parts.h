// What a tokenizer consists of.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

struct Tokenizer::Parts {
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<Model> model;
  AddedTokens added;
  Decoder decoder;
  bool decodes_bytes = false;   // the decoder takes the bytes of tokens, not their written form
  std::vector<int32_t> prefix;  // around a text, by the post-processor
  std::vector<int32_t> suffix;
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;

  std::optional<int32_t> find(std::string_view token) const;
  // Lets a decoder that begins with ByteLevel take bytes where the vocabulary keeps bytes.
  void set_decoder(Decoder new_decoder);
};

}  // namespace lotse
