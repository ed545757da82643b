#include "device/cpu/executable.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "device/buffer_plan.h"
#include "device/collective/gather_columns.h"
#include "device/cpu/attention.h"
#include "device/cpu/parallel.h"
#include "device/visit.h"

namespace lotse::cpu {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// One stored row of floats as fp32.
void widen_row(const KernelTable& kernels, const WeightPart& part, int64_t row, float* out) {
  const std::byte* from =
      part.data.bytes.data() + row * part.columns * info(part.data.dtype).block_bytes;
  switch (part.format) {
    case WeightFormat::bf16:
      kernels.bf16_to_f32(reinterpret_cast<const uint16_t*>(from), part.columns, out);
      break;
    case WeightFormat::f16:
      kernels.f16_to_f32(reinterpret_cast<const uint16_t*>(from), part.columns, out);
      break;
    default:
      std::memcpy(out, from, at(part.columns) * sizeof(float));
      break;
  }
}

bool is_float(WeightFormat format) {
  return format == WeightFormat::f32 || format == WeightFormat::f16 || format == WeightFormat::bf16;
}

Result<void> expect_floats(const Weight& weight, const std::string& name, const char* role) {
  for (const WeightPart& part : weight.parts) {
    if (!is_float(part.format)) {
      return fail(ErrorCode::unsupported,
                  "{}: {} stored as {}; the cpu device takes f32, f16, bf16", name, role,
                  lotse::name(part.format));
    }
  }
  return {};
}

std::string name_of(const WeightDecl& decl) {
  return decl.sources.empty() ? "an unnamed weight" : decl.sources.front();
}

Result<PreparedWeight> prepare(const WeightDecl& decl, Weight weight, const KernelTable& kernels,
                               ThreadPool& pool) {
  PreparedWeight prepared;
  switch (decl.role) {
    case WeightRole::matrix:
    case WeightRole::experts:
      prepared.packed = LOTSE_TRY(pack(weight, decl.experts, name_of(decl), kernels, pool));
      break;
    case WeightRole::table:
      LOTSE_TRY(expect_floats(weight, name_of(decl), "an embedding table"));
      if (weight.parts.size() != 1) {
        return fail(ErrorCode::unsupported, "{}: an embedding table in {} parts, not one",
                    name_of(decl), weight.parts.size());
      }
      prepared.table = std::move(weight);
      break;
    case WeightRole::vector:
      LOTSE_TRY(expect_floats(weight, name_of(decl), "a vector"));
      for (const WeightPart& part : weight.parts) {
        std::vector<float> values(at(part.columns));
        widen_row(kernels, part, 0, values.data());
        for (const float value : values) prepared.vector.push_back(value + decl.offset);
      }
      break;
  }
  return prepared;
}

// The widest activations that any linear reads.
int64_t widest_input(const Program& program) {
  int64_t widest = 1;
  for (const WeightDecl& decl : program.weights) {
    const bool matrix = decl.role == WeightRole::matrix || decl.role == WeightRole::experts;
    if (matrix) widest = std::max(widest, decl.columns);
  }
  return widest;
}

// What one token needs of working memory for an adapter.
int64_t adapter_columns(const Program& program) {
  int64_t most = 0;
  for (const Op& op : program.ops) {
    const auto* adapter = std::get_if<LowRank>(&op.operation);
    if (adapter == nullptr) continue;
    most = std::max(
        most, program.weights[at(adapter->down)].rows + program.weights[at(adapter->up)].rows);
  }
  return most;
}

}  // namespace

Result<std::unique_ptr<Executable>> CpuExecutable::load(
    const KernelTable& kernels, std::shared_ptr<ThreadPool> pool, const Program& program,
    std::vector<Weight> weights, const ExecutionLimits& limits, Group* group) {
  LOTSE_CHECK(weights.size() == program.weights.size());
  LOTSE_CHECK(group != nullptr || !has_collectives(program));
  const DType cached = limits.cache_type;
  if (cached != DType::bf16 && cached != DType::f32 && cached != DType::i8) {
    return fail(ErrorCode::unsupported,
                "a key-value cache of {}; the cpu device takes f32, bf16 or int8", name(cached));
  }
  std::unique_ptr<CpuExecutable> executable(
      new CpuExecutable(kernels, std::move(pool), group, program, limits));
  LOTSE_TRY(executable->prepare_weights(std::move(weights)));
  LOTSE_TRY(executable->allocate());
  return executable;
}

Result<void> CpuExecutable::prepare_weights(std::vector<Weight> weights) {
  weights_.reserve(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    // Moved, so that a stored weight is let go as soon as it is packed.
    weights_.push_back(
        LOTSE_TRY(prepare(program_.weights[i], std::move(weights[i]), kernels_, *pool_)));
  }
  return {};
}

Result<void> CpuExecutable::allocate() {
  BufferPlan plan = plan_buffers(program_, limits_.max_tokens, limits_.max_outputs);
  offsets_ = std::move(plan.offset);
  arena_ = LOTSE_TRY(HugeBuffer::allocate(plan.bytes, "activations"));
  const int64_t rows = std::max(limits_.max_tokens, limits_.max_outputs);
  linears_ = LOTSE_TRY(LinearScratch::allocate(rows, widest_input(program_), pool_->size()));
  moe_ = LOTSE_TRY(MoeScratch::allocate(program_, rows));
  int64_t head_dim = 0;
  for (const CacheLayer& layer : program_.cache_layers) {
    head_dim = std::max(head_dim, layer.head_dim);
    caches_.push_back(LOTSE_TRY(KvCache::allocate(layer, limits_)));
  }
  int64_t scratch = attention_scratch(head_dim);
  for (const Op& op : program_.ops) {
    const auto* attention = std::get_if<BidirectionalAttention>(&op.operation);
    if (attention == nullptr) continue;
    scratch = std::max(scratch, bidirectional_scratch(attention->head_dim));
    if (std::ranges::any_of(step_keys_, [&](const auto& keys) { return keys.fits(*attention); })) {
      continue;
    }
    step_keys_.push_back(
        LOTSE_TRY(StepKeys::allocate(attention->heads, attention->head_dim, limits_)));
  }
  attention_ = LOTSE_TRY(
      HugeBuffer::allocate(scratch * pool_->size() * int64_t{sizeof(float)}, "attention"));
  adapters_ = LOTSE_TRY(HugeBuffer::allocate(
      limits_.max_tokens * adapter_columns(program_) * int64_t{sizeof(float)}, "adapters"));
  for (const RopeTable& table : program_.ropes) {
    const auto pairs = static_cast<int64_t>(table.inverse_frequency.size());
    ropes_.push_back(LOTSE_TRY(HugeBuffer::allocate(2 * pairs * limits_.max_tokens * 4, "rope")));
  }
  return {};
}

Executable::Memory CpuExecutable::memory() const {
  Memory memory;
  for (const PreparedWeight& weight : weights_) {
    memory.weights += weight.packed.storage.size() + stored_bytes(weight.table) +
                      static_cast<int64_t>(weight.vector.size() * sizeof(float));
  }
  for (const KvCache& cache : caches_) memory.cache += cache.size();
  memory.working =
      arena_.size() + linears_.size() + moe_.size() + attention_.size() + adapters_.size();
  for (const HugeBuffer& rope : ropes_) memory.working += rope.size();
  for (const StepKeys& keys : step_keys_) memory.working += keys.size();
  return memory;
}

void CpuExecutable::check(const Batch& batch) const {
  const auto tokens = static_cast<int64_t>(batch.tokens.size());
  LOTSE_CHECK(tokens <= limits_.max_tokens && batch.positions.size() == batch.tokens.size());
  LOTSE_CHECK(static_cast<int64_t>(batch.output_rows.size()) <= limits_.max_outputs);
  for (const int32_t row : batch.output_rows) LOTSE_CHECK(row >= 0 && row < tokens);
  for (const BatchSequence& s : batch.sequences) {
    LOTSE_CHECK(s.tokens > 0 && s.first_token >= 0 && s.first_token + s.tokens <= tokens);
    LOTSE_CHECK(s.context >= s.tokens && s.context <= limits_.max_context);
    const int64_t blocks = ceil_div(s.context, limits_.block_tokens);
    LOTSE_CHECK(static_cast<int64_t>(s.blocks.size()) >= blocks);
    for (const int32_t block : s.blocks.first(at(blocks))) {
      LOTSE_CHECK(block >= 0 && block < limits_.cache_blocks);
    }
  }
}

Result<std::span<const float>> CpuExecutable::run(const Batch& batch) {
  if (program_.logits == kNone) return std::unexpected(no_logits());
  LOTSE_TRY(run_until(program_.logits, batch));
  return rows_made(program_.logits);
}

Result<std::span<const float>> CpuExecutable::run_hidden(const Batch& batch) {
  LOTSE_TRY(run_until(program_.hidden, batch));
  return last_hidden();
}

Result<std::span<const float>> CpuExecutable::last_hidden() {
  LOTSE_CHECK(program_.hidden != kNone);
  return rows_made(program_.hidden);
}

std::span<const float> CpuExecutable::rows_made(ValueId result) const {
  return {data(result), at(outputs_ * columns(result))};
}

Result<void> CpuExecutable::run_until(ValueId result, const Batch& batch) {
  LOTSE_CHECK(result != kNone);
  check(batch);
  prepare_ropes(batch);
  outputs_ = std::ssize(batch.output_rows);
  for (const Op& op : operators_until(program_, result)) {
    LOTSE_TRY(visit_operation(op.operation,
                              [&](const auto& operation) { return execute(operation, batch); }));
    if (observer_ != nullptr) {
      const ValueId out = output_of(op.operation);
      const int64_t count = rows(out, batch) * columns(out);
      LOTSE_TRY(observer_->on_value(op, {data(out), at(count)}, rows(out, batch), columns(out)));
    }
  }
  return {};
}

int64_t CpuExecutable::rows(ValueId id, const Batch& batch) const {
  const bool tokens = program_.values[at(id)].rows == Rows::tokens;
  return static_cast<int64_t>(tokens ? batch.tokens.size() : batch.output_rows.size());
}

float* CpuExecutable::data(ValueId id) const {
  return reinterpret_cast<float*>(arena_.data() + offsets_[at(id)]);
}

void CpuExecutable::prepare_ropes(const Batch& batch) {
  const auto tokens = static_cast<int64_t>(batch.tokens.size());
  for (size_t i = 0; i < ropes_.size(); ++i) {
    const RopeTable& table = program_.ropes[i];
    const auto pairs = static_cast<int64_t>(table.inverse_frequency.size());
    float* cosines = ropes_[i].as<float>();
    float* sines = cosines + pairs * limits_.max_tokens;
    // A sine costs about as much as 16 elements of other operators.
    over_rows(*pool_, tokens, 16 * pairs, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t k = 0; k < pairs; ++k) {
          // The angle is rounded to fp32 first, as the reference does.
          const double angle =
              static_cast<float>(batch.positions[at(t)]) * table.inverse_frequency[at(k)];
          const auto scale = static_cast<double>(table.scale);
          cosines[t * pairs + k] = static_cast<float>(std::cos(angle) * scale);
          sines[t * pairs + k] = static_cast<float>(std::sin(angle) * scale);
        }
      }
    });
  }
}

void CpuExecutable::execute(const Embed& op, const Batch& batch) {
  const WeightPart& table = weight(op.table).table.parts.front();
  const int64_t n = columns(op.out);
  over_rows(*pool_, rows(op.out, batch), n, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = op.first_row + embed_index(op.by, batch, t);
      LOTSE_CHECK(row >= 0 && row < table.rows);
      float* out = data(op.out) + t * n;
      widen_row(kernels_, table, row, out);
      if (op.scale != 1) kernels_.scale(out, op.scale, n, out);
    }
  });
}

void CpuExecutable::execute(const Linear& op, const Batch& batch) {
  const float* bias = op.bias == kNone ? nullptr : weight(op.bias).vector.data();
  linear(kernels_, *pool_, linears_, weight(op.weight).packed.experts[0], data(op.in),
         columns(op.in), rows(op.in, batch), bias, data(op.out), columns(op.out));
}

void CpuExecutable::execute(const RmsNorm& op, const Batch& batch) {
  const float* scale = weight(op.weight).vector.data();
  const int64_t stride = columns(op.in);
  const int64_t count = rows(op.in, batch);
  over_rows(*pool_, count, op.groups * op.width, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t g = 0; g < op.groups; ++g) {
        const int64_t first = t * stride + op.first_column + g * op.width;
        kernels_.rms_norm(data(op.in) + first, scale, op.epsilon, op.width, data(op.out) + first);
      }
    }
  });
}

void CpuExecutable::execute(const LayerNorm& op, const Batch& batch) {
  const float* scale = weight(op.weight).vector.data();
  const float* bias = weight(op.bias).vector.data();
  const int64_t width = columns(op.in);
  over_rows(*pool_, rows(op.in, batch), width, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.layer_norm(data(op.in) + t * width, scale, bias, op.epsilon, width,
                          data(op.out) + t * width);
    }
  });
}

void CpuExecutable::execute(const Rope& op, const Batch& batch) {
  const auto pairs = static_cast<int64_t>(program_.ropes[at(op.table)].inverse_frequency.size());
  const float* cosines = ropes_[at(op.table)].as<float>();
  const float* sines = cosines + pairs * limits_.max_tokens;
  const int64_t stride = columns(op.value);
  over_rows(*pool_, rows(op.value, batch), op.heads * pairs, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t head = 0; head < op.heads; ++head) {
        float* x = data(op.value) + t * stride + op.first_column + head * op.head_dim;
        kernels_.rope(x, cosines + t * pairs, sines + t * pairs, pairs, op.interleaved);
      }
    }
  });
}

void CpuExecutable::execute(const Attention& op, const Batch& batch) {
  run_attention(kernels_, *pool_, op, caches_[at(op.cache_layer)], batch, data(op.qkv),
                data(op.out), attention_.as<float>());
}

void CpuExecutable::execute(const BidirectionalAttention& op, const Batch& batch) {
  const auto keys =
      std::ranges::find_if(step_keys_, [&](const StepKeys& held) { return held.fits(op); });
  keys->run(kernels_, *pool_, op, batch, data(op.qkv), data(op.out), attention_.as<float>());
}

void CpuExecutable::execute(const Activate& op, const Batch& batch) {
  // A gate whose other side is 1.
  static const std::vector<float> ones(at(kColumnChunk), 1.0F);
  const GateFunction gate = gate_function(kernels_, op.activation);
  const int64_t width = columns(op.out);
  over_elements(*pool_, rows(op.out, batch), width, [&](int64_t row, int64_t c, int64_t n) {
    const int64_t i = row * width + c;
    gate(data(op.in) + i, ones.data(), n, data(op.out) + i);
  });
}

void CpuExecutable::execute(const GatedActivation& op, const Batch& batch) {
  const GateFunction gate = gate_function(kernels_, op.activation);
  const int64_t width = columns(op.out);
  over_elements(*pool_, rows(op.out, batch), width, [&](int64_t row, int64_t c, int64_t n) {
    const float* in = data(op.in) + row * 2 * width + c;
    gate(in, in + width, n, data(op.out) + row * width + c);
  });
}

void CpuExecutable::execute(const Add& op, const Batch& batch) {
  const int64_t width = columns(op.out);
  over_elements(*pool_, rows(op.out, batch), width, [&](int64_t row, int64_t c, int64_t n) {
    const int64_t i = row * width + c;
    kernels_.add(data(op.a) + i, data(op.b) + i, n, data(op.out) + i);
  });
}

void CpuExecutable::execute(const GatherRows& op, const Batch& batch) {
  const int64_t n = columns(op.in);
  for (size_t i = 0; i < batch.output_rows.size(); ++i) {
    std::memcpy(data(op.out) + static_cast<int64_t>(i) * n, data(op.in) + batch.output_rows[i] * n,
                at(n) * sizeof(float));
  }
}

void CpuExecutable::execute(const Softcap& op, const Batch& batch) {
  const int64_t width = columns(op.value);
  over_elements(*pool_, rows(op.value, batch), width, [&](int64_t row, int64_t c, int64_t n) {
    float* x = data(op.value) + row * width + c;
    kernels_.softcap(x, op.cap, n, x);
  });
}

void CpuExecutable::execute(const Moe& op, const Batch& batch) {
  run_moe(kernels_, *pool_, linears_, moe_, op,
          {weight(op.router).packed, weight(op.gate_up).packed, weight(op.down).packed},
          data(op.in), rows(op.in, batch), columns(op.in), data(op.out));
}

// Neighbours with the same adapter are computed together.
void CpuExecutable::execute(const LowRank& op, const Batch& batch) {
  int64_t first = 0;
  int64_t count = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    if (sequence.adapter != op.adapter) continue;
    if (sequence.first_token != first + count) {
      add_low_rank(op, first, count);
      first = sequence.first_token;
      count = 0;
    }
    count += sequence.tokens;
  }
  add_low_rank(op, first, count);
}

void CpuExecutable::add_low_rank(const LowRank& op, int64_t first, int64_t count) {
  if (count == 0) return;
  const int64_t rank = program_.weights[at(op.down)].rows;
  const int64_t outputs = program_.weights[at(op.up)].rows;
  float* inner = adapters_.as<float>();
  float* added = inner + count * rank;
  linear(kernels_, *pool_, linears_, weight(op.down).packed.experts[0],
         data(op.in) + first * columns(op.in), columns(op.in), count, nullptr, inner, rank);
  linear(kernels_, *pool_, linears_, weight(op.up).packed.experts[0], inner, rank, count, nullptr,
         added, outputs);
  over_elements(*pool_, count, outputs, [&](int64_t row, int64_t c, int64_t n) {
    float* out = data(op.out) + (first + row) * columns(op.out) + op.first_column + c;
    kernels_.scale_add(added + row * outputs + c, op.scale, n, out);
  });
}

Result<void> CpuExecutable::execute(const AllReduce& op, const Batch& batch) {
  return group_->all_reduce({data(op.value), at(rows(op.value, batch) * columns(op.value))});
}

Result<void> CpuExecutable::execute(const AllGather& op, const Batch& batch) {
  const int64_t count = rows(op.in, batch) * columns(op.in);
  gathered_.resize(at(count * group_->size()));
  LOTSE_TRY(group_->all_gather({data(op.in), at(count)}, gathered_));
  gather_columns(gathered_, group_->size(), rows(op.in, batch), columns(op.in), data(op.out));
  return {};
}

}  // namespace lotse::cpu
