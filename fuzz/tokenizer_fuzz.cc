// Any bytes as a tokenizer.json and a text: an error, or a tokenizer that encodes and decodes the
// text, and whose streaming agrees with decoding at once. The text is what follows a NUL.
#include <algorithm>
#include <string_view>

#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto tokenizer = lotse::Tokenizer::from_json(input.substr(0, end), "fuzz");
  if (!tokenizer) return 0;
  std::string_view text = input.substr(end);
  if (text.empty()) text = "The pilot's ship \u6e2f 123\n\n x<s>";
  for (const bool parse_special : {false, true}) {
    const auto ids = (*tokenizer)->encode(text, {.parse_special = parse_special});
    if (!ids) continue;
    std::string streamed;
    lotse::StreamDecoder decoder(**tokenizer, false);
    for (const int32_t id : *ids) {
      LOTSE_CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
      streamed += decoder.push(id);
    }
    streamed += decoder.flush();
    LOTSE_CHECK(streamed == (*tokenizer)->decode(*ids, false));
  }
  return 0;
}
