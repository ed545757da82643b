#include "tokenizer/gguf_files.h"

#include <nlohmann/json.hpp>

#include "tokenizer/gguf_parts.h"

namespace lotse {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json added_tokens(const GgufParts& parts) {
  Json list = Json::array();
  for (const AddedToken& token : parts.added) {
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

Json literal(std::string_view text) { return {{"String", text}}; }

Json normalizer(const GgufParts& parts, bool add_space_prefix) {
  switch (parts.kind) {
    case GgufKind::sentencepiece: {
      Json steps = Json::array();
      if (add_space_prefix) {
        steps.push_back({{"type", "Prepend"}, {"prepend", kSentencePieceSpace}});
      }
      steps.push_back(
          {{"type", "Replace"}, {"pattern", literal(" ")}, {"content", kSentencePieceSpace}});
      return {{"type", "Sequence"}, {"normalizers", steps}};
    }
    case GgufKind::byte_level:
      return nullptr;
    case GgufKind::bert:
      return {{"type", "BertNormalizer"},
              {"clean_text", true},
              {"handle_chinese_chars", true},
              {"strip_accents", true},
              {"lowercase", true}};
  }
  return nullptr;
}

// The step of pre-tokeniser and decoder alike: other readers want all fields in both.
Json byte_level() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", false}};
}

Json pre_tokenizer(const GgufParts& parts) {
  if (parts.kind == GgufKind::sentencepiece) return nullptr;
  if (parts.kind == GgufKind::bert) return {{"type", "BertPreTokenizer"}};
  Json steps = Json::array();
  for (const std::string_view expression : parts.expressions) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", expression}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level());
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

// A pair of texts gets the same around each of them.
Json post_processor(const GgufParts& parts) {
  if (parts.prefix.empty() && parts.suffix.empty()) return nullptr;
  Json special = Json::object();
  const auto around = [&](Json& out, const char* sequence, int type) {
    const auto add = [&](const std::vector<int32_t>& ids) {
      for (const int32_t id : ids) {
        const std::string token = parts.vocabulary.written(id);
        out.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
        special[token] = {
            {"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
      }
    };
    add(parts.prefix);
    out.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
    add(parts.suffix);
  };
  Json single = Json::array();
  around(single, "A", 0);
  Json pair = single;
  around(pair, "B", 1);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

Json decoder(const GgufParts& parts, bool add_space_prefix) {
  if (parts.kind == GgufKind::byte_level) return byte_level();
  if (parts.kind == GgufKind::bert) {
    return {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  }
  Json steps = Json::array();
  steps.push_back(
      {{"type", "Replace"}, {"pattern", literal(kSentencePieceSpace)}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (add_space_prefix) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json vocabulary(const Vocabulary& tokens) {
  Json::object_t object;  // emplace_back(): the tokens differ, so none is sought first
  object.reserve(static_cast<size_t>(tokens.size()));
  for (int32_t id = 0; id < tokens.size(); ++id) object.emplace_back(tokens.written(id), id);
  return object;
}

Json merges(const GgufParts& parts) {
  Json list = Json::array();
  for (const GgufMerge& merge : parts.merges) {
    list.push_back(
        Json::array({parts.vocabulary.written(merge.left), parts.vocabulary.written(merge.right)}));
  }
  return list;
}

Json model(const GgufParts& parts) {
  const Json unknown =
      parts.unk_id < 0 ? Json(nullptr) : Json(parts.vocabulary.written(parts.unk_id));
  if (parts.kind == GgufKind::bert) {
    return {{"type", "WordPiece"},
            {"unk_token", unknown},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", vocabulary(parts.vocabulary)}};
  }
  const bool is_sentencepiece = parts.kind == GgufKind::sentencepiece;
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", is_sentencepiece},
          {"byte_fallback", is_sentencepiece},
          {"ignore_merges", parts.ignore_merges},
          {"vocab", vocabulary(parts.vocabulary)},
          {"merges", merges(parts)}};
}

Result<Json> tokenizer_config(const GgufVocabulary& source, const GgufParts& parts,
                              const GgufExtras& extras) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"add_bos_token", !parts.prefix.empty()},
                 {"add_eos_token", !parts.suffix.empty()}};
  const auto unknown = parts.unk_id >= 0 ? std::optional(parts.unk_id) : std::nullopt;
  const std::pair<const char*, std::optional<int32_t>> named[] = {{"bos_token", source.bos},
                                                                  {"eos_token", source.eos},
                                                                  {"unk_token", unknown},
                                                                  {"pad_token", extras.pad}};
  for (const auto& [key, id] : named) {
    if (!id) continue;
    if (!parts.vocabulary.contains(*id)) {
      return fail(ErrorCode::invalid_input, "GGUF: the {} has the id {}, expected 0 to {}", key,
                  *id, parts.vocabulary.size() - 1);
    }
    config[key] = parts.vocabulary.written(*id);
  }
  if (extras.chat_template) config["chat_template"] = *extras.chat_template;
  return config;
}

}  // namespace

Result<TokenizerFiles> tokenizer_files(const GgufVocabulary& source, const GgufExtras& extras) {
  // What Lotse cannot read back it does not write.
  LOTSE_TRY(Tokenizer::from_gguf(source));
  const GgufParts parts = LOTSE_TRY(read_gguf_parts(source));
  const Json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", added_tokens(parts)},
                          {"normalizer", normalizer(parts, source.add_space_prefix)},
                          {"pre_tokenizer", pre_tokenizer(parts)},
                          {"post_processor", post_processor(parts)},
                          {"decoder", decoder(parts, source.add_space_prefix)},
                          {"model", model(parts)}};
  const Json config = LOTSE_TRY(tokenizer_config(source, parts, extras));
  return TokenizerFiles{text_of(tokenizer, -1), text_of(config, 2)};
}

}  // namespace lotse
