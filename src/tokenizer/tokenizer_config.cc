#include "tokenizer/tokenizer_config.h"

#include <charconv>

#include "base/json.h"
#include "tokenizer/shown.h"

namespace lotse {
namespace {

// A special token is given as a string or as an object with `content`.
Result<std::optional<std::string>> read_token(const JsonFields& root, const char* key) {
  if (!root.has(key)) return std::optional<std::string>();
  if (!root.json()[key].is_object()) return root.string(key);
  return LOTSE_TRY(root.object(key))->string("content");
}

Result<AddedToken> read_added_token(const JsonFields& section) {
  AddedToken token;
  const auto content = LOTSE_TRY(section.string("content"));
  if (!content) {
    return fail(ErrorCode::invalid_input, "{}: field \"content\" is missing", section.origin());
  }
  token.content = *content;
  token.single_word = LOTSE_TRY(section.boolean_or("single_word", false));
  token.lstrip = LOTSE_TRY(section.boolean_or("lstrip", false));
  token.rstrip = LOTSE_TRY(section.boolean_or("rstrip", false));
  token.special = LOTSE_TRY(section.boolean_or("special", false));
  token.normalized = LOTSE_TRY(section.boolean_or("normalized", !token.special));
  return token;
}

Result<std::vector<AddedToken>> read_added_tokens_decoder(const JsonFields& section) {
  std::vector<AddedToken> tokens;
  for (const auto& [key, value] : section.json().items()) {
    const std::string place = fmt::format("{}.{}", section.origin(), shown_briefly(key));
    int32_t id = 0;
    const char* const end = key.data() + key.size();
    const auto parsed = std::from_chars(key.data(), end, id);
    if (parsed.ec != std::errc() || parsed.ptr != end || id < 0 || id > kMaxTokenId) {
      return fail(ErrorCode::invalid_input, "{}: the key is no id from 0 to {}", place,
                  kMaxTokenId);
    }
    if (!value.is_object()) {
      return fail(ErrorCode::invalid_input, "{}: expected an object", place);
    }
    AddedToken token = LOTSE_TRY(read_added_token(JsonFields(value, place)));
    token.id = id;
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

}  // namespace

Result<TokenizerConfig> read_tokenizer_config(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer_config.json";
  TokenizerConfig config;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return config;
  // Not simdjson: these files hold integers of more than 64 bits.
  const Json json = LOTSE_TRY(read_json_file(path.string()));
  if (!json.is_object()) {
    return fail(ErrorCode::invalid_input, "{}: expected an object", path.string());
  }
  const JsonFields root(json, path.string());
  config.bos = LOTSE_TRY(read_token(root, "bos_token"));
  config.eos = LOTSE_TRY(read_token(root, "eos_token"));
  if (const auto section = LOTSE_TRY(root.object("added_tokens_decoder"))) {
    config.added_tokens = LOTSE_TRY(read_added_tokens_decoder(*section));
  }
  if (replaces_post_processor(LOTSE_TRY(root.string_or("tokenizer_class", "")))) {
    config.add_bos = LOTSE_TRY(root.boolean("add_bos_token"));
    config.add_eos = LOTSE_TRY(root.boolean("add_eos_token"));
  }
  return config;
}

}  // namespace lotse
