#include "device/cpu/moe.h"

#include <algorithm>
#include <cstring>

#include "device/cpu/parallel.h"

namespace lotse::cpu {
namespace {

// The top_k largest scores, the lower index first among equals, and their shares.
void route(const KernelTable& kernels, const Moe& op, float* scores, int32_t* chosen,
           float* shares) {
  kernels.softmax(scores, op.experts, scores);
  float kept = 0;
  for (int64_t k = 0; k < op.top_k; ++k) {
    int64_t best = 0;
    for (int64_t e = 1; e < op.experts; ++e) {
      if (scores[e] > scores[best]) best = e;
    }
    chosen[k] = static_cast<int32_t>(best);
    shares[k] = scores[best];
    kept += scores[best];
    scores[best] = -1;
  }
  if (!op.normalise) return;
  for (int64_t k = 0; k < op.top_k; ++k) shares[k] /= kept;
}

// One expert over the tokens that chose it.
struct ExpertRun {
  const KernelTable& kernels;
  ThreadPool& pool;
  const LinearScratch& linears;
  const MoeScratch& scratch;
  const Moe& op;
  const MoeWeights& weights;
  int64_t columns;

  int64_t token_of(int64_t i) const { return scratch.pairs[i] / op.top_k; }

  int64_t find_pairs(int32_t expert, int64_t rows) const {
    int64_t count = 0;
    for (int64_t pair = 0; pair < rows * op.top_k; ++pair) {
      if (scratch.chosen[pair] == expert) scratch.pairs[count++] = static_cast<int32_t>(pair);
    }
    return count;
  }

  void run(int32_t expert, int64_t count, const float* in, float* out) const {
    over_rows(pool, count, columns, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::memcpy(scratch.in + i * columns, in + token_of(i) * columns,
                    static_cast<size_t>(columns) * sizeof(float));
      }
    });
    linear(kernels, pool, linears, weights.gate_up.experts[static_cast<size_t>(expert)], scratch.in,
           columns, count, nullptr, scratch.gate_up, 2 * op.width);
    const GateFunction gate = gate_function(kernels, op.activation);
    over_elements(pool, count, op.width, [&](int64_t i, int64_t c, int64_t n) {
      const float* row = scratch.gate_up + i * 2 * op.width + c;
      gate(row, row + op.width, n, scratch.hidden + i * op.width + c);
    });
    linear(kernels, pool, linears, weights.down.experts[static_cast<size_t>(expert)],
           scratch.hidden, op.width, count, nullptr, scratch.down, columns);
    over_elements(pool, count, columns, [&](int64_t i, int64_t c, int64_t n) {
      kernels.scale_add(scratch.down + i * columns + c, scratch.shares[scratch.pairs[i]], n,
                        out + token_of(i) * columns + c);
    });
  }
};

}  // namespace

GateFunction gate_function(const KernelTable& kernels, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return kernels.silu;
    case Activation::gelu_tanh:
      return kernels.gelu_tanh;
    case Activation::gelu_erf:
      return kernels.gelu_erf;
  }
  return nullptr;
}

Result<MoeScratch> MoeScratch::allocate(const Program& program, int64_t rows) {
  int64_t experts = 0;
  int64_t top_k = 0;
  int64_t columns = 0;
  int64_t width = 0;
  for (const Op& op : program.ops) {
    if (const auto* moe = std::get_if<Moe>(&op.operation)) {
      experts = std::max(experts, moe->experts);
      top_k = std::max(top_k, moe->top_k);
      columns = std::max(columns, program.values[static_cast<size_t>(moe->in)].columns);
      width = std::max(width, moe->width);
    }
  }
  MoeScratch scratch;
  const int64_t floats = rows * (experts + top_k + 2 * columns + 3 * width);
  scratch.floats = LOTSE_TRY(HugeBuffer::allocate(floats * 4, "the mixture of experts"));
  scratch.integers = LOTSE_TRY(HugeBuffer::allocate(rows * top_k * 8, "the mixture of experts"));
  scratch.scores = scratch.floats.as<float>();
  scratch.shares = scratch.scores + rows * experts;
  scratch.in = scratch.shares + rows * top_k;
  scratch.gate_up = scratch.in + rows * columns;
  scratch.hidden = scratch.gate_up + rows * 2 * width;
  scratch.down = scratch.hidden + rows * width;
  scratch.chosen = scratch.integers.as<int32_t>();
  scratch.pairs = scratch.chosen + rows * top_k;
  return scratch;
}

void run_moe(const KernelTable& kernels, ThreadPool& pool, const LinearScratch& linears,
             const MoeScratch& scratch, const Moe& op, const MoeWeights& weights, const float* in,
             int64_t rows, int64_t columns, float* out) {
  linear(kernels, pool, linears, weights.router.experts[0], in, columns, rows, nullptr,
         scratch.scores, op.experts);
  for (int64_t t = 0; t < rows; ++t) {
    route(kernels, op, scratch.scores + t * op.experts, scratch.chosen + t * op.top_k,
          scratch.shares + t * op.top_k);
  }
  std::memset(out, 0, static_cast<size_t>(rows * columns) * sizeof(float));
  const ExpertRun run{kernels, pool, linears, scratch, op, weights, columns};
  for (int32_t expert = 0; expert < op.experts; ++expert) {
    const int64_t count = run.find_pairs(expert, rows);
    if (count > 0) run.run(expert, count, in, out);
  }
}

}  // namespace lotse::cpu
