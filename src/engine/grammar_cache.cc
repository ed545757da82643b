#include "engine/grammar_cache.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chat_template/chat_template.h"
#include "engine/grammar/network.h"

namespace lotse {
namespace {

// What the masks of one grammar may remember: several of any schema that is met in practice, and
// not too much for kMaxGrammars hostile ones.
constexpr MaskLimits kLimits = {.automaton_bytes = int64_t{16} << 20,
                                .mask_bytes = int64_t{16} << 20};

Result<Grammar> compile_choice(const std::string& text) {
  const OrderedJson list = LOTSE_TRY(parse_ordered_json(text, "choice"));
  if (!list.is_array()) return fail(ErrorCode::invalid_input, "choice: expected a list of texts");
  std::vector<std::string> texts;
  for (const OrderedJson& item : list) {
    if (!item.is_string()) {
      return fail(ErrorCode::invalid_input, "choice[{}]: expected a text", texts.size());
    }
    texts.push_back(item.get<std::string>());
  }
  return Grammar::choice(texts);
}

Result<Grammar> compile_grammar(const GrammarSource& source) {
  switch (source.kind) {
    case GrammarKind::json_object:
      return Grammar::json_object();
    case GrammarKind::json_schema:
      return Grammar::json_schema(source.text);
    case GrammarKind::regex:
      return Grammar::regex(source.text);
    case GrammarKind::choice:
      return compile_choice(source.text);
    case GrammarKind::ebnf:
      break;
  }
  return Grammar::ebnf(source.text);
}

}  // namespace

std::shared_ptr<const CompiledGrammar> GrammarCache::find(const GrammarSource& source) {
  const std::scoped_lock lock(mutex_);
  const auto it = std::ranges::find(entries_, source, &Entry::source);
  if (it == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, it);
  return it->compiled;
}

Result<std::shared_ptr<const CompiledGrammar>> GrammarCache::compile(const GrammarSource& source) {
  if (auto known = find(source)) return known;
  Grammar grammar = LOTSE_TRY(compile_grammar(source));
  auto masks = std::make_shared<GrammarMasks>(grammar, token_table(), kLimits);
  auto compiled = std::make_shared<const CompiledGrammar>(
      CompiledGrammar{std::move(grammar), std::move(masks)});
  keep({source, compiled});
  return compiled;
}

std::shared_ptr<const TokenTable> GrammarCache::token_table() {
  std::call_once(table_made_, [this] { table_ = TokenTable::create(tokenizer_); });
  return table_;
}

void GrammarCache::keep(Entry entry) {
  const std::scoped_lock lock(mutex_);
  entries_.push_front(std::move(entry));
  size_t kept = 0;
  size_t bytes = 0;
  int64_t states = 0;
  const auto is_too_much = [&](const Entry& one) {
    bytes += one.source.text.size();
    states += one.compiled->grammar.network()->states();
    return ++kept > kMaxGrammars || bytes > kMaxTextBytes || states > kMaxStates;
  };
  entries_.erase(std::ranges::find_if(entries_, is_too_much), entries_.end());
}

}  // namespace lotse
