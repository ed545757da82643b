// From hidden states to one embedding a text.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/pooling.h"

namespace lotse {

// Pools the hidden states of one sequence as they are computed. Sums go in ascending order of
// positions and in double, so that it does not matter in which parts they come.
class EmbeddingPool {
 public:
  EmbeddingPool(Pooling pooling, int64_t hidden)
      : pooling_(pooling), hidden_(hidden), sum_(static_cast<size_t>(hidden)) {}

  // Rows [tokens, hidden] of the tokens from position `first` on. Every token's are wanted, in
  // order, but for Pooling::last, which needs the last one's only; tokens that were seen before are
  // ignored.
  void add(int64_t first, std::span<const float> rows);

  std::vector<float> result() const;

 private:
  Pooling pooling_;
  int64_t hidden_;
  int64_t seen_ = 0;
  std::vector<double> sum_;
};

// Whether a pooling needs the hidden states of all tokens, not of the last one only.
inline bool needs_all_tokens(Pooling pooling) { return pooling != Pooling::last; }

// Keeps the first `dimensions` of an embedding (Kusupati et al. 2022, "Matryoshka Representation
// Learning") and, where asked, scales what is left to length 1. An embedding of zeros stays one.
void finish_embedding(std::vector<float>& embedding, int64_t dimensions, bool normalise);

}  // namespace lotse
