// Attention over views: any layout, paged or contiguous keys, in FLOAT.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/op.h"

namespace lotse::emulator {

// Where batch (or block), token and head stand in a tensor's dimensions.
enum class Arrangement { bsh, bsnd, bnsd };

// How INT8 keys or values become floats: (x + offset) · scale, rounded to the query's type.
struct Antiquant {
  Tensor scale, offset;  // absent for floating caches
  bool per_token = false;
  int64_t part = -1;  // of the first dimension, where keys and values share a tensor; else -1
};

// Keys that a query may see.
enum class Sparse : int64_t { masked = 0, all_masked = 1, left_up = 2, right_down = 3, band = 4 };

struct Attention {
  Tensor query, out, lse, pse, mask, block_table;
  std::vector<Tensor> keys, values;  // one, or one a batch
  Antiquant key_scales, value_scales;
  Arrangement query_form{}, cache_form{}, out_form{};
  int64_t batch = 0, heads = 0, kv_heads = 0, head_size = 0;
  int64_t queries = 0;                              // of a batch, with padding
  int64_t keys_size = 0;                            // of a batch, with padding
  std::vector<int64_t> query_lengths, key_lengths;  // one a batch
  int64_t block_size = 0;                           // 0: not paged
  Sparse sparse = Sparse::masked;
  int64_t pre = 0, next = 0;
  float scale = 1;
};

// Each query's result depends on its own keys alone, in chunks from the first. A query that sees no
// key gives zeros and an lse of infinity.
void run_attention(const Attention& attention);

}  // namespace lotse::emulator
