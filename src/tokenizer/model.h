// The last step of tokenisation: one pre-tokenised word to token ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/vocabulary.h"

namespace lotse {

// Working memory of one encode call, reused from word to word. One thread at a time.
struct ModelScratch {
  std::vector<int32_t> ids;
  std::vector<int32_t> previous;
  std::vector<int32_t> next;
  std::vector<int32_t> ranks;
  std::vector<uint64_t> heap;
  std::vector<double> scores;
};

// Thread-safe: tokenize() keeps its state in the caller's scratch.
class Model {
 public:
  explicit Model(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~Model() = default;

  // Appends the ids of `word`, valid UTF-8. An error when the word has a character for which the
  // vocabulary has no token and there is no token for the unknown.
  virtual Result<void> tokenize(std::string_view word, ModelScratch& scratch,
                                std::vector<int32_t>& ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
};

// Which ids text must never reach through the model: special tokens are recognised by name, in
// trusted text only. Indexed by id; ids beyond the end are not reserved.
using ReservedIds = std::vector<bool>;

inline bool is_reserved(const ReservedIds& reserved, int32_t id) {
  return static_cast<size_t>(id) < reserved.size() && reserved[static_cast<size_t>(id)];
}

}  // namespace lotse
