#include "device/reference/reference_device.h"

#include <algorithm>
#include <cmath>

#include "base/float_types.h"
#include "device/collective/gather_columns.h"
#include "device/reference/reference_ops.h"
#include "device/visit.h"

namespace lotse {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Values are kept one vector each: the reference plans no buffers.
class ReferenceExecutable final : public Executable {
 public:
  ReferenceExecutable(Group* group, const Program& program, std::vector<Weight> weights,
                      const ExecutionLimits& limits)
      : group_(group), program_(program), weights_(std::move(weights)), limits_(limits) {
    values_.resize(program_.values.size());
    for (const CacheLayer& layer : program_.cache_layers) {
      const int64_t size =
          limits_.cache_blocks * limits_.block_tokens * layer.kv_heads * layer.head_dim;
      caches_.push_back({std::vector<float>(at(size)), std::vector<float>(at(size))});
    }
  }

  Result<std::span<const float>> run(const Batch& batch) override {
    if (program_.logits == kNone) return std::unexpected(no_logits());
    LOTSE_TRY(run_until(program_.logits, batch));
    return std::span<const float>(values_[at(program_.logits)]);
  }

  Result<std::span<const float>> run_hidden(const Batch& batch) override {
    LOTSE_TRY(run_until(program_.hidden, batch));
    return last_hidden();
  }

  Result<std::span<const float>> last_hidden() override {
    LOTSE_CHECK(program_.hidden != kNone);
    return std::span<const float>(values_[at(program_.hidden)]);
  }
  void observe(Observer* observer) override { observer_ = observer; }

  Memory memory() const override {
    Memory memory;
    for (const Weight& weight : weights_) memory.weights += stored_bytes(weight);
    for (const Cache& cache : caches_) {
      memory.cache += static_cast<int64_t>(2 * cache.keys.size() * sizeof(float));
    }
    return memory;
  }

 private:
  struct Cache {
    std::vector<float> keys;  // [position slot, kv_heads, head_dim]
    std::vector<float> values;
  };

  int64_t columns_of(ValueId id) const { return program_.values[at(id)].columns; }

  int64_t rows_of(ValueId id, const Batch& batch) const {
    return static_cast<int64_t>(program_.values[at(id)].rows == Rows::tokens
                                    ? batch.tokens.size()
                                    : batch.output_rows.size());
  }

  void allocate(ValueId id, const Batch& batch) {
    values_[at(id)].resize(at(rows_of(id, batch) * columns_of(id)));
  }

  std::span<float> row(ValueId id, int64_t index) {
    const int64_t columns = columns_of(id);
    return std::span(values_[at(id)]).subspan(at(index * columns), at(columns));
  }

  int64_t row_count(ValueId id) const {
    return static_cast<int64_t>(values_[at(id)].size()) / columns_of(id);
  }

  const Weight& weight(WeightId id) const { return weights_[at(id)]; }

  std::vector<float> vector_weight(WeightId id) const {
    std::vector<float> values;
    if (id == kNone) return values;
    const float offset = program_.weights[at(id)].offset;
    for (const WeightPart& part : weight(id).parts) {
      for (int64_t i = 0; i < part.columns; ++i) {
        values.push_back(reference::weight_value(part, 0, i) + offset);
      }
    }
    return values;
  }

  // All operators up to the last that writes `result`.
  Result<void> run_until(ValueId result, const Batch& batch) {
    LOTSE_CHECK(result != kNone);
    for (const Op& op : operators_until(program_, result)) {
      const ValueId out = output_of(op.operation);
      allocate(out, batch);
      LOTSE_TRY(visit_operation(op.operation,
                                [&](const auto& operation) { return execute(operation, batch); }));
      if (observer_ != nullptr) {
        LOTSE_TRY(observer_->on_value(op, values_[at(out)], rows_of(out, batch), columns_of(out)));
      }
    }
    return {};
  }

  void execute(const Embed& op, const Batch& batch) {
    const WeightPart& table = weight(op.table).parts.front();
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      const std::span<float> out = row(op.out, t);
      const int64_t from = op.first_row + embed_index(op.by, batch, t);
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = op.scale * reference::weight_value(table, from, static_cast<int64_t>(i));
      }
    }
  }

  void execute(const Linear& op, const Batch&) {
    const std::vector<float> bias = vector_weight(op.bias);
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      reference::linear_row(row(op.in, t), weight(op.weight), bias, row(op.out, t));
    }
  }

  void execute(const RmsNorm& op, const Batch&) {
    const std::vector<float> scale = vector_weight(op.weight);
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      for (int64_t g = 0; g < op.groups; ++g) {
        const size_t begin = at(op.first_column + g * op.width);
        reference::rms_norm_row(row(op.in, t).subspan(begin, at(op.width)), scale, op.epsilon,
                                row(op.out, t).subspan(begin, at(op.width)));
      }
    }
  }

  void execute(const LayerNorm& op, const Batch&) {
    const std::vector<float> scale = vector_weight(op.weight);
    const std::vector<float> bias = vector_weight(op.bias);
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      reference::layer_norm_row(row(op.in, t), scale, bias, op.epsilon, row(op.out, t));
    }
  }

  void execute(const Rope& op, const Batch& batch) {
    const RopeTable& table = program_.ropes[at(op.table)];
    const size_t rotated = 2 * table.inverse_frequency.size();
    for (int64_t t = 0; t < row_count(op.value); ++t) {
      for (int64_t h = 0; h < op.heads; ++h) {
        const size_t begin = at(op.first_column + h * op.head_dim);
        reference::rope_row(row(op.value, t).subspan(begin, rotated), table, batch.positions[at(t)],
                            op.interleaved);
      }
    }
  }

  int64_t slot(const BatchSequence& sequence, int64_t position) const {
    const int64_t block = sequence.blocks[at(position / limits_.block_tokens)];
    return block * limits_.block_tokens + position % limits_.block_tokens;
  }

  void write_cache(const Attention& op, const BatchSequence& sequence) {
    Cache& cache = caches_[at(op.cache_layer)];
    const int64_t width = op.kv_heads * op.head_dim;
    for (int64_t i = 0; i < sequence.tokens; ++i) {
      const std::span<const float> qkv = row(op.qkv, sequence.first_token + i);
      const int64_t to = slot(sequence, sequence.context - sequence.tokens + i) * width;
      for (int64_t head = 0; head < op.kv_heads; ++head) {
        const int64_t from = (op.heads + head) * op.head_dim;
        const size_t begin = at(to + head * op.head_dim);
        const size_t size = at(op.head_dim);
        store(qkv.subspan(at(from), size), std::span(cache.keys).subspan(begin, size));
        store(qkv.subspan(at(from + width), size), std::span(cache.values).subspan(begin, size));
      }
    }
  }

  // What the cache gives back of one head's key or value.
  void store(std::span<const float> x, std::span<float> cached) const {
    std::ranges::copy(x, cached.begin());
    if (limits_.cache_type == DType::bf16) {
      for (float& value : cached) value = round_to_bf16(value);
    } else if (limits_.cache_type == DType::i8) {
      reference::round_to_int8(cached);
    }
  }

  // Rows [0, context) of one key-value head, gathered through the block table.
  std::vector<float> gather(const std::vector<float>& cache, const Attention& op,
                            const BatchSequence& sequence, int64_t context, int64_t head) const {
    std::vector<float> rows;
    for (int64_t p = 0; p < context; ++p) {
      const auto from = cache.begin() + (slot(sequence, p) * op.kv_heads + head) * op.head_dim;
      rows.insert(rows.end(), from, from + op.head_dim);
    }
    return rows;
  }

  void execute(const Attention& op, const Batch& batch) {
    const Cache& cache = caches_[at(op.cache_layer)];
    for (const BatchSequence& sequence : batch.sequences) {
      write_cache(op, sequence);
      for (int64_t head = 0; head < op.heads; ++head) {
        const int64_t kv_head = head / (op.heads / op.kv_heads);
        const auto keys = gather(cache.keys, op, sequence, sequence.context, kv_head);
        const auto values = gather(cache.values, op, sequence, sequence.context, kv_head);
        for (int64_t i = 0; i < sequence.tokens; ++i) {
          attend(op, sequence, head, i, keys, values);
        }
      }
    }
  }

  void attend(const Attention& op, const BatchSequence& sequence, int64_t head, int64_t i,
              std::span<const float> keys, std::span<const float> values) {
    const int64_t visible = sequence.context - sequence.tokens + i + 1;
    const int64_t first = op.window > 0 ? std::max<int64_t>(0, visible - op.window) : 0;
    const size_t begin = at(head * op.head_dim);
    const size_t size = at(visible * op.head_dim);
    reference::attention_row(row(op.qkv, sequence.first_token + i).subspan(begin, at(op.head_dim)),
                             keys.first(size), values.first(size), first, op.scale, op.softcap,
                             row(op.out, sequence.first_token + i).subspan(begin, at(op.head_dim)));
  }

  void execute(const BidirectionalAttention& op, const Batch& batch) {
    const size_t d = at(op.head_dim);
    for (const BatchSequence& sequence : batch.sequences) {
      LOTSE_CHECK(sequence.tokens == sequence.context);
      for (int64_t head = 0; head < op.heads; ++head) {
        const auto part = [&](int64_t token, int64_t kind) {
          return row(op.qkv, sequence.first_token + token)
              .subspan(at((kind * op.heads + head) * op.head_dim), d);
        };
        std::vector<float> keys;
        std::vector<float> values;
        for (int64_t t = 0; t < sequence.tokens; ++t) {
          keys.insert(keys.end(), part(t, 1).begin(), part(t, 1).end());
          values.insert(values.end(), part(t, 2).begin(), part(t, 2).end());
        }
        for (int64_t t = 0; t < sequence.tokens; ++t) {
          reference::attention_row(
              part(t, 0), keys, values, 0, op.scale, 0,
              row(op.out, sequence.first_token + t).subspan(at(head * op.head_dim), d));
        }
      }
    }
  }

  void execute(const Activate& op, const Batch&) {
    std::vector<float>& out = values_[at(op.out)];
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = reference::activate(op.activation, values_[at(op.in)][i]);
    }
  }

  void execute(const GatedActivation& op, const Batch&) {
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      activate_row(op.activation, row(op.in, t), row(op.out, t));
    }
  }

  static void activate_row(Activation activation, std::span<const float> gate_up,
                           std::span<float> out) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = reference::activate(activation, gate_up[i]) * gate_up[out.size() + i];
    }
  }

  void execute(const Add& op, const Batch&) {
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      const std::span<float> out = row(op.out, t);
      for (size_t i = 0; i < out.size(); ++i) out[i] = row(op.a, t)[i] + row(op.b, t)[i];
    }
  }

  void execute(const GatherRows& op, const Batch& batch) {
    for (int64_t i = 0; i < row_count(op.out); ++i) {
      const std::span<const float> from = row(op.in, batch.output_rows[at(i)]);
      std::copy(from.begin(), from.end(), row(op.out, i).begin());
    }
  }

  void execute(const Softcap& op, const Batch&) {
    for (float& value : values_[at(op.value)]) {
      value =
          static_cast<float>(static_cast<double>(op.cap) *
                             std::tanh(static_cast<double>(value) / static_cast<double>(op.cap)));
    }
  }

  // The parts of expert `index`, given as views.
  Weight expert(WeightId id, int64_t index) const {
    const WeightDecl& decl = program_.weights[at(id)];
    const int64_t rows_each = decl.rows / decl.experts;
    Weight selected;
    int64_t row = 0;
    for (const WeightPart& part : weight(id).parts) {
      if (row >= index * rows_each && row < (index + 1) * rows_each) selected.parts.push_back(part);
      row += part.rows;
    }
    return selected;
  }

  void execute(const Moe& op, const Batch&) {
    std::vector<float> scores(at(op.experts));
    std::vector<float> gate_up(at(2 * op.width));
    std::vector<float> hidden(at(op.width));
    for (int64_t t = 0; t < row_count(op.out); ++t) {
      const std::span<const float> in = row(op.in, t);
      const std::span<float> out = row(op.out, t);
      std::vector<double> sum(out.size(), 0.0);
      std::vector<float> down(out.size());
      reference::linear_row(in, weight(op.router), {}, scores);
      for (const reference::Route& r : reference::route(scores, op.top_k, op.normalise)) {
        reference::linear_row(in, expert(op.gate_up, r.expert), {}, gate_up);
        activate_row(op.activation, gate_up, hidden);
        reference::linear_row(hidden, expert(op.down, r.expert), {}, down);
        for (size_t i = 0; i < sum.size(); ++i) {
          sum[i] += static_cast<double>(r.share) * static_cast<double>(down[i]);
        }
      }
      for (size_t i = 0; i < sum.size(); ++i) out[i] = static_cast<float>(sum[i]);
    }
  }

  void execute(const LowRank& op, const Batch& batch) {
    std::vector<float> inner(at(program_.weights[at(op.down)].rows));
    std::vector<float> added(at(program_.weights[at(op.up)].rows));
    for (const BatchSequence& sequence : batch.sequences) {
      if (sequence.adapter != op.adapter) continue;
      for (int64_t i = 0; i < sequence.tokens; ++i) {
        reference::linear_row(row(op.in, sequence.first_token + i), weight(op.down), {}, inner);
        reference::linear_row(inner, weight(op.up), {}, added);
        const auto out = row(op.out, sequence.first_token + i).subspan(at(op.first_column));
        for (size_t c = 0; c < added.size(); ++c) out[c] += op.scale * added[c];
      }
    }
  }

  Result<void> execute(const AllReduce& op, const Batch&) {
    return group_->all_reduce(values_[at(op.value)]);
  }

  Result<void> execute(const AllGather& op, const Batch&) {
    const std::vector<float>& mine = values_[at(op.in)];
    std::vector<float> all(mine.size() * at(group_->size()));
    LOTSE_TRY(group_->all_gather(mine, all));
    gather_columns(all, group_->size(), row_count(op.in), columns_of(op.in),
                   values_[at(op.out)].data());
    return {};
  }

  Group* group_;  // null without one
  Program program_;
  std::vector<Weight> weights_;
  ExecutionLimits limits_;
  std::vector<std::vector<float>> values_;
  std::vector<Cache> caches_;
  Observer* observer_ = nullptr;
};

class ReferenceDevice final : public Device {
 public:
  explicit ReferenceDevice(Group* group) : group_(group) {}
  std::string_view name() const override { return "reference"; }
  std::string description() const override { return "plain scalar code, the specification"; }
  Result<std::unique_ptr<Executable>> load(const Program& program, std::vector<Weight> weights,
                                           const ExecutionLimits& limits) override {
    LOTSE_CHECK(weights.size() == program.weights.size());
    LOTSE_CHECK(group_ != nullptr || !has_collectives(program));
    return std::make_unique<ReferenceExecutable>(group_, program, std::move(weights), limits);
  }

 private:
  Group* group_;
};

}  // namespace

std::unique_ptr<Device> make_reference_device(Group* group) {
  return std::make_unique<ReferenceDevice>(group);
}

}  // namespace lotse
