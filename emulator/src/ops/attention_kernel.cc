#include "ops/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention_cache.h"
#include "ops/matmul_kernel.h"
#include "ops/parallel.h"
#include "ops/rows.h"
#include "runtime/clones.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kKeys = kPanelColumns;  // of a chunk
constexpr int64_t kRows = 64;             // of a tile: queries of the heads that share keys
constexpr float kHidden = -std::numeric_limits<float>::infinity();

// values = e^(value - shift); returns their sum.
LOTSE_CLONES float exponentials(float* values, float shift) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  for (int64_t i = 0; i < kKeys; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      values[i + lane] = exponential(values[i + lane] - shift);
      sums[lane] += values[i + lane];
    }
  }
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

// As [batch or 1, queries, keys].
View mask_view(const Attention& a) {
  const View view = a.mask.view();
  if (view.rank() == 4) return view.select(1, 0);
  if (view.rank() == 3) return view;
  const bool by_batch = a.queries == 1 && view.size(0) == a.batch;
  return view.unsqueezed(by_batch ? 1 : 0);
}

struct Range {
  int64_t begin, end;
};

// Everything that threads share, resolved.
struct Resolved {
  const Attention& a;
  Cache keys, values;
  View query, out, lse, pse, mask;
  std::vector<int64_t> blocks;  // [batch, blocks of one]

  explicit Resolved(const Attention& attention)
      : a(attention),
        keys(attention, attention.keys, attention.key_scales),
        values(attention, attention.values, attention.value_scales),
        query(attention.query.view()),
        out(attention.out.view()) {
    if (a.lse.present()) lse = a.lse.view();
    if (a.pse.present()) pse = a.pse.view();
    if (a.mask.present()) mask = mask_view(a);
    if (a.block_size > 0) resolve_blocks();
  }

  bool reads_mask() const {
    return a.mask.present() && (a.sparse == Sparse::masked || a.sparse == Sparse::all_masked);
  }

  int64_t block_of(int64_t batch, int64_t key) const {
    if (a.block_size == 0) return 0;
    return blocks[static_cast<size_t>(batch * a.block_table.size(1) + key / a.block_size)];
  }

  // The keys that a query may see before the mask.
  Range visible(int64_t batch, int64_t query_index) const {
    const int64_t keys_count = a.key_lengths[static_cast<size_t>(batch)];
    const int64_t shift = keys_count - a.query_lengths[static_cast<size_t>(batch)];
    int64_t begin = 0, end = keys_count;
    switch (a.sparse) {
      case Sparse::masked:
        if (!a.mask.present()) break;
        begin = query_index - a.pre;
        end = query_index + a.next + 1;
        break;
      case Sparse::all_masked:
        break;
      case Sparse::left_up:
        end = query_index + 1;
        break;
      case Sparse::right_down:
        end = query_index + shift + 1;
        break;
      case Sparse::band:
        begin = query_index + shift - a.pre;
        end = query_index + shift + a.next + 1;
        break;
    }
    begin = std::max<int64_t>(begin, 0);
    return {begin, std::max(begin, std::min(end, keys_count))};
  }

 private:
  void resolve_blocks() {
    blocks = read<int64_t>(a.block_table.view());
    for (int64_t b = 0; b < a.batch; ++b) {
      const int64_t length = a.key_lengths[static_cast<size_t>(b)];
      for (int64_t key = 0; key < length; key += a.block_size) {
        const int64_t block = block_of(b, key);
        if (block >= 0 && block < a.keys[0].size(0)) continue;
        fail(kVectorFault, "argument blockTable: batch {} has block {} at {}, but {} {} has {}", b,
             block, key / a.block_size, a.keys[0].argument(), a.keys[0].desc().text(),
             a.keys[0].size(0));
      }
    }
  }
};

// Queries [first, first + count) of a batch, of all heads that share one head of keys.
class Tile {
 public:
  Tile(const Resolved& r, int64_t batch, int64_t kv_head, int64_t first, int64_t count)
      : r_(r),
        a_(r.a),
        batch_(batch),
        kv_head_(kv_head),
        first_(first),
        count_(count),
        group_(a_.heads / a_.kv_heads),
        size_(a_.head_size),
        panels_((size_ + kPanelColumns - 1) / kPanelColumns),
        rows_(static_cast<size_t>(group_ * count)),
        query_(rows_ * static_cast<size_t>(size_)),
        scores_(rows_ * kKeys),
        sums_(rows_ * static_cast<size_t>(panels_ * kPanelColumns)),
        loaded_(static_cast<size_t>(kKeys * size_)),
        key_panel_(static_cast<size_t>(size_ * kKeys)),
        value_panel_(kKeys * kPanelColumns),
        largest_(rows_, kHidden),
        total_(rows_, 0),
        pse_(kKeys),
        mask_(kKeys) {}

  void run() {
    load_queries();
    Range range{std::numeric_limits<int64_t>::max(), 0};
    for (int64_t q = 0; q < count_; ++q) {
      const Range seen = r_.visible(batch_, first_ + q);
      range = {std::min(range.begin, seen.begin), std::max(range.end, seen.end)};
    }
    for (int64_t key = range.begin / kKeys * kKeys; key < range.end; key += kKeys) {
      chunk(key, std::min(kKeys, range.end - key));
    }
    store();
  }

 private:
  int64_t head(int64_t member) const { return kv_head_ * group_ + member; }
  size_t row(int64_t member, int64_t q) const { return static_cast<size_t>(member * count_ + q); }

  void load_queries() {
    for (int64_t g = 0; g < group_; ++g) {
      const View rows = head_rows(r_.query, a_.query_form, batch_, head(g), size_);
      for (int64_t q = 0; q < count_; ++q) {
        rows.load_row(first_ + q, query_.data() + row(g, q) * static_cast<size_t>(size_));
      }
    }
  }

  void chunk(int64_t key, int64_t keys) {
    const int64_t block = r_.block_of(batch_, key);
    const auto rows = static_cast<int64_t>(rows_);
    r_.keys.load(batch_, kv_head_, key, keys, block, loaded_.data());
    for (int64_t i = 0; i < size_; ++i) {
      for (int64_t k = 0; k < keys; ++k) {
        key_panel_[static_cast<size_t>(i * kKeys + k)] =
            loaded_[static_cast<size_t>(k * size_ + i)];
      }
    }
    std::ranges::fill(scores_, 0.0f);
    accumulate_panel(query_.data(), size_, rows, key_panel_.data(), size_, scores_.data());
    for (int64_t g = 0; g < group_; ++g) {
      for (int64_t q = 0; q < count_; ++q) weigh(g, q, key, keys);
    }
    r_.values.load(batch_, kv_head_, key, keys, block, loaded_.data());
    for (int64_t p = 0; p < panels_; ++p) {
      const int64_t column = p * kPanelColumns;
      const int64_t width = std::min(kPanelColumns, size_ - column);
      for (int64_t k = 0; k < keys; ++k) {
        std::copy_n(loaded_.data() + k * size_ + column, width,
                    value_panel_.data() + k * kPanelColumns);
      }
      accumulate_panel(scores_.data(), kKeys, rows, value_panel_.data(), keys, panel(p));
    }
  }

  float* panel(int64_t p) { return sums_.data() + p * static_cast<int64_t>(rows_) * kPanelColumns; }

  // Turns one row's scores into weights, in step with the largest score so far.
  void weigh(int64_t member, int64_t q, int64_t key, int64_t keys) {
    const size_t at = row(member, q);
    float* const scores = scores_.data() + at * kKeys;
    for (int64_t k = 0; k < keys; ++k) scores[k] *= a_.scale;
    if (a_.pse.present()) add_shift(member, q, key, keys, scores);
    hide(q, key, keys, scores);
    float most = largest_[at];
    for (int64_t k = 0; k < kKeys; ++k) most = most < scores[k] ? scores[k] : most;
    if (most == kHidden) {
      std::fill_n(scores, kKeys, 0.0f);
      return;
    }
    const float factor = exponential(largest_[at] - most);
    total_[at] = total_[at] * factor + exponentials(scores, most);
    largest_[at] = most;
    if (factor == 1.0f) return;
    for (int64_t p = 0; p < panels_; ++p) {
      float* const sums = panel(p) + at * kPanelColumns;
      for (int64_t i = 0; i < kPanelColumns; ++i) sums[i] *= factor;
    }
  }

  void add_shift(int64_t member, int64_t q, int64_t key, int64_t keys, float* scores) {
    const View rows = r_.pse.select(0, r_.pse.size(0) == 1 ? 0 : batch_).select(0, head(member));
    rows.load_row(first_ + q, key, keys, pse_.data());
    for (int64_t k = 0; k < keys; ++k) scores[k] += pse_[static_cast<size_t>(k)];
  }

  void hide(int64_t q, int64_t key, int64_t keys, float* scores) {
    const Range seen = r_.visible(batch_, first_ + q);
    for (int64_t k = 0; k < kKeys; ++k) {
      if (key + k < seen.begin || key + k >= seen.end) scores[k] = kHidden;
    }
    if (!r_.reads_mask()) return;
    const View rows = r_.mask.select(0, r_.mask.size(0) == 1 ? 0 : batch_);
    rows.load_row(first_ + q, key, keys, mask_.data());
    for (int64_t k = 0; k < keys; ++k) {
      if (mask_[static_cast<size_t>(k)] != 0) scores[k] = kHidden;
    }
  }

  void store() {
    std::vector<float> result(static_cast<size_t>(panels_ * kPanelColumns));
    for (int64_t g = 0; g < group_; ++g) {
      const View rows = head_rows(r_.out, a_.out_form, batch_, head(g), size_);
      for (int64_t q = 0; q < count_; ++q) {
        const size_t at = row(g, q);
        const float inverse = total_[at] == 0 ? 0 : 1 / total_[at];
        for (int64_t p = 0; p < panels_; ++p) {
          const float* const sums = panel(p) + at * kPanelColumns;
          for (int64_t i = 0; i < kPanelColumns; ++i) {
            result[static_cast<size_t>(p * kPanelColumns + i)] = sums[i] * inverse;
          }
        }
        rows.store_row(first_ + q, result.data());
        if (!a_.lse.present()) continue;
        const float lse = total_[at] == 0 ? std::numeric_limits<float>::infinity()
                                          : largest_[at] + std::log(total_[at]);
        r_.lse.select(0, batch_).select(0, head(g)).store_row(first_ + q, &lse);
      }
    }
  }

  const Resolved& r_;
  const Attention& a_;
  const int64_t batch_, kv_head_, first_, count_, group_, size_, panels_;
  const size_t rows_;
  std::vector<float> query_, scores_, sums_, loaded_, key_panel_, value_panel_;
  std::vector<float> largest_, total_, pse_, mask_;
};

// Queries beyond a batch's length give zeros.
void clear_padding(const Resolved& r, int64_t batch) {
  const Attention& a = r.a;
  const std::vector<float> zeros(static_cast<size_t>(a.head_size));
  const float infinity = std::numeric_limits<float>::infinity();
  for (int64_t head = 0; head < a.heads; ++head) {
    const View rows = head_rows(r.out, a.out_form, batch, head, a.head_size);
    for (int64_t q = a.query_lengths[static_cast<size_t>(batch)]; q < a.queries; ++q) {
      rows.store_row(q, zeros.data());
      if (a.lse.present()) r.lse.select(0, batch).select(0, head).store_row(q, &infinity);
    }
  }
}

// The masks of modes 2 to 4 are a triangle that says nothing else; what would be used is checked.
void check_triangle(const Attention& a, const View& mask) {
  const View matrix = mask.select(0, 0);
  const int64_t rows = std::min(matrix.size(0), a.queries);
  const int64_t columns = std::min(matrix.size(1), a.keys_size);
  std::vector<float> row(static_cast<size_t>(columns));
  for (int64_t r = 0; r < rows; ++r) {
    matrix.load_row(r, 0, columns, row.data());
    bool holds = true;
    for (int64_t c = 0; c < columns; ++c) {
      holds = holds && (row[static_cast<size_t>(c)] != 0) == (c > r);
    }
    if (holds) continue;
    fail(kVectorFault,
         "argument attenMask: row {} is not 0 up to the diagonal and 1 above it, which sparseMode "
         "{} needs",
         r, static_cast<int64_t>(a.sparse));
  }
}

}  // namespace

void run_attention(const Attention& attention) {
  const Resolved resolved(attention);
  if (attention.out.count() == 0) return;
  const bool triangle = attention.mask.present() && !resolved.reads_mask();
  if (triangle && attention.queries > 1) check_triangle(attention, resolved.mask);
  const int64_t at_once = std::max<int64_t>(1, kRows / (attention.heads / attention.kv_heads));
  struct Job {
    int64_t batch, kv_head, first, count;
  };
  std::vector<Job> jobs;
  for (int64_t b = 0; b < attention.batch; ++b) {
    clear_padding(resolved, b);
    const int64_t length = attention.query_lengths[static_cast<size_t>(b)];
    for (int64_t head = 0; head < attention.kv_heads; ++head) {
      for (int64_t first = 0; first < length; first += at_once) {
        jobs.push_back({b, head, first, std::min(at_once, length - first)});
      }
    }
  }
  parallel_for(std::ssize(jobs), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Job& job = jobs[static_cast<size_t>(i)];
      Tile(resolved, job.batch, job.kv_head, job.first, job.count).run();
    }
  });
}

}  // namespace lotse::emulator
