// The section `decoder` of tokenizer.json.
#include "tokenizer/decoder.h"
#include "tokenizer/json_field.h"
#include "tokenizer/read_pattern.h"
#include "tokenizer/shown.h"

namespace lotse {
namespace {

// No real file strips more than one character.
constexpr int64_t kMostStripped = 1024;

Result<void> read_step(const JsonField& section, Decoder& decoder) {
  const std::string_view type = LOTSE_TRY(section.required_string("type"));
  if (type == "Sequence") {
    const JsonField list = LOTSE_TRY(section.required("decoders"));
    for (const JsonField& element : LOTSE_TRY(list.elements())) {
      LOTSE_TRY(read_step(element, decoder));
    }
  } else if (type == "ByteLevel") {
    if (decoder.steps.empty()) decoder.byte_level_first = true;
    decoder.add(decode_byte_level(), true);
  } else if (type == "ByteFallback") {
    decoder.byte_fallback = true;
    decoder.add(decode_byte_fallback(), false);
  } else if (type == "Fuse") {
    decoder.add(decode_fuse(), true);
  } else if (type == "Metaspace") {
    const std::string_view replacement = LOTSE_TRY(read_single_char(section, "replacement", "▁"));
    const PrependScheme scheme = LOTSE_TRY(read_prepend_scheme(section));
    decoder.add(decode_metaspace(std::string(replacement), scheme), false);
  } else if (type == "Strip") {
    const std::string_view content = LOTSE_TRY(read_single_char(section, "content", " "));
    const int64_t start = LOTSE_TRY(section.integer_or("start", 0, 0, kMostStripped));
    const int64_t stop = LOTSE_TRY(section.integer_or("stop", 0, 0, kMostStripped));
    decoder.add(
        decode_strip(std::string(content), static_cast<size_t>(start), static_cast<size_t>(stop)),
        false);
  } else if (type == "Replace") {
    std::shared_ptr<const Pattern> pattern =
        LOTSE_TRY(read_pattern(LOTSE_TRY(section.required("pattern"))));
    const std::string_view content = LOTSE_TRY(section.required_string("content"));
    decoder.add(decode_replace(std::move(pattern), std::string(content)), false);
  } else if (type == "WordPiece") {
    const std::string_view prefix = LOTSE_TRY(section.string_or("prefix", "##"));
    const bool cleanup = LOTSE_TRY(section.boolean_or("cleanup", true));
    decoder.add(decode_wordpiece(std::string(prefix), cleanup), false);
  } else {
    return fail(ErrorCode::unsupported, "{}.type: \"{}\" is not supported", section.place(),
                shown_briefly(type));
  }
  return {};
}

}  // namespace

Result<Decoder> read_decoder(const JsonField& section) {
  Decoder decoder;
  LOTSE_TRY(read_step(section, decoder));
  return decoder;
}

}  // namespace lotse
