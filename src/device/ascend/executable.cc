#include "device/ascend/executable.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "device/ascend/exact.h"
#include "device/ascend/moe.h"

namespace lotse::ascend {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Side of the fused attention's compressed causal mask, fixed by the operator.
constexpr int64_t kMaskSide = 2048;
// aclnnRotaryPositionEmbedding's modes.
constexpr int64_t kRotateHalf = 0;
constexpr int64_t kRotateInterleaved = 1;
// aclnnGeluV2's approximation.
constexpr int64_t kGeluTanh = 1;

int64_t widest_choice(const Program& program) {
  int64_t widest = 0;
  for (const Op& op : program.ops) {
    if (const auto* moe = std::get_if<Moe>(&op.operation)) widest = std::max(widest, moe->top_k);
  }
  return widest;
}

std::vector<bool> find_routers(const Program& program) {
  std::vector<bool> is_router(program.weights.size());
  for (const Op& op : program.ops) {
    if (const auto* moe = std::get_if<Moe>(&op.operation)) is_router[at(moe->router)] = true;
  }
  return is_router;
}

// Weights that a linear or an embedding reads, as opposed to vectors.
bool is_matrix(const WeightDecl& decl) { return decl.role != WeightRole::vector; }

}  // namespace

Result<std::unique_ptr<Executable>> AscendExecutable::load(
    std::unique_ptr<Queue> queue, std::unique_ptr<Communicator> communicator,
    const ChipProfile& chip, const Program& program, const std::vector<Weight>& weights,
    const ExecutionLimits& limits) {
  if (limits.cache_type == DType::i8) {
    return fail(ErrorCode::unsupported,
                "an int8 key-value cache (--kv-dtype int8): the ascend device takes bf16");
  }
  std::unique_ptr<AscendExecutable> executable(
      new AscendExecutable(std::move(queue), std::move(communicator), chip, program, limits));
  executable->context_.exact = LOTSE_TRY(wants_exact(chip));
  LOTSE_TRY(executable->check_rules(weights, chip));
  LOTSE_TRY(executable->prepare_weights(weights, chip));
  const Quantising quantising =
      LOTSE_TRY(find_quantising(*executable->queue_, executable->activations_));
  executable->fusions_ = find_fusions(program, executable->weights_, quantising);
  LOTSE_TRY(executable->prepare_ropes());
  LOTSE_TRY(executable->allocate());
  return executable;
}

// fp32 where every linear is fp32 or the mode is exact, fp16 where linears are fp16 or the device
// has nothing else.
AclType AscendExecutable::activation_type(const std::vector<Weight>& weights) const {
  if (context_.exact) return AclType::f32;
  bool is_all_f32 = true;
  bool has_f16 = false;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!is_matrix(program_.weights[i])) continue;
    for (const WeightPart& part : weights[i].parts) {
      is_all_f32 &= part.format == WeightFormat::f32;
      has_f16 |= part.format == WeightFormat::f16;
    }
  }
  if (is_all_f32) return AclType::f32;
  return has_f16 ? AclType::f16 : context_.half;
}

Result<void> AscendExecutable::check_rules(const std::vector<Weight>& weights,
                                           const ChipProfile& chip) {
  activations_ = activation_type(weights);
  if (activations_ != AclType::f32) context_.half = activations_;
  cached_ = limits_.cache_type == DType::f32 ? AclType::f32 : context_.half;
  const std::vector<Support> answers = LOTSE_TRY(check_program(
      program_, weights, activations_, cached_, limits_.max_context, chip, context_.exact));
  is_fused_.resize(program_.cache_layers.size());
  is_grouped_.resize(program_.weights.size());
  for (size_t i = 0; i < answers.size(); ++i) {
    const bool is_native = answers[i].status == Support::Status::native;
    if (const auto* moe = std::get_if<Moe>(&program_.ops[i].operation)) {
      is_grouped_[at(moe->gate_up)] = is_native && !context_.exact;
    }
    if (const auto* attention = std::get_if<Attention>(&program_.ops[i].operation)) {
      is_fused_[at(attention->cache_layer)] = is_native && activations_ == cached_;
    }
  }
  return {};
}

Result<void> AscendExecutable::prepare_weights(const std::vector<Weight>& weights,
                                               const ChipProfile& chip) {
  const Preparation preparation{context_.half, prefers_fractal_nz(has_matmul(chip, "bf16")),
                                context_.exact};
  const std::vector<bool> is_router = find_routers(program_);
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightDecl& decl = program_.weights[i];
    weights_.push_back(LOTSE_TRY(!is_matrix(decl)
                                     ? prepare_vector(*queue_, decl, weights[i], activations_)
                                 : is_router[i] && !context_.exact
                                     ? prepare_wide(*queue_, decl, weights[i])
                                     : prepare_weight(*queue_, decl, weights[i], preparation)));
  }
  return {};
}

Result<void> AscendExecutable::prepare_ropes() {
  for (const Op& op : program_.ops) {
    const auto* rope = std::get_if<Rope>(&op.operation);
    if (rope == nullptr) continue;
    const bool is_known = std::ranges::any_of(ropes_, [&](const RopeVariant& variant) {
      return variant.table == rope->table && variant.interleaved == rope->interleaved;
    });
    if (!is_known) ropes_.push_back(LOTSE_TRY(make_variant(rope->table, rope->interleaved)));
  }
  return {};
}

Result<AscendExecutable::RopeVariant> AscendExecutable::make_variant(RopeId id, bool interleaved) {
  const RopeTable& table = program_.ropes[at(id)];
  const auto pairs = std::ssize(table.inverse_frequency);
  RopeVariant variant{id, interleaved, 2 * pairs, {}, {}, {}, {}};
  std::vector<float> cosines(at(limits_.max_context * variant.width));
  std::vector<float> sines(cosines.size());
  for (int64_t p = 0; p < limits_.max_context; ++p) {
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<float>(p) * table.inverse_frequency[at(i)];
      const auto scale = static_cast<double>(table.scale);
      const int64_t row = p * variant.width;
      for (const int64_t column :
           interleaved ? std::array{2 * i, 2 * i + 1} : std::array{i, i + pairs}) {
        cosines[at(row + column)] = static_cast<float>(std::cos(angle) * scale);
        sines[at(row + column)] = static_cast<float>(std::sin(angle) * scale);
      }
    }
  }
  variant.cosines = LOTSE_TRY(queue_->upload(encode(cosines, activations_), "rope tables"));
  variant.sines = LOTSE_TRY(queue_->upload(encode(sines, activations_), "rope tables"));
  const int64_t bytes = bytes_of(activations_, limits_.max_tokens * variant.width);
  variant.step_cosines = LOTSE_TRY(queue_->allocate(bytes, "rope tables"));
  variant.step_sines = LOTSE_TRY(queue_->allocate(bytes, "rope tables"));
  return variant;
}

Result<void> AscendExecutable::allocate() {
  BufferPlan plan =
      plan_buffers(with_longer_lives(program_, fusions_), limits_.max_tokens, limits_.max_outputs);
  offsets_ = std::move(plan.offset);
  const int64_t size = bytes_of(activations_, 1);
  for (int64_t& offset : offsets_) offset = offset / int64_t{sizeof(float)} * size;
  arena_ = LOTSE_TRY(queue_->allocate(plan.bytes / int64_t{sizeof(float)} * size, "activations"));
  moved_ = std::make_unique<MovedHeads>(context_, program_, is_fused_);
  graphs_ = std::make_unique<DecodeGraphs>(
      *queue_, limits_, why_not_captured(queue_->library(), program_, is_fused_, is_grouped_));
  ExecutionLimits with_spare = limits_;
  if (graphs_->is_on()) ++with_spare.cache_blocks;
  for (const CacheLayer& layer : program_.cache_layers) {
    caches_.push_back(LOTSE_TRY(KvCache::allocate(*queue_, layer, with_spare, cached_)));
  }
  const int64_t slots = limits_.max_sequences * limits_.max_context;
  const int64_t blocks =
      limits_.max_sequences * ceil_div(limits_.max_context, limits_.block_tokens);
  const int64_t words = 3 * limits_.max_tokens + limits_.max_outputs + slots + blocks +
                        limits_.max_tokens * widest_choice(program_);
  integers_ = LOTSE_TRY(queue_->allocate(words * 8, "inputs of a step"));
  if (std::ranges::find(is_fused_, true) == is_fused_.end()) return {};
  std::vector<std::byte> mask(at(kMaskSide * kMaskSide));
  for (int64_t q = 0; q < kMaskSide; ++q) {
    for (int64_t k = q + 1; k < kMaskSide; ++k) mask[at(q * kMaskSide + k)] = std::byte{1};
  }
  causal_mask_ = LOTSE_TRY(queue_->upload(mask, "the causal mask"));
  inputs_.causal_mask = View::dense(causal_mask_.data(), AclType::boolean, {kMaskSide, kMaskSide});
  return {};
}

Executable::Memory AscendExecutable::memory() const {
  Memory memory;
  for (const PreparedWeight& weight : weights_) memory.weights += weight.bytes();
  for (const KvCache& cache : caches_) memory.cache += cache.keys.size() + cache.values.size();
  memory.working = arena_.size() + integers_.size() + causal_mask_.size() + scratch_.bytes();
  for (const RopeVariant& rope : ropes_) {
    memory.working += 2 * (rope.cosines.size() + rope.step_cosines.size());
  }
  return memory;
}

int64_t AscendExecutable::rows(ValueId id, const Batch& batch) const {
  const bool tokens = program_.values[at(id)].rows == Rows::tokens;
  return static_cast<int64_t>(tokens ? batch.tokens.size() : batch.output_rows.size());
}

View AscendExecutable::value(ValueId id, const Batch& batch) const {
  return View::dense(arena_.data() + offsets_[at(id)], activations_,
                     {rows(id, batch), columns(id)});
}

// All of a step's integers in one copy. Indices are i64; the block table, i32 by the operator's
// rule, is packed two to a word. With `least_blocks` of the longest context the layout depends on
// the batch's size alone.
Result<void> AscendExecutable::bring_inputs(const Batch& batch, int64_t least_blocks) {
  staged_.clear();
  const auto place = [&](AclType type, std::vector<int64_t> shape) {
    return View::dense(integers_.data() + 8 * std::ssize(staged_), type, std::move(shape));
  };
  const auto count = std::ssize(batch.tokens);
  tokens_ = place(AclType::i64, {count});
  staged_.insert(staged_.end(), batch.tokens.begin(), batch.tokens.end());
  positions_ = place(AclType::i64, {count});
  staged_.insert(staged_.end(), batch.positions.begin(), batch.positions.end());
  output_rows_ = place(AclType::i64, {std::ssize(batch.output_rows)});
  staged_.insert(staged_.end(), batch.output_rows.begin(), batch.output_rows.end());

  const auto slot = [&](const BatchSequence& sequence, int64_t position) {
    return sequence.blocks[at(position / limits_.block_tokens)] * limits_.block_tokens +
           position % limits_.block_tokens;
  };
  inputs_.slots = place(AclType::i64, {count});
  staged_.resize(staged_.size() + at(count));
  const auto slots = staged_.end() - count;
  for (const BatchSequence& sequence : batch.sequences) {
    for (int64_t i = 0; i < sequence.tokens; ++i) {
      slots[sequence.first_token + i] = slot(sequence, sequence.context - sequence.tokens + i);
    }
  }
  const bool gathers = std::ranges::find(is_fused_, false) != is_fused_.end();
  int64_t contexts = 0;
  int64_t blocks_each = least_blocks;
  for (const BatchSequence& sequence : batch.sequences) {
    if (gathers) contexts += sequence.context;
    blocks_each = std::max(blocks_each, ceil_div(sequence.context, limits_.block_tokens));
  }
  inputs_.all_slots = place(AclType::i64, {contexts});
  for (const BatchSequence& sequence : batch.sequences) {
    for (int64_t p = 0; gathers && p < sequence.context; ++p) staged_.push_back(slot(sequence, p));
  }
  const auto sequences = std::ssize(batch.sequences);
  inputs_.blocks = place(AclType::i32, {sequences, blocks_each});
  std::vector<int32_t> table(at(round_up(sequences * blocks_each, 2)));
  for (int64_t s = 0; s < sequences; ++s) {
    const BatchSequence& sequence = batch.sequences[at(s)];
    const int64_t used = ceil_div(sequence.context, limits_.block_tokens);
    std::copy_n(sequence.blocks.begin(), used, table.begin() + s * blocks_each);
  }
  for (size_t i = 0; i < table.size(); i += 2) {
    staged_.push_back(static_cast<int64_t>(static_cast<uint32_t>(table[i])) |
                      static_cast<int64_t>(table[i + 1]) << 32);
  }
  const int64_t choices = widest_choice(program_) * count;
  moe_index_ = place(AclType::i64, {choices});
  return queue_->copy_in(integers_.data(), std::as_bytes(std::span(staged_)));
}

Result<void> AscendExecutable::gather_ropes() {
  const int64_t tokens = positions_.shape[0];
  for (const RopeVariant& rope : ropes_) {
    const auto select = [&](const Buffer& table, const Buffer& step) {
      const View all = View::dense(table.data(), activations_, {limits_.max_context, rope.width});
      const View rows = View::dense(step.data(), activations_, {tokens, rope.width});
      return queue_->run(queue_->library().index_select, queue_->tensor(all), 0,
                         queue_->tensor(positions_), queue_->tensor(rows));
    };
    LOTSE_TRY(select(rope.cosines, rope.step_cosines));
    LOTSE_TRY(select(rope.sines, rope.step_sines));
  }
  return {};
}

// An observer sees every value, so nothing is fused then.
Fusion AscendExecutable::fusion_at(size_t op) const {
  return observer_ == nullptr ? fusions_.at[op] : Fusion::none;
}

bool AscendExecutable::is_quantised(ValueId id) const {
  return observer_ == nullptr && fusions_.is_quantised[at(id)];
}

// Where the value would be in 16 bits: the numbers, then the scales.
Quantised AscendExecutable::quantised(ValueId id, const Batch& batch) const {
  std::byte* begin = arena_.data() + offsets_[at(id)];
  const int64_t tokens = rows(id, batch);
  const int64_t numbers = ceil_div(tokens * columns(id), kScaleAlignment) * kScaleAlignment;
  return {View::dense(begin, AclType::i8, {tokens, columns(id)}),
          View::dense(begin + numbers, AclType::f32, {tokens})};
}

Result<void> AscendExecutable::execute_fused(size_t op, Fusion fusion, const Batch& batch) {
  const Operation& first = program_.ops[op].operation;
  switch (fusion) {
    case Fusion::add_norm:
      return add_norm(std::get<Add>(first), std::get<RmsNorm>(program_.ops[op + 1].operation),
                      batch);
    case Fusion::add_norm_quant: {
      const Add& add = std::get<Add>(first);
      const RmsNorm& norm = std::get<RmsNorm>(program_.ops[op + 1].operation);
      return norm_quant(value(add.a, batch), value(add.b, batch), value(add.out, batch), norm,
                        static_cast<double>(norm.epsilon), batch);
    }
    case Fusion::norm_quant: {
      // The operator adds, so x + x is normed with 4ε, which is exactly the norm of x with ε.
      const RmsNorm& norm = std::get<RmsNorm>(first);
      const View x = value(norm.in, batch);
      const View twice = LOTSE_TRY(scratch_.view(Slot::rotated, activations_, x.shape));
      return norm_quant(x, x, twice, norm, 4 * static_cast<double>(norm.epsilon), batch);
    }
    case Fusion::swiglu_quant:
      return swiglu_quant(std::get<Linear>(first),
                          std::get<GatedActivation>(program_.ops[op + 1].operation), batch);
    case Fusion::none:
      break;
  }
  return std::visit([&](const auto& operation) { return execute(operation, batch); }, first);
}

Result<void> AscendExecutable::add_norm(const Add& add, const RmsNorm& norm, const Batch& batch) {
  const View sum = value(add.out, batch);
  const View gamma = View::dense(weight(norm.weight).vector.data(), activations_, {norm.width});
  const View rstd = LOTSE_TRY(scratch_.view(Slot::norm, AclType::f32, {sum.shape[0], 1}));
  return queue_->run(queue_->library().add_rms_norm, queue_->tensor(value(add.a, batch)),
                     queue_->tensor(value(add.b, batch)), queue_->tensor(gamma),
                     static_cast<double>(norm.epsilon), queue_->tensor(value(norm.out, batch)),
                     queue_->tensor(rstd), queue_->tensor(sum));
}

Result<void> AscendExecutable::norm_quant(const View& a, const View& b, const View& sum,
                                          const RmsNorm& norm, double epsilon, const Batch& batch) {
  const View gamma = View::dense(weight(norm.weight).vector.data(), activations_, {norm.width});
  const Quantised out = quantised(norm.out, batch);
  // The operator's second result has no meaning here, but must have room.
  const View other = LOTSE_TRY(scratch_.view(Slot::quantised, AclType::i8, sum.shape));
  const View scales = LOTSE_TRY(scratch_.view(Slot::token_scales, AclType::f32, {sum.shape[0]}));
  return queue_->run(queue_->library().add_rms_norm_quant, queue_->tensor(a), queue_->tensor(b),
                     queue_->tensor(gamma), nullptr, nullptr, epsilon, queue_->tensor(out.values),
                     queue_->tensor(other), queue_->tensor(sum), queue_->tensor(out.scales),
                     queue_->tensor(scales));
}

Result<void> AscendExecutable::swiglu_quant(const Linear& linear, const GatedActivation& gated,
                                            const Batch& batch) {
  const Quantised in = is_quantised(linear.in)
                           ? quantised(linear.in, batch)
                           : LOTSE_TRY(quantise(context_, value(linear.in, batch)));
  return gated_linear(context_, in, weight(linear.weight), quantised(gated.out, batch));
}

// Runs the operator, together with its successor where the two are one on the device; returns how
// many operators were run.
Result<size_t> AscendExecutable::execute_at(size_t i, const Batch& batch) {
  const Op& op = program_.ops[i];
  const Fusion fusion = fusion_at(i);
  const Result<void> done = execute_fused(i, fusion, batch);
  if (!done) return fail(done.error().code, "operator {}: {}", op.name, done.error().message);
  if (observer_ != nullptr) LOTSE_TRY(show(op, batch));
  return length_of(fusion);
}

// Everything that a step does once its inputs lie on the device; the logits in fp32.
Result<View> AscendExecutable::compute(const Batch& batch) {
  return compute_until(program_.logits, batch);
}

Result<View> AscendExecutable::compute_until(ValueId result, const Batch& batch) {
  LOTSE_CHECK(result != kNone);
  moved_->clear();
  LOTSE_TRY(gather_ropes());
  const size_t end = operators_until(program_, result).size();
  for (size_t i = 0; i < end;) i += LOTSE_TRY(execute_at(i, batch));
  return converted(context_, value(result, batch), AclType::f32, Slot::cast_out);
}

Result<View> AscendExecutable::run_bucket(int64_t bucket, const Batch& batch) {
  const PaddedBatch padded(batch, bucket, static_cast<int32_t>(limits_.cache_blocks));
  const Batch step = padded.batch();
  LOTSE_TRY(bring_inputs(step, ceil_div(limits_.max_context, limits_.block_tokens)));
  const auto update = [&](int32_t ahead) -> Result<void> {
    std::vector<BatchSequence> sequences(step.sequences.begin(), step.sequences.end());
    for (size_t s = 0; s < batch.sequences.size(); ++s) sequences[s].context += ahead;
    return update_attention({step.tokens, step.positions, sequences, step.output_rows});
  };
  return graphs_->run(bucket, {batch.sequences, [&] { return compute(step); }, update});
}

Result<void> AscendExecutable::update_attention(const Batch& batch) {
  for (const Op& op : program_.ops) {
    const auto* attention = std::get_if<Attention>(&op.operation);
    if (attention != nullptr) LOTSE_TRY(execute(*attention, batch));
  }
  return {};
}

Result<void> AscendExecutable::step(const Batch& batch) {
  if (program_.logits == kNone) return std::unexpected(no_logits());
  LOTSE_TRY(queue_->enter());
  LOTSE_TRY(queue_->start_timer());
  const int64_t bucket = observer_ == nullptr ? graphs_->bucket_of(batch) : 0;
  if (bucket == 0) LOTSE_TRY(bring_inputs(batch, 1));
  wide_ = LOTSE_TRY(bucket == 0 ? compute(batch) : run_bucket(bucket, batch));
  outputs_ = std::ssize(batch.output_rows);
  ++steps_;
  return {};
}

Result<std::span<const float>> AscendExecutable::run(const Batch& batch) {
  LOTSE_TRY(step(batch));
  device_seconds_ += LOTSE_TRY(queue_->stop_timer());
  return last_logits();
}

Result<std::span<const float>> AscendExecutable::last_logits() { return download(wide_, logits_); }

// The output rows of the last step, of a value in fp32 that may have more.
Result<std::span<const float>> AscendExecutable::download(const View& rows,
                                                          std::vector<float>& host) {
  host.resize(at(outputs_ * rows.shape[1]));
  LOTSE_TRY(queue_->download(rows.data, std::as_writable_bytes(std::span(host))));
  return std::span<const float>(host);
}

Result<std::span<const float>> AscendExecutable::run_hidden(const Batch& batch) {
  LOTSE_TRY(queue_->enter());
  LOTSE_TRY(queue_->start_timer());
  LOTSE_TRY(bring_inputs(batch, 1));
  const View hidden = LOTSE_TRY(compute_until(program_.hidden, batch));
  outputs_ = std::ssize(batch.output_rows);
  ++steps_;
  device_seconds_ += LOTSE_TRY(queue_->stop_timer());
  return download(hidden, hidden_);
}

Result<std::span<const float>> AscendExecutable::last_hidden() {
  LOTSE_CHECK(program_.hidden != kNone);
  const View made = View::dense(arena_.data() + offsets_[at(program_.hidden)], activations_,
                                {outputs_, columns(program_.hidden)});
  return download(LOTSE_TRY(converted(context_, made, AclType::f32, Slot::cast_out)), hidden_);
}

Result<TopLogits> AscendExecutable::run_top(const Batch& batch, const TopRequest& request) {
  LOTSE_CHECK(request.count >= 1 && request.count <= TopSelector::kMost);
  LOTSE_TRY(step(batch));
  const TopLogits top = LOTSE_TRY(top_.select(context_, wide_, outputs_, request));
  device_seconds_ += LOTSE_TRY(queue_->stop_timer());
  return top;
}

// The value that the operator made goes to the host and back, in fp32 there.
Result<void> AscendExecutable::show(const Op& op, const Batch& batch) {
  const View made = value(output_of(op.operation), batch);
  const View wide = LOTSE_TRY(converted(context_, made, AclType::f32, Slot::cast_out));
  std::vector<float> host(at(made.elements()));
  LOTSE_TRY(queue_->download(wide.data, std::as_writable_bytes(std::span(host))));
  LOTSE_TRY(observer_->on_value(op, host, made.shape[0], made.shape[1]));
  LOTSE_TRY(queue_->copy_in(wide.data, std::as_bytes(std::span(host))));
  if (wide.data != made.data) LOTSE_TRY(copy(context_, wide, made));
  return queue_->synchronise();
}

Result<void> AscendExecutable::execute(const Embed& op, const Batch& batch) {
  const Segment& table = weight(op.table).segments.front();
  const AclType type = table.type();
  const View out = value(op.out, batch);
  const View all = View::dense(table.data.data(), type, {table.rows, table.columns})
                       .rows(op.first_row, table.rows - op.first_row);
  if (op.by == EmbedBy::nothing) {
    return copy(context_, all.as(out.shape, {0, 1}), out);
  }
  const View rows =
      type == activations_ ? out : LOTSE_TRY(scratch_.view(Slot::cast_in, type, out.shape));
  LOTSE_TRY(queue_->run(queue_->library().embedding, queue_->tensor(all),
                        queue_->tensor(op.by == EmbedBy::token ? tokens_ : positions_),
                        queue_->tensor(rows)));
  if (type != activations_) LOTSE_TRY(copy(context_, rows, out));
  if (op.scale == 1) return {};
  return queue_->run(queue_->library().inplace_muls, queue_->tensor(out), queue_->scalar(op.scale));
}

Result<void> AscendExecutable::execute(const Linear& op, const Batch& batch) {
  const PreparedWeight* bias = op.bias == kNone ? nullptr : &weight(op.bias);
  const View out = value(op.out, batch);
  return is_quantised(op.in)
             ? linear(context_, quantised(op.in, batch), weight(op.weight), bias, out)
             : linear(context_, value(op.in, batch), weight(op.weight), bias, out);
}

Result<void> AscendExecutable::execute(const RmsNorm& op, const Batch& batch) {
  const View matrix = value(op.in, batch);
  const auto part = part_of(op.in, op.first_column, op.groups * op.width);
  if (part && op.in == op.out) {
    const View in = moved_->content(*part, op.in, matrix);
    return norm(op, in, 0, LOTSE_TRY(moved_->become(*part, op.in, matrix, false)));
  }
  LOTSE_TRY(moved_->settle(op.in, matrix));
  if (op.groups * op.width == columns(op.out)) {
    return norm(op, matrix, op.first_column, value(op.out, batch));
  }
  const std::vector<int64_t> shape = {matrix.shape[0], op.groups * op.width};
  const View normed = LOTSE_TRY(scratch_.view(Slot::rotated, activations_, shape));
  LOTSE_TRY(norm(op, matrix, op.first_column, normed));
  const View out = value(op.out, batch);
  return copy(context_, normed, out.as(shape, out.strides, op.first_column));
}

// Norms groups of columns of `in` from `first` on into `out`, which is dense.
Result<void> AscendExecutable::norm(const RmsNorm& op, const View& in, int64_t first,
                                    const View& out) {
  const auto grouped = [&](const View& matrix, int64_t column) {
    return matrix.as({matrix.shape[0], op.groups, op.width}, {matrix.strides[0], op.width, 1},
                     column);
  };
  const View gamma = View::dense(weight(op.weight).vector.data(), activations_, {op.width});
  const View rstd = LOTSE_TRY(scratch_.view(Slot::norm, AclType::f32, {in.shape[0], op.groups, 1}));
  return queue_->run(queue_->library().rms_norm, queue_->tensor(grouped(in, first)),
                     queue_->tensor(gamma), static_cast<double>(op.epsilon),
                     queue_->tensor(grouped(out, 0)), queue_->tensor(rstd));
}

Result<void> AscendExecutable::execute(const LayerNorm& op, const Batch& batch) {
  const View in = value(op.in, batch);
  const std::vector<int64_t> width = {in.shape[1]};
  const auto vector = [&](WeightId id) {
    return queue_->tensor(View::dense(weight(id).vector.data(), activations_, width));
  };
  return queue_->run(queue_->library().layer_norm, queue_->tensor(in), queue_->ints(width),
                     vector(op.weight), vector(op.bias), static_cast<double>(op.epsilon),
                     queue_->tensor(value(op.out, batch)), nullptr, nullptr);
}

Result<void> AscendExecutable::execute(const Rope& op, const Batch& batch) {
  const View matrix = value(op.value, batch);
  const int64_t width = op.heads * op.head_dim;
  // Queries and keys may be rotated together, but go different ways from here.
  const int64_t queries =
      op.first_column == 0 ? std::min(moved_->query_columns(op.value), width) : 0;
  const bool is_whole_head = variant_of(op).width == op.head_dim;
  if (is_whole_head && (queries == 0 || part_of(op.value, 0, queries)) &&
      (queries == width || part_of(op.value, op.first_column + queries, width - queries))) {
    if (queries > 0) LOTSE_TRY(rotate_part(op, HeadPart::queries, matrix));
    return queries == width ? Result<void>() : rotate_part(op, HeadPart::keys, matrix);
  }
  LOTSE_TRY(moved_->settle(op.value, matrix));
  const View heads = matrix.as({matrix.shape[0], op.heads, variant_of(op).width},
                               {matrix.strides[0], op.head_dim, 1}, op.first_column);
  const View rotated = LOTSE_TRY(scratch_.view(Slot::rotated, activations_, heads.shape));
  LOTSE_TRY(rotate(op, heads, rotated));
  return copy(context_, rotated, heads);
}

Result<void> AscendExecutable::rotate_part(const Rope& op, HeadPart part, const View& matrix) {
  const View in = moved_->content(part, op.value, matrix);
  const View out = LOTSE_TRY(moved_->become(part, op.value, matrix, true));
  const auto by_heads = [&](const View& rows) {
    return rows.as({rows.shape[0], rows.shape[1] / op.head_dim, op.head_dim},
                   {rows.strides[0], op.head_dim, 1});
  };
  return rotate(op, by_heads(in), by_heads(out));
}

const AscendExecutable::RopeVariant& AscendExecutable::variant_of(const Rope& op) const {
  return *std::ranges::find_if(ropes_, [&](const RopeVariant& variant) {
    return variant.table == op.table && variant.interleaved == op.interleaved;
  });
}

// out = the rotated heads of `in`, both [tokens, heads, columns that rotate].
Result<void> AscendExecutable::rotate(const Rope& op, const View& in, const View& out) {
  const RopeVariant& rope = variant_of(op);
  const int64_t tokens = in.shape[0];
  const auto batched = [&](const View& heads) {
    return heads.as({1, tokens, heads.shape[1], heads.shape[2]},
                    {tokens * heads.strides[0], heads.strides[0], heads.strides[1], 1});
  };
  const std::vector<int64_t> shape = {1, tokens, 1, rope.width};
  return queue_->run(queue_->library().rope, queue_->tensor(batched(in)),
                     queue_->tensor(View::dense(rope.step_cosines.data(), activations_, shape)),
                     queue_->tensor(View::dense(rope.step_sines.data(), activations_, shape)),
                     op.interleaved ? kRotateInterleaved : kRotateHalf,
                     queue_->tensor(batched(out)));
}

// Where the columns are what a fused attention takes, and nobody looks at values in between.
std::optional<HeadPart> AscendExecutable::part_of(ValueId id, int64_t first, int64_t count) const {
  return observer_ == nullptr ? moved_->part_of(id, first, count) : std::nullopt;
}

Result<void> AscendExecutable::execute(const Attention& op, const Batch& batch) {
  LOTSE_TRY(run_attention(context_, op, caches_[at(op.cache_layer)], batch, inputs_, limits_,
                          is_fused_[at(op.cache_layer)], value(op.qkv, batch), *moved_,
                          value(op.out, batch)));
  moved_->clear();
  return {};
}

Result<void> AscendExecutable::execute(const BidirectionalAttention& op, const Batch& batch) {
  return run_bidirectional(context_, op, batch, value(op.qkv, batch), value(op.out, batch));
}

Result<void> AscendExecutable::execute(const Activate& op, const Batch& batch) {
  const Library& library = queue_->library();
  const auto in = queue_->tensor(value(op.in, batch));
  const auto out = queue_->tensor(value(op.out, batch));
  switch (op.activation) {
    case Activation::silu:
      return queue_->run(library.silu, in, out);
    case Activation::gelu_erf:
      return queue_->run(library.gelu, in, out);
    case Activation::gelu_tanh:
      break;
  }
  return queue_->run(library.gelu_v2, in, kGeluTanh, out);
}

Result<void> AscendExecutable::execute(const GatedActivation& op, const Batch& batch) {
  return gated_activation(context_, op.activation, value(op.in, batch), value(op.out, batch));
}

Result<void> AscendExecutable::execute(const Add& op, const Batch& batch) {
  return queue_->run(queue_->library().add, queue_->tensor(value(op.a, batch)),
                     queue_->tensor(value(op.b, batch)), queue_->scalar(1),
                     queue_->tensor(value(op.out, batch)));
}

Result<void> AscendExecutable::execute(const GatherRows& op, const Batch& batch) {
  return queue_->run(queue_->library().index_select, queue_->tensor(value(op.in, batch)), 0,
                     queue_->tensor(output_rows_), queue_->tensor(value(op.out, batch)));
}

Result<void> AscendExecutable::execute(const Softcap& op, const Batch& batch) {
  const View x = value(op.value, batch);
  const auto multiply = [&](float factor) {
    return queue_->run(queue_->library().inplace_muls, queue_->tensor(x), queue_->scalar(factor));
  };
  LOTSE_TRY(multiply(1 / op.cap));
  LOTSE_TRY(queue_->run(queue_->library().tanh, queue_->tensor(x), queue_->tensor(x)));
  return multiply(op.cap);
}

Result<void> AscendExecutable::execute(const LowRank&, const Batch&) {
  return fail(ErrorCode::unsupported, "adapters on ascend");  // check_program() refused them
}

Result<void> AscendExecutable::execute(const Moe& op, const Batch& batch) {
  const MoeWeights weights{weight(op.router), weight(op.gate_up), weight(op.down)};
  const View in = value(op.in, batch);
  const View out = value(op.out, batch);
  if (is_grouped_[at(op.gate_up)]) return run_grouped_moe(context_, op, weights, in, out);
  return run_moe(context_, op, weights, moe_index_, in, out);
}

Result<void> AscendExecutable::execute(const AllReduce& op, const Batch& batch) {
  return communicator_->all_reduce(value(op.value, batch));
}

Result<void> AscendExecutable::execute(const AllGather& op, const Batch& batch) {
  const View mine = value(op.in, batch);
  const int64_t ranks = communicator_->size();
  const View parts =
      LOTSE_TRY(scratch_.view(Slot::gathered, mine.type, {ranks, mine.shape[0], mine.shape[1]}));
  LOTSE_TRY(communicator_->all_gather(mine, parts));
  const View out = value(op.out, batch);
  return copy(context_, parts, out.as(parts.shape, {mine.shape[1], out.strides[0], 1}));
}

}  // namespace lotse::ascend
