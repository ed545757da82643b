// Linears of the cpu device: prepares the activations, then splits panels and rows over threads.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "device/cpu/packed_weight.h"

namespace lotse::cpu {

// Working memory of linears; sized once.
class LinearScratch {
 public:
  // For up to `rows` rows of `columns` activations on `threads` threads.
  static Result<LinearScratch> allocate(int64_t rows, int64_t columns, int threads);
  int64_t size() const { return storage_.size(); }

  // Prepared rows: activations, scales and group sums.
  struct Rows {
    std::byte* activations;
    float* scales;
    int32_t* sums;
  };
  Rows shared() const { return rows_at(0); }
  // Room for kOwnRows rows that one thread prepares for itself.
  Rows own(int thread) const { return rows_at(1 + thread); }
  static constexpr int64_t kOwnRows = 4;

 private:
  Rows rows_at(int64_t index) const;

  HugeBuffer storage_;
  int64_t rows_ = 0;
  int64_t row_bytes_ = 0;
  int64_t sums_ = 0;
};

// y[rows, …] = x[rows, columns] · weightᵀ + bias, the parts' outputs side by side. Strides are in
// floats; `bias` is null or has one element an output.
void linear(const KernelTable& kernels, ThreadPool& pool, const LinearScratch& scratch,
            std::span<const PackedPart> parts, const float* x, int64_t x_stride, int64_t rows,
            const float* bias, float* y, int64_t y_stride);

}  // namespace lotse::cpu
