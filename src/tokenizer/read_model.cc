#include "tokenizer/read_model.h"

#include <cmath>

#include "tokenizer/bpe.h"
#include "tokenizer/read_merges.h"
#include "tokenizer/shown.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace lotse {
namespace {

Result<Vocabulary> read_vocabulary(const JsonField& section, bool byte_level) {
  const JsonField field = LOTSE_TRY(section.required("vocab"));
  const simdjson::dom::object object = LOTSE_TRY(field.object());
  Vocabulary vocabulary(byte_level, static_cast<int64_t>(object.size()));
  for (const auto entry : object) {
    int64_t id = 0;
    if (entry.value.get_int64().get(id) != simdjson::SUCCESS) {
      return JsonField(entry.value,
                       fmt::format("{}: id of \"{}\"", field.place(), shown_briefly(entry.key)))
          .wrong("an integer");
    }
    LOTSE_TRY(vocabulary.add(entry.key, id, field.place()));
  }
  return vocabulary;
}

// The id of the token that stands for what the vocabulary lacks; −1 without one.
Result<int32_t> read_unknown(const JsonField& section, const Vocabulary& vocabulary,
                             const ModelContext& context, bool required) {
  const auto field = LOTSE_TRY(section.optional("unk_token"));
  if (!field && !required) return -1;
  const std::string_view token =
      field ? LOTSE_TRY(field->string()) : LOTSE_TRY(section.required_string("unk_token"));
  int32_t id = vocabulary.find_written(token);
  if (id < 0) id = context.added_id(token);
  if (id < 0) {
    return fail(ErrorCode::invalid_input, "{}: \"{}\" is not in the vocabulary", field->place(),
                shown_briefly(token));
  }
  return id;
}

Result<std::unique_ptr<Model>> read_bpe(const JsonField& section, const ModelContext& context) {
  BpeOptions options;
  const auto dropout = LOTSE_TRY(section.optional("dropout"));
  if (dropout && LOTSE_TRY(dropout->number()) != 0) {
    return fail(ErrorCode::unsupported, "{}: dropout is for training only; remove it",
                dropout->place());
  }
  options.byte_fallback = LOTSE_TRY(section.boolean_or("byte_fallback", false));
  options.fuse_unk = LOTSE_TRY(section.boolean_or("fuse_unk", false));
  options.ignore_merges = LOTSE_TRY(section.boolean_or("ignore_merges", false));
  options.continuing_subword_prefix = LOTSE_TRY(section.string_or("continuing_subword_prefix", ""));
  options.end_of_word_suffix = LOTSE_TRY(section.string_or("end_of_word_suffix", ""));
  const bool plain =
      options.continuing_subword_prefix.empty() && options.end_of_word_suffix.empty();

  Vocabulary vocabulary = LOTSE_TRY(read_vocabulary(section, context.byte_level && plain));
  options.unk_id = LOTSE_TRY(read_unknown(section, vocabulary, context, false));
  const JsonField merges_field = LOTSE_TRY(section.required("merges"));
  MergeTable merges = LOTSE_TRY(
      read_merges(merges_field, vocabulary, options.continuing_subword_prefix, context.reserved));
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(options),
                               context.reserved);
}

Result<std::unique_ptr<Model>> read_wordpiece(const JsonField& section,
                                              const ModelContext& context) {
  WordPieceOptions options;
  options.continuing_prefix = LOTSE_TRY(section.string_or("continuing_subword_prefix", "##"));
  options.max_chars_per_word =
      LOTSE_TRY(section.integer_or("max_input_chars_per_word", 100, 1, INT32_MAX));
  Vocabulary vocabulary = LOTSE_TRY(read_vocabulary(section, false));
  options.unk_id = LOTSE_TRY(read_unknown(section, vocabulary, context, true));
  return WordPiece::create(std::move(vocabulary), std::move(options), context.reserved,
                           section.place());
}

// The vocabulary of Unigram is a list of pairs of token and score; the place is the id.
Result<std::unique_ptr<Model>> read_unigram(const JsonField& section, const ModelContext& context) {
  const JsonField field = LOTSE_TRY(section.required("vocab"));
  const simdjson::dom::array array = LOTSE_TRY(field.array());
  Vocabulary vocabulary(false, static_cast<int64_t>(array.size()));
  std::vector<double> scores;
  for (const auto entry : array) {
    std::string_view token;
    double score = 0;
    simdjson::dom::array pair;
    if (entry.get_array().get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get_string().get(token) != simdjson::SUCCESS ||
        pair.at(1).get_double().get(score) != simdjson::SUCCESS || !std::isfinite(score)) {
      return JsonField(entry, fmt::format("{}[{}]", field.place(), scores.size()))
          .wrong("a token and its score");
    }
    LOTSE_TRY(vocabulary.add(token, static_cast<int64_t>(scores.size()), field.place()));
    scores.push_back(score);
  }
  UnigramOptions options;
  options.byte_fallback = LOTSE_TRY(section.boolean_or("byte_fallback", false));
  if (const auto unknown = LOTSE_TRY(section.optional("unk_id"))) {
    options.unk_id = static_cast<int32_t>(LOTSE_TRY(unknown->integer(0, vocabulary.size() - 1)));
  }
  return Unigram::create(std::move(vocabulary), std::move(scores), options, context.reserved,
                         section.place());
}

// Files of before 2020 name no type.
Result<std::string_view> read_type(const JsonField& section) {
  if (const auto type = LOTSE_TRY(section.optional("type"))) return type->string();
  if (LOTSE_TRY(section.optional("merges"))) return "BPE";
  return LOTSE_TRY(section.required("vocab")).is_array() ? "Unigram" : "WordPiece";
}

}  // namespace

Result<std::unique_ptr<Model>> read_model(const JsonField& section, const ModelContext& context) {
  const std::string_view type = LOTSE_TRY(read_type(section));
  if (type == "BPE") return read_bpe(section, context);
  if (type == "Unigram") return read_unigram(section, context);
  if (type == "WordPiece") return read_wordpiece(section, context);
  return fail(ErrorCode::unsupported, "{}.type: \"{}\" is not supported", section.place(),
              shown_briefly(type));
}

}  // namespace lotse
