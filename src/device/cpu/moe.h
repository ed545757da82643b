// Mixture of experts: routes tokens, then runs each chosen expert once over its tokens.
#pragma once

#include "device/cpu/linear.h"
#include "device/program.h"

namespace lotse::cpu {

using GateFunction = void (*)(const float* gate, const float* up, int64_t n, float* y);
GateFunction gate_function(const KernelTable& kernels, Activation activation);

// Working memory for up to `rows` tokens of the largest mixture of a program.
struct MoeScratch {
  static Result<MoeScratch> allocate(const Program& program, int64_t rows);
  int64_t size() const { return floats.size() + integers.size(); }

  // Views on `floats` and `integers`.
  float* scores = nullptr;    // [rows, experts]
  float* shares = nullptr;    // [rows, top_k]
  float* in = nullptr;        // [rows, columns], the tokens of one expert
  float* gate_up = nullptr;   // [rows, 2 · width]
  float* hidden = nullptr;    // [rows, width]
  float* down = nullptr;      // [rows, columns]
  int32_t* chosen = nullptr;  // [rows, top_k] experts
  int32_t* pairs = nullptr;   // [rows · top_k] indices into chosen, of one expert

  HugeBuffer floats;
  HugeBuffer integers;
};

struct MoeWeights {
  const PackedWeight& router;
  const PackedWeight& gate_up;
  const PackedWeight& down;
};

// out[rows, columns] from in; both are dense. A token's experts are summed in ascending order of
// their index, whatever else is in the batch.
void run_moe(const KernelTable& kernels, ThreadPool& pool, const LinearScratch& linears,
             const MoeScratch& scratch, const Moe& op, const MoeWeights& weights, const float* in,
             int64_t rows, int64_t columns, float* out);

}  // namespace lotse::cpu
