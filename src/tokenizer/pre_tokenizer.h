// How normalised text is cut into the words that the model tokenises one by one.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/function_ref.h"
#include "tokenizer/pattern.h"

namespace lotse {

// A piece of text; `at_start` tells whether the whole input begins with it.
struct Piece {
  std::string_view text;
  bool at_start;
};
// Pieces are never empty, and their text lives for the duration of the call.
using PieceSink = FunctionRef<Result<void>(Piece)>;

// Cuts and may rewrite text. Immutable and thread-safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Reports the pieces of `piece` in order. Errors: those of patterns and of the sink.
  virtual Result<void> split(Piece piece, PieceSink sink) const = 0;
};

// What becomes of the matches of a pattern.
enum class SplitBehaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// Cuts at the matches of a pattern, with `invert` at what lies between them.
std::unique_ptr<PreTokenizer> split_at(std::unique_ptr<Pattern> pattern, SplitBehaviour behaviour,
                                       bool invert);

// Which pieces get SentencePiece's leading space.
enum class PrependScheme { always, first, never };

// SentencePiece's spaces: ' ' becomes `replacement`, which may be put before the text; then cuts
// before each replacement if `cut`.
std::unique_ptr<PreTokenizer> metaspace(std::string_view replacement, PrependScheme scheme,
                                        bool cut);

// Puts a space before a piece that does not begin with one.
std::unique_ptr<PreTokenizer> prepend_space();
// Writes bytes in the alphabet of byte_level.h, and back.
std::unique_ptr<PreTokenizer> to_byte_level();
std::unique_ptr<PreTokenizer> from_byte_level();

// One after another; without steps, the piece itself.
std::unique_ptr<PreTokenizer> sequence(std::vector<std::unique_ptr<PreTokenizer>> steps);

// BERT's: white space removed, punctuation cut off.
std::unique_ptr<PreTokenizer> bert_pre_tokenizer();

bool is_bert_punctuation(char32_t c);

class JsonField;

// The section `pre_tokenizer` as the steps it consists of.
struct PreTokenizerSteps {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool byte_level = false;       // one of them writes bytes in the printable alphabet
  bool byte_level_last = false;  // it is the last one
};
Result<PreTokenizerSteps> read_pre_tokenizer(const JsonField& section);

// The steps as one. `raw_bytes`: the model keeps bytes, not their printable alphabet, so the pieces
// are brought back to bytes.
std::unique_ptr<PreTokenizer> assemble(PreTokenizerSteps section, bool raw_bytes);

}  // namespace lotse
