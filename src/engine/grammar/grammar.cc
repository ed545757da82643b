#include "engine/grammar/grammar.h"

#include "base/utf8.h"
#include "engine/grammar/byte_trie.h"
#include "engine/grammar/dfa.h"
#include "engine/grammar/network.h"
#include "engine/grammar/regex_syntax.h"

namespace lotse {

Grammar::Grammar(Network network, std::vector<std::string> ignored)
    : ignored_(std::move(ignored)), network_(std::make_shared<const Network>(std::move(network))) {}

Result<Grammar> Grammar::regex(std::string_view pattern) {
  if (pattern.size() > kMaxSourceBytes) {
    return fail(ErrorCode::limit, "regular expression: {} bytes, at most {} are allowed",
                pattern.size(), kMaxSourceBytes);
  }
  const Expression expression = LOTSE_TRY(parse_regex(pattern, RegexDialect::pcre));
  DfaBudget budget;
  auto dfa = to_dfa(expression, RegexMatch::whole, budget);
  if (!dfa) {
    return fail(dfa.error().code, "regular expression: {}", dfa.error().message);
  }
  NetworkBuilder builder;
  const int32_t rule = builder.add_rule("the expression");
  add_dfa(builder, builder.start(rule), *dfa, builder.end(rule), TextForm::plain);
  auto network = builder.finish();
  if (!network) {
    return fail(network.error().code, "regular expression: {}", network.error().message);
  }
  return Grammar(*std::move(network));
}

Result<Grammar> Grammar::choice(std::span<const std::string> texts) {
  if (texts.empty()) return fail(ErrorCode::invalid_input, "choice: the list is empty");
  size_t total = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    total += texts[i].size();
    if (texts[i].empty()) return fail(ErrorCode::invalid_input, "choice[{}]: empty", i);
    if (!is_valid_utf8(texts[i])) {
      return fail(ErrorCode::invalid_input, "choice[{}]: not valid UTF-8", i);
    }
  }
  if (total > kMaxSourceBytes) {
    return fail(ErrorCode::limit, "choice: {} bytes together, at most {} are allowed", total,
                kMaxSourceBytes);
  }
  NetworkBuilder builder;
  const int32_t rule = builder.add_rule("choice");
  add_texts(builder, builder.start(rule), {texts.begin(), texts.end()}, builder.end(rule));
  auto network = builder.finish();
  if (!network) return fail(network.error().code, "choice: {}", network.error().message);
  return Grammar(*std::move(network));
}

}  // namespace lotse
