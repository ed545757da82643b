// The keys or values of attention as rows of floats: in lists or in one tensor, paged or not, INT8
// or floating.
#pragma once

#include <vector>

#include "ops/attention_kernel.h"

namespace lotse::emulator {

// [tokens, head_size] of one head of one batch (or block).
View head_rows(const View& view, Arrangement form, int64_t batch, int64_t head, int64_t size);

class Cache {
 public:
  Cache(const Attention& attention, const std::vector<Tensor>& tensors, const Antiquant& quant);

  // `count` rows from key `first` on, which lie in one block; `block` is its number when paged.
  void load(int64_t batch, int64_t head, int64_t first, int64_t count, int64_t block,
            float* values) const;

 private:
  void dequantise(int64_t batch, int64_t head, int64_t token, float* row) const;

  const Attention& attention_;
  const Antiquant& quant_;
  std::vector<View> views_;
  std::vector<float> scales_, offsets_;
};

}  // namespace lotse::emulator
