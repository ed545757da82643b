// Text to token ids and back, as the tokenizer.json of a Hugging Face checkpoint or the metadata of
// a GGUF file defines it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

struct EncodeOptions {
  bool add_bos_eos = true;     // the special tokens of the post-processor around the text
  bool parse_special = false;  // see Tokenizer::encode
};

// A part of a prompt: written by the chat template (trusted), or by a user.
struct TextSegment {
  std::string_view text;
  bool trusted = false;
};

// A vocabulary as GGUF metadata gives it.
struct GgufVocabulary {
  std::string model;  // "llama": SentencePiece BPE by scores; "gpt2": byte-level BPE; "bert"
  std::string pre;    // "gpt2" only: the name of the pre-tokenizer
  std::vector<std::string> tokens;
  std::vector<float> scores;   // "llama" only
  std::vector<int32_t> types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;  // "gpt2" only
  std::optional<int32_t> bos, eos, unk;
  bool add_bos = false;
  bool add_eos = false;
  bool add_space_prefix = true;  // "llama" only
};

// Immutable and thread-safe.
class Tokenizer {
 public:
  // Reads `tokenizer.json` of a model directory, and what `tokenizer_config.json` says about
  // special tokens where that file exists. Errors: not_found, invalid_input or limit for a broken
  // or hostile file, unsupported for a feature Lotse lacks; each names file and field.
  static Result<std::shared_ptr<const Tokenizer>> load(const std::filesystem::path& model_dir);
  // Reads the text of a tokenizer.json; `origin` begins every error message.
  static Result<std::shared_ptr<const Tokenizer>> from_json(std::string_view tokenizer_json,
                                                            std::string_view origin);
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(const GgufVocabulary& vocabulary);

  ~Tokenizer();

  // The ids of `text`; malformed UTF-8 counts as U+FFFD. Without `parse_special`, text never
  // becomes a special token, nor one that is written like a marker (<think>, [INST]): such text is
  // tokenised as plain text. Errors: a character without a token in a vocabulary without an unknown
  // token, or a regular expression of the file that exceeds its budget on this text.
  Result<std::vector<int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  // The ids of the concatenation of all segments, where special tokens are recognised only if they
  // lie wholly within neighbouring trusted segments.
  Result<std::vector<int32_t>> encode_segments(std::span<const TextSegment> segments,
                                               bool add_bos_eos = false) const;

  // The text of `ids`, valid UTF-8. Ids without a token give nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  // One above the largest id, added tokens included.
  int64_t vocab_size() const;
  // By the form written in the file (a byte-level vocabulary writes a space as "Ġ").
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // Empty for an id without a token.
  std::string id_to_token(int32_t id) const;
  bool is_special(int32_t id) const;
  // The bytes that a token adds to a text, other than at its beginning: a byte-level or fallback
  // token may be part of a character. Nothing for an id without a token, for special tokens and for
  // those that are written like markers (<think>, [INST]).
  std::optional<std::string> token_bytes(int32_t id) const;
  // From tokenizer_config.json or GGUF metadata.
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;

  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);

 private:
  friend class StreamDecoder;
  std::unique_ptr<Parts> parts_;
};

// Decodes one token after the other, as a model generates them. The tokenizer must outlive it. Not
// thread-safe.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;

  // The text that is certain after `id`: whole characters, possibly none. All texts together, with
  // flush(), equal decode() of all ids.
  std::string push(int32_t id);
  // What is left at the end. The decoder is used up.
  std::string flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lotse
