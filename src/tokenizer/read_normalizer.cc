// The section `normalizer` of tokenizer.json.
#include <openssl/evp.h>

#include "tokenizer/json_field.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/read_pattern.h"
#include "tokenizer/shown.h"

namespace lotse {
namespace {

Result<std::string> decode_base64(std::string_view text, std::string_view place) {
  constexpr size_t kLongest = size_t{64} << 20;
  if (text.size() > kLongest || text.size() % 4 != 0) {
    return fail(ErrorCode::invalid_input, "{}: {} characters are not base64", place, text.size());
  }
  std::string bytes(text.size() / 4 * 3, '\0');
  const int length = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()));
  if (length < 0) return fail(ErrorCode::invalid_input, "{}: not base64", place);
  bytes.resize(static_cast<size_t>(length));
  if (text.ends_with('=')) bytes.resize(bytes.size() - (text.ends_with("==") ? 2 : 1));
  return bytes;
}

Result<std::unique_ptr<Normalizer>> read_bert(const JsonField& section) {
  BertNormalization options;
  options.clean_text = LOTSE_TRY(section.boolean_or("clean_text", true));
  options.handle_chinese_chars = LOTSE_TRY(section.boolean_or("handle_chinese_chars", true));
  options.lowercase = LOTSE_TRY(section.boolean_or("lowercase", true));
  options.strip_accents = LOTSE_TRY(section.boolean_or("strip_accents", options.lowercase));
  return bert_normalizer(options);
}

using Steps = std::vector<std::unique_ptr<Normalizer>>;

Result<std::unique_ptr<Normalizer>> read_one(const JsonField& section, std::string_view type) {
  if (type == "NFC") return unicode_form(UnicodeForm::nfc);
  if (type == "NFD") return unicode_form(UnicodeForm::nfd);
  if (type == "NFKC") return unicode_form(UnicodeForm::nfkc);
  if (type == "NFKD") return unicode_form(UnicodeForm::nfkd);
  if (type == "Lowercase") return lowercase();
  if (type == "StripAccents") return strip_accents();
  if (type == "Nmt") return nmt();
  if (type == "BertNormalizer") return read_bert(section);
  if (type == "ByteLevel") return byte_level_normalizer();
  if (type == "Strip") {
    const bool left = LOTSE_TRY(section.boolean_or("strip_left", true));
    return strip(left, LOTSE_TRY(section.boolean_or("strip_right", true)));
  }
  if (type == "Prepend") return prepend(LOTSE_TRY(section.required_string("prepend")));
  if (type == "Replace") {
    auto pattern = LOTSE_TRY(read_pattern(LOTSE_TRY(section.required("pattern"))));
    return replace(std::move(pattern), LOTSE_TRY(section.required_string("content")));
  }
  if (type == "Precompiled") {
    const JsonField map = LOTSE_TRY(section.required("precompiled_charsmap"));
    const std::string bytes = LOTSE_TRY(decode_base64(LOTSE_TRY(map.string()), map.place()));
    return precompiled_charsmap(bytes, map.place());
  }
  return fail(ErrorCode::unsupported, "{}.type: \"{}\" is not supported", section.place(),
              shown_briefly(type));
}

Result<void> read_steps(const JsonField& section, Steps& steps, bool& byte_level) {
  const std::string_view type = LOTSE_TRY(section.required_string("type"));
  if (type == "Sequence") {
    const JsonField list = LOTSE_TRY(section.required("normalizers"));
    for (const JsonField& element : LOTSE_TRY(list.elements())) {
      LOTSE_TRY(read_steps(element, steps, byte_level));
    }
    return {};
  }
  if (type == "ByteLevel") byte_level = true;
  steps.push_back(LOTSE_TRY(read_one(section, type)));
  return {};
}

}  // namespace

Result<std::unique_ptr<Normalizer>> read_normalizer(const JsonField& section, bool& byte_level) {
  Steps steps;
  LOTSE_TRY(read_steps(section, steps, byte_level));
  if (steps.empty()) return nullptr;
  if (steps.size() == 1) return std::move(steps[0]);
  return normalizer_sequence(std::move(steps));
}

}  // namespace lotse
