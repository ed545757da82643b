// The tensor-parallel walk: what one rank of several runs, and which part of each weight it needs
// (Shoeybi et al. 2019, "Megatron-LM"). Families know nothing of it: how the data flow decides.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "device/program.h"
#include "device/weight.h"

namespace lotse {

// One rank's part of a weight: these rows of the stacked parts, in this order, and of each row
// these columns. A vector's elements count as its rows, and its columns mean nothing.
struct WeightShare {
  std::vector<Range> rows;
  Range columns;
};

struct ShardedProgram {
  Program program;
  std::vector<WeightShare> shares;  // of each of the weights of the whole program
};

// The program of rank `rank` of `size`: heads, the columns of MLPs and of each expert, and the
// vocabulary are divided; embeddings, norms and routers are on every rank, and attention whose
// queries or keys are normed over all heads together. Where there are fewer
// key-value heads than ranks, neighbours hold the same one. Sums over ranks follow the attention's
// and the MLP's output projection; the logits are gathered. A vocabulary that `size` does not
// divide stays whole. Errors: unsupported, naming what cannot be divided: heads or columns that are
// no multiple of `size`.
Result<ShardedProgram> shard(const Program& program, int32_t rank, int32_t size);

// The part of a weight, as views where rows are cut and as copies where columns are. Errors:
// unsupported when a cut falls into a group of int4 columns.
Result<Weight> take_share(const Weight& weight, WeightRole role, const WeightShare& share);

}  // namespace lotse
