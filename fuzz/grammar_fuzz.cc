// Compiles an arbitrary grammar and walks masks over a tiny vocabulary. The first byte of the input
// chooses the kind of grammar and the tokens that are drawn; the rest is the grammar's text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

namespace {

std::shared_ptr<const lotse::TokenTable> small_vocabulary() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.push_back(std::string(1, static_cast<char>(b)));
  for (const char* token : {"{\"", "\":", "\",\"", "\"}", "}}", "]}", "true", "12", "中", "\n  "}) {
    tokens.emplace_back(token);
  }
  return lotse::TokenTable::create(tokens);
}

lotse::Result<lotse::Grammar> compile(unsigned kind, std::string_view text) {
  if (kind == 0) return lotse::Grammar::json_schema(text);
  if (kind == 1) return lotse::Grammar::regex(text);
  if (kind == 2) return lotse::Grammar::ebnf(text);
  std::vector<std::string> choices(1);
  for (const char c : text) {
    if (c == '\n') {
      choices.emplace_back();
    } else {
      choices.back() += c;
    }
  }
  return lotse::Grammar::choice(choices);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const auto tokens = small_vocabulary();
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto grammar = compile(data[0] & 3, text);
  if (!grammar) return 0;
  const auto masks = std::make_shared<lotse::GrammarMasks>(
      *grammar, tokens, lotse::MaskLimits{.automaton_bytes = 200'000, .mask_bytes = 200'000});
  lotse::GrammarMatcher matcher(masks);
  std::vector<uint32_t> bits(tokens->mask_words());
  uint32_t state = data[0];
  for (int step = 0; step < 20 && !matcher.is_finished(); ++step) {
    matcher.fill_mask(bits);
    std::vector<int32_t> allowed;
    for (int32_t t = 0; t < tokens->vocab_size(); ++t) {
      if ((bits[static_cast<size_t>(t) / 32] >> (t % 32) & 1) != 0) allowed.push_back(t);
    }
    // Every text can be completed, and a token of the mask can be taken.
    if (allowed.empty()) std::abort();
    state = state * 1664525 + 1013904223;
    if (!matcher.accept(allowed[(state >> 8) % allowed.size()])) std::abort();
  }
  return 0;
}
