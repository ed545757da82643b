#include "device/cpu/packed_weight.h"

#include <algorithm>

#include "base/checked.h"

namespace lotse::cpu {
namespace {

// 127 · 128 · K must stay below 2^31.
constexpr int64_t kMaxInt8Depth = 131072;

// The stored parts of one packed part, and where its panels go.
struct Job {
  PackedPart* part;
  std::vector<const WeightPart*> sources;
  std::byte* panels;
  float* scales;
};

bool is_int4(WeightFormat format) {
  return format == WeightFormat::w4a8 || format == WeightFormat::w4a16;
}

bool has_int8_sums(WeightFormat format) {
  return format == WeightFormat::w8a8 || format == WeightFormat::w4a8;
}

// Depth in one step, and bytes of one column in it.
struct Step {
  int64_t depth;
  int64_t bytes;
};

Step step_of(WeightFormat format, const KernelTable& kernels) {
  switch (format) {
    case WeightFormat::f32:
      return {1, 4};
    case WeightFormat::f16:
      return {1, 2};
    case WeightFormat::bf16:
      return {2, 4};
    case WeightFormat::w8a8:
      return {kernels.int8_step, kernels.int8_step};
    case WeightFormat::w4a8:
      return {2 * kernels.int8_step, kernels.int8_step};
    case WeightFormat::w4a16:
      return {16, 8};
  }
  return {1, 1};
}

Result<PackedPart> describe(const WeightPart& source, const std::string& name,
                            const KernelTable& kernels) {
  if (has_int8_sums(source.format) && source.columns > kMaxInt8Depth) {
    return fail(ErrorCode::unsupported,
                "{}: {} columns of int8 overflow 32-bit sums on the cpu device, which takes up to "
                "{}; keep this weight in bf16",
                name, source.columns, kMaxInt8Depth);
  }
  const bool whole = source.group >= source.columns;
  if (is_int4(source.format) && (source.group <= 0 || (!whole && source.group % 32 != 0))) {
    return fail(ErrorCode::unsupported,
                "{}: int4 groups of {} columns; the cpu device takes multiples of 32, or one group "
                "a row",
                name, source.group);
  }
  const Step step = step_of(source.format, kernels);
  PackedPart part = {};
  part.format = source.format;
  part.columns = source.columns;
  part.depth = round_up(source.columns, step.depth);
  part.panel_bytes = part.depth / step.depth * kPanel * step.bytes;
  if (is_int4(source.format)) {
    part.group = whole ? part.depth : source.group;
    part.scale_stride = ceil_div(part.depth, part.group) * kPanel;
  } else if (source.format == WeightFormat::w8a8) {
    part.scale_stride = kPanel;
  }
  return part;
}

int int4_at(const uint8_t* row, int64_t k, int64_t columns) {
  if (row == nullptr || k >= columns) return 0;
  const int nibble = row[k / 2] >> (k % 2 * 4) & 15;
  return nibble >= 8 ? nibble - 16 : nibble;
}

// [steps][64][interleave] elements from 64 rows, missing rows and columns zero, plus `offset`.
template <class Element>
void pack_plain(const std::byte* const* rows, int64_t columns, int64_t depth, int64_t interleave,
                int offset, std::byte* to) {
  auto* out = reinterpret_cast<Element*>(to);
  for (int64_t k = 0; k < depth; k += interleave) {
    for (int64_t c = 0; c < kPanel; ++c) {
      const auto* row = reinterpret_cast<const Element*>(rows[c]);
      for (int64_t j = k; j < k + interleave; ++j) {
        const bool present = row != nullptr && j < columns;
        *out++ =
            static_cast<Element>((present ? row[j] : Element{0}) + static_cast<Element>(offset));
      }
    }
  }
}

void pack_int4(const std::byte* const* rows, int64_t columns, int64_t depth, int64_t step,
               std::byte* to) {
  for (int64_t k = 0; k < depth; k += 2 * step) {
    for (int64_t c = 0; c < kPanel; ++c) {
      const auto* row = reinterpret_cast<const uint8_t*>(rows[c]);
      for (int64_t j = k; j < k + step; ++j) {
        const int low = int4_at(row, j, columns) + 8;
        const int high = int4_at(row, j + step, columns) + 8;
        *to++ = static_cast<std::byte>(low | high << 4);
      }
    }
  }
}

void pack_int4_words(const std::byte* const* rows, int64_t columns, int64_t depth, std::byte* to) {
  auto* words = reinterpret_cast<uint32_t*>(to);
  for (int64_t k = 0; k < depth; k += 16) {
    for (int64_t c = 0; c < kPanel; ++c) {
      const auto* row = reinterpret_cast<const uint8_t*>(rows[c]);
      for (int64_t i = 0; i < 2; ++i) {
        uint32_t word = 0;
        for (int64_t j = 0; j < 8; ++j) {
          word |= static_cast<uint32_t>(int4_at(row, k + 2 * j + i, columns) + 8) << (4 * j);
        }
        *words++ = word;
      }
    }
  }
}

int64_t row_bytes(const WeightPart& part) {
  if (is_int4(part.format)) return ceil_div(part.columns, 2);
  return part.columns * info(part.data.dtype).block_bytes;
}

// The rows of one panel as pointers into the sources; null beyond the last.
struct PanelRows {
  const std::byte* data[kPanel] = {};
  const float* scales[kPanel] = {};
};

PanelRows rows_of_panel(const Job& job, int64_t panel) {
  PanelRows rows;
  int64_t first = 0;
  for (const WeightPart* source : job.sources) {
    const int64_t groups = is_int4(source->format) ? ceil_div(source->columns, source->group) : 1;
    const int64_t begin = std::max(first, panel * kPanel);
    const int64_t end = std::min(first + source->rows, (panel + 1) * kPanel);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t c = row - panel * kPanel;
      rows.data[c] = source->data.bytes.data() + (row - first) * row_bytes(*source);
      if (job.scales != nullptr) {
        rows.scales[c] = source->scales.as<float>().data() + (row - first) * groups;
      }
    }
    first += source->rows;
  }
  return rows;
}

void pack_panel(const Job& job, int64_t panel, const KernelTable& kernels) {
  const PackedPart& part = *job.part;
  const PanelRows rows = rows_of_panel(job, panel);
  std::byte* to = job.panels + panel * part.panel_bytes;
  switch (part.format) {
    case WeightFormat::f32:
      pack_plain<float>(rows.data, part.columns, part.depth, 1, 0, to);
      break;
    case WeightFormat::f16:
      pack_plain<uint16_t>(rows.data, part.columns, part.depth, 1, 0, to);
      break;
    case WeightFormat::bf16:
      pack_plain<uint16_t>(rows.data, part.columns, part.depth, 2, 0, to);
      break;
    case WeightFormat::w8a8:
      pack_plain<uint8_t>(rows.data, part.columns, part.depth, kernels.int8_step,
                          kernels.int8_offset, to);
      break;
    case WeightFormat::w4a8:
      pack_int4(rows.data, part.columns, part.depth, kernels.int8_step, to);
      break;
    case WeightFormat::w4a16:
      pack_int4_words(rows.data, part.columns, part.depth, to);
      break;
  }
  for (int64_t i = 0; i < part.scale_stride; ++i) {
    const float* scales = rows.scales[i % kPanel];
    job.scales[panel * part.scale_stride + i] = scales == nullptr ? 0 : scales[i / kPanel];
  }
}

// Groups the stored parts of each expert into packed ones.
Result<std::vector<std::vector<Job>>> plan_jobs(const Weight& weight, int64_t experts,
                                                const std::string& name, const KernelTable& kernels,
                                                PackedWeight& packed) {
  int64_t rows = 0;
  for (const WeightPart& part : weight.parts) rows += part.rows;
  const int64_t rows_each = rows / experts;
  std::vector<std::vector<Job>> jobs(static_cast<size_t>(experts));
  packed.experts.resize(static_cast<size_t>(experts));
  int64_t row = 0;
  for (const WeightPart& source : weight.parts) {
    if (source.rows == 0) continue;
    const auto expert = static_cast<size_t>(row / rows_each);
    PackedPart part = LOTSE_TRY(describe(source, name, kernels));
    auto& parts = packed.experts[expert];
    if (parts.empty() || parts.back().format != part.format || parts.back().group != part.group) {
      parts.push_back(part);
      jobs[expert].push_back({});
    }
    parts.back().rows += source.rows;
    jobs[expert].back().sources.push_back(&source);
    row += source.rows;
  }
  return jobs;
}

}  // namespace

Result<PackedWeight> pack(const Weight& weight, int64_t experts, const std::string& name,
                          const KernelTable& kernels, ThreadPool& pool) {
  PackedWeight packed;
  auto jobs = LOTSE_TRY(plan_jobs(weight, experts, name, kernels, packed));
  int64_t bytes = 0;
  for (const auto& parts : packed.experts) {
    for (const PackedPart& part : parts) {
      bytes += part.panel_count() * (part.panel_bytes + part.scale_stride * int64_t{sizeof(float)});
    }
  }
  packed.storage = LOTSE_TRY(HugeBuffer::allocate(bytes, name.c_str()));
  std::byte* to = packed.storage.data();
  for (size_t e = 0; e < packed.experts.size(); ++e) {
    for (size_t i = 0; i < packed.experts[e].size(); ++i) {
      PackedPart& part = packed.experts[e][i];
      Job& job = jobs[e][i];
      job.part = &part;
      job.panels = to;
      part.panels = to;
      to += part.panel_count() * part.panel_bytes;
      job.scales = part.scale_stride > 0 ? reinterpret_cast<float*>(to) : nullptr;
      part.scales = job.scales;
      to += part.panel_count() * part.scale_stride * int64_t{sizeof(float)};
      pool.parallel_for(part.panel_count(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t panel = begin; panel < end; ++panel) pack_panel(job, panel, kernels);
      });
    }
  }
  return packed;
}

}  // namespace lotse::cpu
