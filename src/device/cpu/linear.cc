#include "device/cpu/linear.h"

#include <algorithm>
#include <atomic>

#include "base/checked.h"

namespace lotse::cpu {
namespace {

using Rows = LinearScratch::Rows;

// Activations of the rows that one call of a kernel takes: with a panel they fit the second-level
// cache.
constexpr int64_t kBlockBytes = 256 << 10;
constexpr int64_t kTileRows = 6;
constexpr int64_t kMaxBlockRows = 96;
// Depth that packing may add, at most.
constexpr int64_t kMaxPadding = 16;
// Multiply-adds below which waking other threads costs more than it saves.
constexpr int64_t kSmallWork = 1 << 16;

enum class Activations : uint8_t { f32, bf16, int8 };

Activations activations_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::bf16:
    case WeightFormat::w4a16:
      return Activations::bf16;
    case WeightFormat::w8a8:
    case WeightFormat::w4a8:
      return Activations::int8;
    default:
      return Activations::f32;
  }
}

LinearFunction function_of(WeightFormat format, const KernelTable& kernels) {
  switch (format) {
    case WeightFormat::f32:
      return kernels.linear_f32;
    case WeightFormat::f16:
      return kernels.linear_f16;
    case WeightFormat::bf16:
      return kernels.linear_bf16;
    case WeightFormat::w8a8:
      return kernels.linear_w8a8;
    case WeightFormat::w4a16:
      return kernels.linear_w4a16;
    case WeightFormat::w4a8:
      return kernels.linear_w4a8;
  }
  return nullptr;
}

// Whole cache lines, and never a multiple of 4096, at which all rows would meet in the same sets
// of the first-level cache.
int64_t padded_stride(int64_t bytes) {
  const int64_t lines = round_up(bytes, 64);
  return lines % 4096 == 0 ? lines + 64 : lines;
}

// One part's linear over all rows, as every thread sees it.
struct Task {
  const KernelTable& kernels;
  const PackedPart& part;
  const float* x;
  int64_t x_stride;
  int64_t rows;
  const float* bias;
  float* y;
  int64_t y_stride;

  Activations activations() const { return activations_of(part.format); }
  int64_t sum_group() const { return part.group > 0 ? part.group : part.depth; }
  int64_t groups() const { return ceil_div(part.depth, sum_group()); }

  int64_t prepared_stride() const {
    switch (activations()) {
      case Activations::f32:
        return x_stride * int64_t{sizeof(float)};
      case Activations::bf16:
        return padded_stride(part.depth * kernels.bf16_activation_bytes);
      case Activations::int8:
        return padded_stride(part.depth * kernels.int8_activation_bytes);
    }
    return 0;
  }

  void prepare(const Rows& to, int64_t begin, int64_t end) const {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * x_stride;
      std::byte* out = to.activations + r * prepared_stride();
      if (activations() == Activations::bf16) {
        kernels.round_row(row, part.columns, part.depth, out);
      } else {
        to.scales[r] = kernels.quantise_row(row, part.columns, part.depth, sum_group(), out,
                                            to.sums + r * groups());
      }
    }
  }

  void multiply(const Rows& from, int64_t row, int64_t row_count, int64_t panel,
                int64_t panel_end) const {
    const int64_t column = panel * kPanel;
    const bool raw = activations() == Activations::f32;
    const void* first = raw ? static_cast<const void*>(x + row * x_stride)
                            : from.activations + row * prepared_stride();
    function_of(part.format, kernels)(
        {.x = first,
         .x_stride = prepared_stride(),
         .x_scales = raw ? nullptr : from.scales + row,
         .x_sums = raw ? nullptr : from.sums + row * groups(),
         .rows = row_count,
         .panels = part.panels + panel * part.panel_bytes,
         .scales = part.scales == nullptr ? nullptr : part.scales + panel * part.scale_stride,
         .bias = bias == nullptr ? nullptr : bias + column,
         .columns = std::min(panel_end * kPanel, part.rows) - column,
         .depth = part.depth,
         .group = part.group,
         .y = y + row * y_stride + column,
         .y_stride = y_stride});
  }

  // Blocks begin at whole register tiles.
  int64_t block_start(int64_t block, int64_t blocks) const {
    return std::min(rows, ceil_div(rows, kTileRows) * block / blocks * kTileRows);
  }

  int64_t row_blocks() const {
    const int64_t fitting = kBlockBytes / prepared_stride() / kTileRows * kTileRows;
    return ceil_div(rows, std::clamp(fitting, kTileRows, kMaxBlockRows));
  }

  // Few rows: one contiguous run of panels for each thread, so that each streams its own memory.
  void multiply_share(const Rows& from, int thread, int threads) const {
    const int64_t begin = part.panel_count() * thread / threads;
    const int64_t end = part.panel_count() * (thread + 1) / threads;
    if (begin < end) multiply(from, 0, rows, begin, end);
  }

  // Many rows: threads take (panel, row block) pairs from `next` until none is left, so that a
  // thread that the system delays does not hold up the others.
  void multiply_pieces(const Rows& from, std::atomic<int64_t>& next) const {
    const int64_t blocks = row_blocks();
    const int64_t pieces = part.panel_count() * blocks;
    for (int64_t piece = next.fetch_add(1); piece < pieces; piece = next.fetch_add(1)) {
      const int64_t panel = piece / blocks;
      const int64_t row = block_start(piece % blocks, blocks);
      const int64_t row_end = block_start(piece % blocks + 1, blocks);
      multiply(from, row, row_end - row, panel, panel + 1);
    }
  }
};

void run(const Task& task, ThreadPool& pool, const LinearScratch& scratch) {
  const bool raw = task.activations() == Activations::f32;
  const bool own = task.rows <= LinearScratch::kOwnRows;
  if (task.rows * task.part.rows * task.part.depth <= kSmallWork || pool.size() == 1) {
    if (!raw) task.prepare(scratch.shared(), 0, task.rows);
    std::atomic<int64_t> next = 0;
    task.multiply_pieces(scratch.shared(), next);
    return;
  }
  if (!raw && !own) {
    pool.parallel_for(task.rows, 1, [&](int64_t begin, int64_t end) {
      task.prepare(scratch.shared(), begin, end);
    });
  }
  // Few rows are prepared by each thread for itself, which is cheaper than a barrier.
  std::atomic<int64_t> next = 0;
  const bool shares = task.row_blocks() == 1;
  pool.run([&](int thread) {
    const Rows from = own ? scratch.own(thread) : scratch.shared();
    if (!raw && own) task.prepare(from, 0, task.rows);
    if (shares) {
      task.multiply_share(from, thread, pool.size());
    } else {
      task.multiply_pieces(from, next);
    }
  });
}

}  // namespace

Result<LinearScratch> LinearScratch::allocate(int64_t rows, int64_t columns, int threads) {
  LinearScratch scratch;
  // At most 4 bytes an element in any layout, one sum for every 32, and a line of padding.
  scratch.rows_ = std::max(rows, kOwnRows);
  scratch.row_bytes_ = padded_stride((columns + kMaxPadding) * 4);
  scratch.sums_ = round_up(ceil_div(columns + kMaxPadding, 32), 16);
  const int64_t each = scratch.row_bytes_ + (scratch.sums_ + 1) * 4;
  const int64_t bytes = (scratch.rows_ + threads * kOwnRows + threads + 1) * (each + 64);
  scratch.storage_ = LOTSE_TRY(HugeBuffer::allocate(bytes, "the activations of linears"));
  return scratch;
}

LinearScratch::Rows LinearScratch::rows_at(int64_t index) const {
  const auto bytes_of = [&](int64_t rows) {
    return round_up(rows * (row_bytes_ + (sums_ + 1) * 4), 64) + 64;
  };
  const int64_t rows = index == 0 ? rows_ : kOwnRows;
  const int64_t before = index == 0 ? 0 : bytes_of(rows_) + (index - 1) * bytes_of(kOwnRows);
  std::byte* base = storage_.data() + before;
  std::byte* scales = base + rows * row_bytes_;
  return {base, reinterpret_cast<float*>(scales), reinterpret_cast<int32_t*>(scales + rows * 4)};
}

void linear(const KernelTable& kernels, ThreadPool& pool, const LinearScratch& scratch,
            std::span<const PackedPart> parts, const float* x, int64_t x_stride, int64_t rows,
            const float* bias, float* y, int64_t y_stride) {
  for (const PackedPart& part : parts) {
    run({kernels, part, x, x_stride, rows, bias, y, y_stride}, pool, scratch);
    y += part.rows;
    if (bias != nullptr) bias += part.rows;
  }
}

}  // namespace lotse::cpu
