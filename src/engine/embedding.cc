#include "engine/embedding.h"

#include <cmath>

#include "base/result.h"

namespace lotse {

void EmbeddingPool::add(int64_t first, std::span<const float> rows) {
  const auto width = static_cast<size_t>(hidden_);
  LOTSE_CHECK(rows.size() % width == 0);
  const auto tokens = static_cast<int64_t>(rows.size() / width);
  for (int64_t i = 0; i < tokens; ++i) {
    if (needs_all_tokens(pooling_) && first + i != seen_) continue;
    const auto row = rows.subspan(static_cast<size_t>(i) * width, width);
    const bool replaces = pooling_ == Pooling::last || (pooling_ == Pooling::cls && seen_ == 0);
    for (size_t k = 0; k < width; ++k) {
      if (replaces) sum_[k] = static_cast<double>(row[k]);
      if (pooling_ == Pooling::mean) sum_[k] += static_cast<double>(row[k]);
    }
    ++seen_;
  }
}

std::vector<float> EmbeddingPool::result() const {
  const double share = pooling_ == Pooling::mean && seen_ > 0 ? static_cast<double>(seen_) : 1;
  std::vector<float> embedding;
  for (const double value : sum_) embedding.push_back(static_cast<float>(value / share));
  return embedding;
}

void finish_embedding(std::vector<float>& embedding, int64_t dimensions, bool normalise) {
  if (dimensions < std::ssize(embedding)) embedding.resize(static_cast<size_t>(dimensions));
  if (!normalise) return;
  double squares = 0;
  for (const float value : embedding) {
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& value : embedding) value = static_cast<float>(static_cast<double>(value) * scale);
}

}  // namespace lotse
