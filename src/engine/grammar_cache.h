// Compiled grammars that requests share.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "engine/grammar/matcher.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

enum class GrammarKind : uint8_t { json_object, json_schema, regex, choice, ebnf };

// What a request asks its answer to be.
struct GrammarSource {
  GrammarKind kind;
  std::string text;  // of a choice: a JSON array of texts; of json_object: empty
  bool operator==(const GrammarSource&) const = default;
};

struct CompiledGrammar {
  Grammar grammar;
  // For GrammarConstraint; the constraints of one grammar belong to one engine, on its thread.
  std::shared_ptr<GrammarMasks> masks;
};

// Of one model: grammars with what their masks remember, those used last. Thread-safe; compile()
// may take a second, during which find() does not wait.
class GrammarCache {
 public:
  static constexpr size_t kMaxGrammars = 32;
  // States of all grammars together, and the source texts' bytes.
  static constexpr int64_t kMaxStates = 4'000'000;
  static constexpr size_t kMaxTextBytes = size_t{16} << 20;

  // The tokenizer must outlive compile().
  explicit GrammarCache(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Null when it is not there.
  std::shared_ptr<const CompiledGrammar> find(const GrammarSource& source);
  // Finds it, or compiles and keeps it. Errors are those of Grammar.
  Result<std::shared_ptr<const CompiledGrammar>> compile(const GrammarSource& source);

 private:
  struct Entry {
    GrammarSource source;
    std::shared_ptr<const CompiledGrammar> compiled;
  };

  std::shared_ptr<const TokenTable> token_table();
  void keep(Entry entry);

  const Tokenizer& tokenizer_;
  std::once_flag table_made_;
  std::shared_ptr<const TokenTable> table_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // used last first
};

}  // namespace lotse
