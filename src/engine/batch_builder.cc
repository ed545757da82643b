#include "engine/batch_builder.h"

namespace lotse {

void BatchBuilder::clear() {
  tokens_.clear();
  positions_.clear();
  rows_.clear();
  sequences_.clear();
}

void BatchBuilder::add(std::span<const int32_t> tokens, std::span<const int32_t> more,
                       int64_t computed, int64_t rows, std::span<const int32_t> blocks,
                       int32_t adapter) {
  const auto first = static_cast<int32_t>(tokens_.size());
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  tokens_.insert(tokens_.end(), more.begin(), more.end());
  const auto count = static_cast<int64_t>(tokens.size() + more.size());
  for (int64_t i = 0; i < count; ++i) positions_.push_back(static_cast<int32_t>(computed + i));
  for (int64_t i = count - rows; i < count; ++i) rows_.push_back(first + static_cast<int32_t>(i));
  sequences_.push_back({first, static_cast<int32_t>(count), static_cast<int32_t>(computed + count),
                        blocks, adapter});
}

Batch BatchBuilder::batch() {
  if (rows_.empty()) rows_.push_back(0);  // a device makes at least one row
  return {tokens_, positions_, sequences_, rows_};
}

}  // namespace lotse
