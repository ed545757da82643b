// What a GGUF vocabulary means, in the terms of tokenizer.json: for the tokenizer that is built
// from it (gguf.cc) and for the tokenizer.json that is written from it (gguf_files.cc), which
// therefore are the same.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/model.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

inline constexpr std::string_view kSentencePieceSpace = "▁";

enum class GgufKind {
  sentencepiece,  // BPE of characters, by scores
  byte_level,     // BPE of bytes, with a list of merges
  bert,           // WordPiece
};

struct GgufMerge {
  int32_t left;
  int32_t right;
  int32_t merged;
};

struct GgufParts {
  GgufKind kind = GgufKind::sentencepiece;
  Vocabulary vocabulary{false, 0};
  std::vector<AddedToken> added;
  ReservedIds reserved;
  int32_t unk_id = -1;
  // The rank of a merge is its place. Those that text must not use, because they give a reserved
  // token, stand in the list of a byte-level vocabulary all the same.
  std::vector<GgufMerge> merges;
  bool ignore_merges = false;
  std::vector<std::string_view> expressions;  // that cut text, one after the other; byte_level
  std::vector<int32_t> prefix;                // around a text
  std::vector<int32_t> suffix;
};

// Errors: invalid_input and limit for broken metadata, unsupported for a kind or a pre-tokenizer
// that Lotse lacks; each names the field.
Result<GgufParts> read_gguf_parts(const GgufVocabulary& source);

}  // namespace lotse
