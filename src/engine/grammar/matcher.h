// Which tokens may come next: a grammar and a vocabulary together.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/grammar/automaton.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/token_table.h"

namespace lotse {

struct MaskLimits {
  int64_t automaton_bytes = int64_t{32} << 20;
  int64_t mask_bytes = int64_t{32} << 20;
};

// What is known of a grammar's masks. Every matcher of one grammar shares it, so that the second
// request with a schema finds the masks of the first. Not thread-safe: it and its matchers are used
// on one thread.
//
// A state's mask is decided once: which tokens stay within the state's rule or end with it. Tokens
// that go on behind the rule's end depend on who called it; they are checked for each stack, and
// the result is remembered for the set of configurations.
class GrammarMasks {
 public:
  GrammarMasks(const Grammar& grammar, std::shared_ptr<const TokenTable> tokens,
               MaskLimits limits = {});

  const TokenTable& tokens() const { return *tokens_; }
  // Approximately, of everything remembered.
  int64_t memory_bytes() const { return automaton_.memory_bytes() + mask_bytes_; }

 private:
  friend class GrammarMatcher;
  // Tokens: all plain ones of up to `plain` characters, and those listed or those in `dense`.
  struct Mask {
    int64_t plain = 0;
    std::vector<int32_t> few;
    std::vector<uint32_t> dense;
  };
  struct Exit {
    bool plain;  // which trie
    int32_t node;
  };
  struct StateMask {
    Mask mask;
    std::vector<Exit> exits;  // nodes of the trie where the rule may end before the token does
  };
  class Collector;

  const StateMask& state_mask(int32_t state);
  int64_t plain_run(int32_t state);
  const Mask& node_mask(int32_t& node);
  void walk(const TokenTrie& trie, int32_t begin, int32_t end, int32_t from, Collector& out,
            std::vector<Exit>* exits);
  void forget_masks_if_full();
  int64_t count(const Mask& mask);

  std::shared_ptr<const TokenTable> tokens_;
  MaskLimits limits_;
  Automaton automaton_;
  std::unordered_map<int32_t, StateMask> by_state_;
  std::unordered_map<int32_t, Mask> by_node_;
  int64_t node_generation_ = 0;
  int64_t mask_bytes_ = 0;
};

// The text of one sequence so far. Not thread-safe.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<GrammarMasks> masks);

  // Sets a bit for each token that may come next, bit i % 32 of word i / 32 for token i, and clears
  // the others; `bits` has tokens().mask_words() words. End tokens are not among them, see
  // can_end().
  void fill_mask(std::span<uint32_t> bits);
  // Appends a token; false, and no change, when the grammar forbids it.
  bool accept(int32_t token);
  // The same for text.
  bool accept_bytes(std::string_view bytes);
  // Whether the text is complete: an end token may come.
  bool can_end() const;
  // Whether it is complete and nothing may follow.
  bool is_finished() const;

 private:
  std::shared_ptr<GrammarMasks> masks_;
  Automaton::Roots position_;  // one node
};

// Whether the grammar allows the whole text; without a vocabulary, for tests and tools.
bool grammar_accepts(const Grammar& grammar, std::string_view text);

}  // namespace lotse
