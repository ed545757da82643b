// Tokens back to text: the steps of the section `decoder`, each of which handles one token after
// the other, so that streaming and decoding at once are the same code.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/function_ref.h"
#include "tokenizer/pattern.h"
#include "tokenizer/pre_tokenizer.h"

namespace lotse {

// The byte that a token written <0x00> to <0xFF> stands for; −1 for others.
int byte_of_fallback_token(std::string_view token);

using TextSink = FunctionRef<void(std::string_view)>;

// The state of one step during one decoding.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  // Takes a token, and passes on what is certain.
  virtual void push(std::string_view token, TextSink next) = 0;
  // Passes on what was held back.
  virtual void finish(TextSink) {}
};

// Makes the stage of a new decoding. `joined`: the stage gets pieces of one token (what stands
// after Fuse or ByteLevel) instead of tokens.
using DecodeStep = std::function<std::unique_ptr<DecodeStage>(bool joined)>;

DecodeStep decode_byte_level();
// For tokens that are bytes already.
DecodeStep decode_bytes();
DecodeStep decode_metaspace(std::string replacement, PrependScheme scheme);
DecodeStep decode_byte_fallback();
DecodeStep decode_fuse();
// Drops up to `start` and `stop` times `content`, one character, from both ends.
DecodeStep decode_strip(std::string content, size_t start, size_t stop);
DecodeStep decode_replace(std::shared_ptr<const Pattern> pattern, std::string content);
// `cleanup` undoes the spaces of tokenised English: before punctuation and contractions.
DecodeStep decode_wordpiece(std::string prefix, bool cleanup);
// Spaces between tokens: what a file without a decoder means.
DecodeStep decode_with_spaces();

struct Decoder {
  std::vector<DecodeStep> steps;
  size_t joins_after = SIZE_MAX;  // index of the first step that joins all tokens
  bool byte_level_first = false;  // the first step is ByteLevel
  bool byte_fallback = false;     // one of the steps is ByteFallback

  void add(DecodeStep step, bool joins);
};

// One decoding. The decoder need not outlive it.
class Decoding {
 public:
  explicit Decoding(const Decoder& decoder);
  void push(std::string_view token, std::string& out) { run(0, token, out); }
  void finish(std::string& out);

 private:
  void run(size_t stage, std::string_view token, std::string& out);

  std::vector<std::unique_ptr<DecodeStage>> stages_;
};

class JsonField;

Result<Decoder> read_decoder(const JsonField& section);

}  // namespace lotse
