#include "tokenizer/post_processor.h"

#include "tokenizer/json_field.h"
#include "tokenizer/shown.h"
#include "tokenizer/vocabulary.h"

namespace lotse {
namespace {

// No real template has more than a handful of tokens; a limit keeps hostile ones small.
constexpr size_t kMostTokens = 1024;

Result<void> append_ids(const JsonField& special_tokens, std::string_view name,
                        std::vector<int32_t>& ids) {
  const JsonField token = LOTSE_TRY(special_tokens.required(name));
  for (const JsonField& id : LOTSE_TRY(LOTSE_TRY(token.required("ids")).elements())) {
    ids.push_back(static_cast<int32_t>(LOTSE_TRY(id.integer(0, kMaxTokenId))));
    if (ids.size() > kMostTokens) {
      return fail(ErrorCode::limit, "{}: more than {} tokens", special_tokens.place(), kMostTokens);
    }
  }
  return {};
}

Result<Surroundings> read_template(const JsonField& section) {
  Surroundings around;
  const JsonField single = LOTSE_TRY(section.required("single"));
  bool seen_text = false;
  for (const JsonField& piece : LOTSE_TRY(single.elements())) {
    if (const auto special = LOTSE_TRY(piece.optional("SpecialToken"))) {
      const JsonField tokens = LOTSE_TRY(section.required("special_tokens"));
      const std::string_view name = LOTSE_TRY(special->required_string("id"));
      LOTSE_TRY(append_ids(tokens, name, seen_text ? around.suffix : around.prefix));
      continue;
    }
    const JsonField sequence = LOTSE_TRY(piece.required("Sequence"));
    const std::string_view name = LOTSE_TRY(sequence.required_string("id"));
    if (name != "A" || seen_text) {
      return fail(ErrorCode::invalid_input, "{}: expected the sequence A once, got \"{}\"{}",
                  single.place(), shown_briefly(name), seen_text ? " as a second one" : "");
    }
    seen_text = true;
  }
  if (!seen_text) {
    return fail(ErrorCode::invalid_input, "{}: the sequence A is missing", single.place());
  }
  return around;
}

// Bert and Roberta: `cls` and `sep` are pairs of token and id.
Result<Surroundings> read_bert(const JsonField& section) {
  const auto id_of = [&](std::string_view key) -> Result<int32_t> {
    const JsonField pair = LOTSE_TRY(section.required(key));
    const auto elements = LOTSE_TRY(pair.elements());
    if (elements.size() != 2) return pair.wrong("a pair of token and id");
    return static_cast<int32_t>(LOTSE_TRY(elements[1].integer(0, kMaxTokenId)));
  };
  const int32_t cls = LOTSE_TRY(id_of("cls"));
  return Surroundings{{cls}, {LOTSE_TRY(id_of("sep"))}};
}

}  // namespace

Result<Surroundings> read_post_processor(const JsonField& section) {
  const std::string_view type = LOTSE_TRY(section.required_string("type"));
  if (type == "ByteLevel") return Surroundings{};
  if (type == "TemplateProcessing") return read_template(section);
  if (type == "BertProcessing" || type == "RobertaProcessing") return read_bert(section);
  if (type != "Sequence") {
    return fail(ErrorCode::unsupported, "{}.type: \"{}\" is not supported", section.place(),
                shown_briefly(type));
  }
  Surroundings around;
  const JsonField list = LOTSE_TRY(section.required("processors"));
  for (const JsonField& element : LOTSE_TRY(list.elements())) {
    Surroundings outer = LOTSE_TRY(read_post_processor(element));
    outer.prefix.insert(outer.prefix.end(), around.prefix.begin(), around.prefix.end());
    around.suffix.insert(around.suffix.end(), outer.suffix.begin(), outer.suffix.end());
    around.prefix = std::move(outer.prefix);
    if (around.prefix.size() + around.suffix.size() > kMostTokens) {
      return fail(ErrorCode::limit, "{}: more than {} tokens", section.place(), kMostTokens);
    }
  }
  return around;
}

}  // namespace lotse
