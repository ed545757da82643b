// The section `pre_tokenizer` of tokenizer.json.
#include "tokenizer/json_field.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/read_pattern.h"
#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

bool is_numeric(char32_t c) { return (CharClasses::get()[c] & kNumber) != 0; }
bool is_word(char32_t c) {
  return (CharClasses::get()[c] & kWord) != 0 || c == 0x200c || c == 0x200d;
}
bool is_neither_word_nor_space(char32_t c) { return !is_word(c) && !is_white_space(c); }

// `\w+|[^\w\s]+`: runs of word characters and runs of others that are no space.
class WordPattern : public Pattern {
 public:
  Result<void> find(std::string_view text, MatchSink sink) const override {
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      const char32_t c = next_char(text, i);
      if (is_white_space(c)) continue;
      const auto belongs = is_word(c) ? is_word : is_neither_word_nor_space;
      size_t end = i;
      while (i < text.size() && belongs(next_char(text, i))) end = i;
      i = end;
      LOTSE_TRY(sink(begin, end));
    }
    return {};
  }
};

Result<SplitBehaviour> read_behaviour(const JsonField& section, std::string_view fallback) {
  const std::string_view name = LOTSE_TRY(section.string_or("behavior", fallback));
  if (name == "Removed") return SplitBehaviour::removed;
  if (name == "Isolated") return SplitBehaviour::isolated;
  if (name == "MergedWithPrevious") return SplitBehaviour::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehaviour::merged_with_next;
  if (name == "Contiguous") return SplitBehaviour::contiguous;
  return fail(ErrorCode::invalid_input,
              "{}.behavior: expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
              "Contiguous, got \"{}\"",
              section.place(), shown_briefly(name));
}

void add_split(PreTokenizerSteps& steps, std::unique_ptr<Pattern> pattern, SplitBehaviour behaviour,
               bool invert = false) {
  steps.steps.push_back(split_at(std::move(pattern), behaviour, invert));
  steps.byte_level_last = false;
}

Result<void> read_split(const JsonField& section, PreTokenizerSteps& steps) {
  auto pattern = LOTSE_TRY(read_pattern(LOTSE_TRY(section.required("pattern"))));
  LOTSE_TRY(section.required("behavior"));
  const SplitBehaviour behaviour = LOTSE_TRY(read_behaviour(section, ""));
  const bool invert = LOTSE_TRY(section.boolean_or("invert", false));
  add_split(steps, std::move(pattern), behaviour, invert);
  return {};
}

Result<void> read_byte_level(const JsonField& section, PreTokenizerSteps& steps) {
  if (LOTSE_TRY(section.boolean_or("add_prefix_space", true))) {
    steps.steps.push_back(prepend_space());
  }
  if (LOTSE_TRY(section.boolean_or("use_regex", true))) {
    add_split(steps, known_pattern(kGpt2Expression), SplitBehaviour::isolated);
  }
  steps.steps.push_back(to_byte_level());
  steps.byte_level = steps.byte_level_last = true;
  return {};
}

Result<void> read_digits(const JsonField& section, PreTokenizerSteps& steps) {
  const bool individual = LOTSE_TRY(section.boolean_or("individual_digits", false));
  add_split(steps, class_pattern(is_numeric, !individual), SplitBehaviour::isolated);
  return {};
}

Result<void> read_metaspace(const JsonField& section, PreTokenizerSteps& steps) {
  const std::string_view replacement = LOTSE_TRY(read_single_char(section, "replacement", "▁"));
  const PrependScheme scheme = LOTSE_TRY(read_prepend_scheme(section));
  const bool cut = LOTSE_TRY(section.boolean_or("split", true));
  steps.steps.push_back(metaspace(replacement, scheme, cut));
  steps.byte_level_last = false;
  return {};
}

Result<void> read_step(const JsonField& section, PreTokenizerSteps& steps) {
  const std::string_view type = LOTSE_TRY(section.required_string("type"));
  if (type == "Sequence") {
    const JsonField list = LOTSE_TRY(section.required("pretokenizers"));
    for (const JsonField& element : LOTSE_TRY(list.elements()))
      LOTSE_TRY(read_step(element, steps));
    return {};
  }
  if (type == "Split") return read_split(section, steps);
  if (type == "ByteLevel") return read_byte_level(section, steps);
  if (type == "Metaspace") return read_metaspace(section, steps);
  if (type == "Digits") return read_digits(section, steps);
  if (type == "Whitespace") {
    add_split(steps, std::make_unique<WordPattern>(), SplitBehaviour::removed, true);
    return {};
  }
  if (type == "WhitespaceSplit") {
    add_split(steps, class_pattern(is_white_space, true), SplitBehaviour::removed);
    return {};
  }
  if (type == "Punctuation") {
    const SplitBehaviour behaviour = LOTSE_TRY(read_behaviour(section, "Isolated"));
    add_split(steps, class_pattern(is_bert_punctuation, false), behaviour);
    return {};
  }
  if (type == "CharDelimiterSplit") {
    const std::string_view delimiter = LOTSE_TRY(read_single_char(section, "delimiter", {}));
    add_split(steps, literal_pattern(delimiter), SplitBehaviour::removed);
    return {};
  }
  if (type == "BertPreTokenizer") {
    steps.steps.push_back(bert_pre_tokenizer());
    steps.byte_level_last = false;
    return {};
  }
  return fail(ErrorCode::unsupported, "{}.type: \"{}\" is not supported", section.place(),
              shown_briefly(type));
}

}  // namespace

Result<PreTokenizerSteps> read_pre_tokenizer(const JsonField& section) {
  PreTokenizerSteps steps;
  LOTSE_TRY(read_step(section, steps));
  return steps;
}

}  // namespace lotse
