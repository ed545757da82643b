#include "tokenizer/tokenizer.h"

#include <algorithm>

#include "tokenizer/byte_level.h"
#include "tokenizer/parts.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

constexpr size_t kMaxText = size_t{1} << 30;

// One encode call.
class Encoder {
 public:
  Encoder(const Tokenizer::Parts& parts, std::vector<int32_t>& ids) : parts_(parts), ids_(ids) {}

  Result<void> run(std::string_view text, const std::vector<TextRange>& trusted) {
    if (text.size() > kMaxText) {
      return fail(ErrorCode::limit, "a text of {} bytes exceeds the limit of {}", text.size(),
                  kMaxText);
    }
    const bool all_trusted =
        trusted.size() == 1 && trusted[0].begin == 0 && trusted[0].end == text.size();
    return parts_.added.split_raw(
        text, trusted, [&](const AddedToken* token, std::string_view part) -> Result<void> {
          if (token != nullptr) return add(*token);
          return normalize({part, part.data() == text.data()}, all_trusted);
        });
  }

 private:
  Result<void> add(const AddedToken& token) {
    ids_.push_back(token.id);
    return {};
  }

  Result<void> normalize(Piece piece, bool trusted) {
    std::string normal;
    if (parts_.normalizer && LOTSE_TRY(parts_.normalizer->normalize(piece.text, normal))) {
      piece.text = normal;
    }
    if (!parts_.added.has_normalized()) return split(piece);
    return parts_.added.split_normalized(
        piece.text, trusted, [&](const AddedToken* token, std::string_view part) -> Result<void> {
          if (token != nullptr) return add(*token);
          return split({part, piece.at_start && part.data() == piece.text.data()});
        });
  }

  Result<void> split(Piece piece) {
    if (piece.text.empty()) return {};
    if (!parts_.pre_tokenizer) return tokenize(piece);
    return parts_.pre_tokenizer->split(piece, [&](Piece word) { return tokenize(word); });
  }

  Result<void> tokenize(Piece word) { return parts_.model->tokenize(word.text, scratch_, ids_); }

  const Tokenizer::Parts& parts_;
  std::vector<int32_t>& ids_;
  ModelScratch scratch_;
};

Result<std::vector<int32_t>> encode_text(const Tokenizer::Parts& parts, std::string_view text,
                                         const std::vector<TextRange>& trusted, bool around) {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 8);
  if (around) ids = parts.prefix;
  LOTSE_TRY(Encoder(parts, ids).run(text, trusted));
  if (around) ids.insert(ids.end(), parts.suffix.begin(), parts.suffix.end());
  return ids;
}

// The text of one token, as the decoder takes it; nothing for an id without a token.
std::optional<std::string> decoder_input(const Tokenizer::Parts& parts, int32_t id,
                                         bool skip_special) {
  const Vocabulary& vocabulary = parts.model->vocabulary();
  if (const AddedToken* token = parts.added.find(id)) {
    if (skip_special && token->special) return std::nullopt;
    std::string bytes;
    return parts.decodes_bytes && append_bytes_of(bytes, token->content) ? bytes : token->content;
  }
  if (!vocabulary.contains(id)) return std::nullopt;
  return parts.decodes_bytes ? std::string(vocabulary.bytes(id)) : vocabulary.written(id);
}

}  // namespace

std::optional<int32_t> Tokenizer::Parts::find(std::string_view token) const {
  if (const AddedToken* found = added.find(token)) return found->id;
  const int32_t id = model->vocabulary().find_written(token);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

void Tokenizer::Parts::set_decoder(Decoder new_decoder) {
  decoder = std::move(new_decoder);
  decodes_bytes = decoder.byte_level_first && model->vocabulary().byte_level();
  if (decodes_bytes) decoder.steps[0] = decode_bytes();
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::string repaired;
  if (!is_utf8(text)) {
    repaired = decode_lossy(text);
    text = repaired;
  }
  std::vector<TextRange> trusted;
  if (options.parse_special) trusted.push_back({0, text.size()});
  return encode_text(*parts_, text, trusted, options.add_bos_eos);
}

Result<std::vector<int32_t>> Tokenizer::encode_segments(std::span<const TextSegment> segments,
                                                        bool add_bos_eos) const {
  std::string text;
  std::vector<TextRange> trusted;
  for (const TextSegment& segment : segments) {
    const size_t begin = text.size();
    text += is_utf8(segment.text) ? std::string(segment.text) : decode_lossy(segment.text);
    if (!segment.trusted || text.size() == begin) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  return encode_text(*parts_, text, trusted, add_bos_eos);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  Decoding decoding(parts_->decoder);
  for (const int32_t id : ids) {
    const auto token = decoder_input(*parts_, id, skip_special);
    if (token) decoding.push(*token, text);
  }
  decoding.finish(text);
  return text;
}

int64_t Tokenizer::vocab_size() const {
  return std::max(parts_->model->vocabulary().size(), parts_->added.largest_id() + 1);
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  return parts_->find(token);
}

std::string Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* token = parts_->added.find(id)) return token->content;
  const Vocabulary& vocabulary = parts_->model->vocabulary();
  return vocabulary.contains(id) ? vocabulary.written(id) : std::string();
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = parts_->added.find(id);
  return token != nullptr && token->special;
}

std::optional<std::string> Tokenizer::token_bytes(int32_t id) const {
  const Vocabulary& vocabulary = parts_->model->vocabulary();
  const AddedToken* added = parts_->added.find(id);
  if (added != nullptr ? is_privileged(*added) : !vocabulary.contains(id)) return std::nullopt;
  const std::string written = id_to_token(id);
  std::string bytes;
  if (parts_->decoder.byte_level_first && append_bytes_of(bytes, written)) return bytes;
  if (const int byte = byte_of_fallback_token(written);
      byte >= 0 && parts_->decoder.byte_fallback) {
    return std::string(1, static_cast<char>(static_cast<uint8_t>(byte)));
  }
  // A letter before it stands for the text before it.
  std::string text;
  Decoding decoding(parts_->decoder);
  decoding.push("a", text);
  decoding.push(written, text);
  decoding.finish(text);
  return text.substr(std::min<size_t>(text.size(), 1));
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos; }

struct StreamDecoder::State {
  const Tokenizer::Parts& parts;
  bool skip_special;
  Decoding decoding;
};

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : state_(new State{*tokenizer.parts_, skip_special, Decoding(tokenizer.parts_->decoder)}) {}
StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(int32_t id) {
  std::string text;
  const auto token = decoder_input(state_->parts, id, state_->skip_special);
  if (token) state_->decoding.push(*token, text);
  return text;
}

std::string StreamDecoder::flush() {
  std::string text;
  state_->decoding.finish(text);
  return text;
}

}  // namespace lotse
