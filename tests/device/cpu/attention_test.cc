// Paged attention of every instruction set against the reference: random shapes, blocks, windows,
// softcaps and head groups; and bit-equality under every way of cutting a prompt into steps.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/checked.h"
#include "base/float_types.h"
#include "device/cpu/attention.h"
#include "device/reference/reference_ops.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

class AttentionKernel : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Isa, AttentionKernel, testing::ValuesIn(instruction_sets()), isa_name);

// One sequence with all its queries, keys and values, and blocks in random order.
struct Sequence {
  int64_t context;
  std::vector<float> qkv;  // [context, columns]
  std::vector<int32_t> blocks;
};

struct Problem {
  Attention op;
  DType cache_type;
  int64_t block_tokens;
  std::vector<Sequence> sequences;

  int64_t columns() const { return (op.heads + 2 * op.kv_heads) * op.head_dim; }
  int64_t out_columns() const { return op.heads * op.head_dim; }
};

Problem random_problem(Random& random) {
  const int64_t block_sizes[] = {1, 3, 16, 48, 64, 100, 128};
  const int64_t groups[] = {1, 2, 4, 7, 50};
  Problem p = {};
  p.op.kv_heads = random.between(1, 2);
  p.op.heads = p.op.kv_heads * groups[random.between(0, 4)];
  p.op.head_dim = random.between(0, 1) == 0 ? 64 : random.between(1, 80);
  p.op.scale = 1 / std::sqrt(static_cast<float>(p.op.head_dim));
  if (random.between(0, 2) == 0) p.op.softcap = 5;
  if (random.between(0, 1) == 0) p.op.window = random.between(1, 100);
  const DType cache_types[] = {DType::f32, DType::bf16, DType::i8};
  p.cache_type = cache_types[random.between(0, 2)];
  p.block_tokens = block_sizes[random.between(0, 6)];
  int32_t next_block = 0;
  const int64_t count = random.between(1, 3);
  for (int64_t s = 0; s < count; ++s) {
    Sequence sequence = {random.between(1, 170), {}, {}};
    sequence.qkv = random.normals(sequence.context * p.columns(), 1.5f);
    for (int64_t b = 0; b * p.block_tokens < sequence.context; ++b) {
      sequence.blocks.push_back(next_block++);
    }
    p.sequences.push_back(sequence);
  }
  // Reversed, so that no kernel gets away with reading blocks in order of their ids.
  for (Sequence& s : p.sequences) std::reverse(s.blocks.begin(), s.blocks.end());
  return p;
}

// What a recycled block held before must not matter.
void fill_with_nan(const Problem& p, const KernelTable& kernels, const KvCache& cache) {
  const std::vector<float> nan(at(p.op.head_dim), std::numeric_limits<float>::quiet_NaN());
  for (const Sequence& s : p.sequences) {
    for (const int32_t block : s.blocks) {
      for (int64_t i = 0; i < p.block_tokens * p.op.kv_heads; ++i) {
        cache.write(kernels, block, i / p.op.kv_heads, i % p.op.kv_heads, nan.data(), nan.data());
      }
    }
  }
}

// Feeds all sequences side by side in steps of up to `chunk` tokens each.
std::vector<std::vector<float>> run_chunked(const Problem& p, const KernelTable& kernels,
                                            int threads, int64_t chunk) {
  ThreadPool pool(threads);
  ExecutionLimits limits;
  limits.block_tokens = p.block_tokens;
  limits.cache_blocks = 600;
  limits.cache_type = p.cache_type;
  auto cache = KvCache::allocate({p.op.kv_heads, p.op.head_dim, p.op.window}, limits);
  auto scratch = HugeBuffer::allocate(attention_scratch(p.op.head_dim) * threads * 4, "test");
  fill_with_nan(p, kernels, *cache);
  std::vector<std::vector<float>> outs;
  for (const Sequence& s : p.sequences) outs.emplace_back(at(s.context * p.out_columns()));
  for (int64_t begin = 0;; begin += chunk) {
    Batch batch = {};
    std::vector<BatchSequence> parts;
    std::vector<float> qkv;
    int32_t first = 0;
    for (const Sequence& s : p.sequences) {
      const int64_t end = std::min(begin + chunk, s.context);
      if (begin >= end) continue;
      const auto tokens = static_cast<int32_t>(end - begin);
      parts.push_back({first, tokens, static_cast<int32_t>(end), s.blocks});
      qkv.insert(qkv.end(), s.qkv.begin() + begin * p.columns(), s.qkv.begin() + end * p.columns());
      first += tokens;
    }
    if (parts.empty()) return outs;
    batch.sequences = parts;
    std::vector<float> out(at(first * p.out_columns()));
    run_attention(kernels, pool, p.op, *cache, batch, qkv.data(), out.data(), scratch->as<float>());
    size_t part = 0;
    for (size_t s = 0; s < p.sequences.size(); ++s) {
      if (begin >= p.sequences[s].context) continue;
      const BatchSequence& b = parts[part++];
      std::copy_n(out.begin() + b.first_token * p.out_columns(), b.tokens * p.out_columns(),
                  outs[s].begin() + begin * p.out_columns());
    }
  }
}

std::vector<float> gather(const Problem& p, const Sequence& s, int64_t context, int64_t column) {
  std::vector<float> rows;
  for (int64_t t = 0; t < context; ++t) {
    const auto from = s.qkv.begin() + t * p.columns() + column;
    rows.insert(rows.end(), from, from + p.op.head_dim);
    const auto stored = std::span(rows).last(at(p.op.head_dim));
    if (p.cache_type == DType::i8) reference::round_to_int8(stored);
    if (p.cache_type != DType::bf16) continue;
    for (float& v : stored) v = round_to_bf16(v);
  }
  return rows;
}

void expect_matches_reference(const Problem& p, const Sequence& s, std::span<const float> out) {
  const int64_t dim = p.op.head_dim;
  for (int64_t t = 0; t < s.context; t += 1 + t / 8) {
    for (int64_t head = 0; head < p.op.heads; ++head) {
      const int64_t kv = head / (p.op.heads / p.op.kv_heads);
      const auto keys = gather(p, s, t + 1, (p.op.heads + kv) * dim);
      const auto values = gather(p, s, t + 1, (p.op.heads + p.op.kv_heads + kv) * dim);
      std::vector<float> expected(at(dim));
      const int64_t first = p.op.window > 0 ? std::max<int64_t>(0, t + 1 - p.op.window) : 0;
      reference::attention_row(std::span(s.qkv).subspan(at(t * p.columns() + head * dim), at(dim)),
                               keys, values, first, p.op.scale, p.op.softcap, expected);
      for (int64_t d = 0; d < dim; ++d) {
        ASSERT_TRUE(
            near(out[at(t * p.out_columns() + head * dim + d)], expected[at(d)], 2e-5, 5e-6))
            << "token " << t << " head " << head << " dim " << d;
      }
    }
  }
}

TEST_P(AttentionKernel, RandomShapesMatchTheReference) {
  Random random(21);
  for (int i = 0; i < 60; ++i) {
    const Problem p = random_problem(random);
    SCOPED_TRACE(testing::Message()
                 << "heads " << p.op.heads << "/" << p.op.kv_heads << " dim " << p.op.head_dim
                 << " block " << p.block_tokens << " window " << p.op.window << " softcap "
                 << p.op.softcap << " cache " << name(p.cache_type));
    const auto outs = run_chunked(p, kernels(), 1 + i % 2, random.between(1, 200));
    for (size_t s = 0; s < outs.size(); ++s) {
      expect_matches_reference(p, p.sequences[s], outs[s]);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(AttentionKernel, RowsDoNotDependOnChunksOrNeighbours) {
  Random random(22);
  for (int i = 0; i < 18; ++i) {
    const Problem p = random_problem(random);
    const auto whole = run_chunked(p, kernels(), 2, 200);
    for (const int64_t chunk : {1, 5, 64}) {
      const auto cut = run_chunked(p, kernels(), 1, chunk);
      for (size_t s = 0; s < cut.size(); ++s) {
        ASSERT_EQ(std::memcmp(cut[s].data(), whole[s].data(), cut[s].size() * sizeof(float)), 0);
      }
    }
    for (size_t s = 0; s < p.sequences.size(); ++s) {
      Problem alone = p;
      alone.sequences = {p.sequences[s]};
      const auto out = run_chunked(alone, kernels(), 1, 64);
      ASSERT_EQ(std::memcmp(out[0].data(), whole[s].data(), out[0].size() * sizeof(float)), 0);
    }
  }
}

}  // namespace
}  // namespace lotse::cpu
