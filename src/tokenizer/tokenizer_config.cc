#include "tokenizer/tokenizer_config.h"

#include <charconv>

#include "base/mmap.h"
#include "tokenizer/json_field.h"

namespace lotse {
namespace {

// A special token is given as a string or as an object with `content`.
Result<std::optional<std::string>> read_token(const JsonField& root, std::string_view key) {
  const auto field = LOTSE_TRY(root.optional(key));
  if (!field) return std::optional<std::string>();
  if (!field->is_object()) return std::optional(std::string(LOTSE_TRY(field->string())));
  return std::optional(std::string(LOTSE_TRY(field->required_string("content"))));
}

Result<std::optional<bool>> read_flag(const JsonField& root, std::string_view key) {
  const auto field = LOTSE_TRY(root.optional(key));
  if (!field) return std::optional<bool>();
  return std::optional(LOTSE_TRY(field->boolean()));
}

Result<std::vector<AddedToken>> read_added_tokens_decoder(const JsonField& section) {
  std::vector<AddedToken> tokens;
  for (const auto& [key, field] : LOTSE_TRY(section.members())) {
    AddedToken token = LOTSE_TRY(read_added_token(field));
    const char* const end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, token.id);
    if (parsed.ec != std::errc() || parsed.ptr != end || token.id < 0 || token.id > kMaxTokenId) {
      return fail(ErrorCode::invalid_input, "{}: the key is no id from 0 to {}", field.place(),
                  kMaxTokenId);
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

bool replaces_post_processor(std::string_view tokenizer_class) {
  for (const std::string_view family : {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"}) {
    if (tokenizer_class.starts_with(family)) return true;
  }
  return false;
}

Result<TokenizerConfig> read_config(const JsonField& root) {
  TokenizerConfig config;
  config.bos = LOTSE_TRY(read_token(root, "bos_token"));
  config.eos = LOTSE_TRY(read_token(root, "eos_token"));
  if (const auto section = LOTSE_TRY(root.optional("added_tokens_decoder"))) {
    config.added_tokens = LOTSE_TRY(read_added_tokens_decoder(*section));
  }
  if (replaces_post_processor(LOTSE_TRY(root.string_or("tokenizer_class", "")))) {
    config.add_bos = LOTSE_TRY(read_flag(root, "add_bos_token"));
    config.add_eos = LOTSE_TRY(read_flag(root, "add_eos_token"));
  }
  return config;
}

}  // namespace

Result<AddedToken> read_added_token(const JsonField& section) {
  AddedToken token;
  token.content = LOTSE_TRY(section.required_string("content"));
  token.single_word = LOTSE_TRY(section.boolean_or("single_word", false));
  token.lstrip = LOTSE_TRY(section.boolean_or("lstrip", false));
  token.rstrip = LOTSE_TRY(section.boolean_or("rstrip", false));
  token.special = LOTSE_TRY(section.boolean_or("special", false));
  token.normalized = LOTSE_TRY(section.boolean_or("normalized", !token.special));
  return token;
}

Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& model_dir) {
  constexpr int64_t kMaxBytes = int64_t{64} << 20;
  const std::filesystem::path path = model_dir / "tokenizer_config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return TokenizerConfig{};
  const std::string text = LOTSE_TRY(read_text_file(path, kMaxBytes));
  const JsonDocument document = LOTSE_TRY(JsonDocument::parse(text, path.string()));
  return read_config(document.root());
}

}  // namespace lotse
