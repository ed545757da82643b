// A program on an Ascend device: weights, buffers and cache there, one operator after another.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "device/ascend/attention.h"
#include "device/ascend/bidirectional.h"
#include "device/ascend/communicator.h"
#include "device/ascend/decode_graphs.h"
#include "device/ascend/fusion.h"
#include "device/ascend/linear.h"
#include "device/ascend/rules.h"
#include "device/ascend/top_logits.h"
#include "device/buffer_plan.h"
#include "device/device.h"

namespace lotse::ascend {

class AscendExecutable final : public Executable {
 public:
  // `chip` is the device's profile, whose rules say what it has; `communicator` may be null where
  // the program has no collectives.
  static Result<std::unique_ptr<Executable>> load(std::unique_ptr<Queue> queue,
                                                  std::unique_ptr<Communicator> communicator,
                                                  const ChipProfile& chip, const Program& program,
                                                  const std::vector<Weight>& weights,
                                                  const ExecutionLimits& limits);

  Result<std::span<const float>> run(const Batch& batch) override;
  int64_t max_top() const override { return TopSelector::kMost; }
  Result<TopLogits> run_top(const Batch& batch, const TopRequest& request) override;
  Result<std::span<const float>> last_logits() override;
  Result<std::span<const float>> run_hidden(const Batch& batch) override;
  Result<std::span<const float>> last_hidden() override;
  void observe(Observer* observer) override { observer_ = observer; }
  Memory memory() const override;
  Steps steps() const override { return {steps_, graphs_->replays(), graphs_->why_not()}; }
  double device_seconds() const override { return device_seconds_; }

 private:
  // cos and sin of a rope table for every position, as the rotating operator reads them.
  struct RopeVariant {
    RopeId table;
    bool interleaved;
    int64_t width;   // columns that rotate: twice the frequencies
    Buffer cosines;  // [positions, width], in the type of activations
    Buffer sines;
    Buffer step_cosines;  // [max_tokens, width]: the rows of this step's positions
    Buffer step_sines;
  };

  AscendExecutable(std::unique_ptr<Queue> queue, std::unique_ptr<Communicator> communicator,
                   const ChipProfile& chip, const Program& program, const ExecutionLimits& limits)
      : queue_(std::move(queue)),
        communicator_(std::move(communicator)),
        scratch_(*queue_),
        context_{*queue_, scratch_, has_matmul(chip, "bf16") ? AclType::bf16 : AclType::f16,
                 has_matmul(chip, "f32") ? kKeepType : kLowerF32},
        program_(program),
        limits_(limits) {}

  static bool has_matmul(const ChipProfile& chip, std::string_view type) {
    return std::ranges::find(chip.matmul, type) != chip.matmul.end();
  }

  Result<void> check_rules(const std::vector<Weight>& weights, const ChipProfile& chip);
  Result<void> prepare_weights(const std::vector<Weight>& weights, const ChipProfile& chip);
  Result<void> prepare_ropes();
  Result<RopeVariant> make_variant(RopeId table, bool interleaved);
  Result<void> allocate();
  AclType activation_type(const std::vector<Weight>& weights) const;

  Result<void> step(const Batch& batch);
  Result<View> run_bucket(int64_t bucket, const Batch& batch);
  Result<View> compute(const Batch& batch);
  // All operators up to the last that writes `result`; the result in fp32.
  Result<View> compute_until(ValueId result, const Batch& batch);
  Result<std::span<const float>> download(const View& rows, std::vector<float>& host);
  Result<void> update_attention(const Batch& batch);
  Result<void> bring_inputs(const Batch& batch, int64_t least_blocks);
  Result<void> gather_ropes();
  Result<void> show(const Op& op, const Batch& batch);
  Fusion fusion_at(size_t op) const;
  Result<void> execute_fused(size_t op, Fusion fusion, const Batch& batch);
  Result<void> add_norm(const Add& add, const RmsNorm& norm, const Batch& batch);
  Result<void> norm_quant(const View& a, const View& b, const View& sum, const RmsNorm& norm,
                          double epsilon, const Batch& batch);
  Result<void> swiglu_quant(const Linear& linear, const GatedActivation& gated, const Batch& batch);
  Result<size_t> execute_at(size_t op, const Batch& batch);

  std::optional<HeadPart> part_of(ValueId id, int64_t first, int64_t count) const;
  Result<void> norm(const RmsNorm& op, const View& in, int64_t first, const View& out);
  const RopeVariant& variant_of(const Rope& op) const;
  Result<void> rotate(const Rope& op, const View& in, const View& out);
  Result<void> rotate_part(const Rope& op, HeadPart part, const View& matrix);

  Result<void> execute(const Embed& op, const Batch& batch);
  Result<void> execute(const Linear& op, const Batch& batch);
  Result<void> execute(const RmsNorm& op, const Batch& batch);
  Result<void> execute(const LayerNorm& op, const Batch& batch);
  Result<void> execute(const Rope& op, const Batch& batch);
  Result<void> execute(const Attention& op, const Batch& batch);
  Result<void> execute(const BidirectionalAttention& op, const Batch& batch);
  Result<void> execute(const Activate& op, const Batch& batch);
  Result<void> execute(const GatedActivation& op, const Batch& batch);
  Result<void> execute(const Add& op, const Batch& batch);
  Result<void> execute(const GatherRows& op, const Batch& batch);
  Result<void> execute(const Softcap& op, const Batch& batch);
  Result<void> execute(const Moe& op, const Batch& batch);
  Result<void> execute(const LowRank& op, const Batch& batch);
  Result<void> execute(const AllReduce& op, const Batch& batch);
  Result<void> execute(const AllGather& op, const Batch& batch);

  int64_t columns(ValueId id) const { return program_.values[static_cast<size_t>(id)].columns; }
  int64_t rows(ValueId id, const Batch& batch) const;
  View value(ValueId id, const Batch& batch) const;
  bool is_quantised(ValueId id) const;
  Quantised quantised(ValueId id, const Batch& batch) const;
  const PreparedWeight& weight(WeightId id) const { return weights_[static_cast<size_t>(id)]; }

  std::unique_ptr<Queue> queue_;  // outlives every buffer below
  std::unique_ptr<Communicator> communicator_;
  Scratch scratch_;
  Context context_;
  Program program_;
  ExecutionLimits limits_;
  AclType activations_ = AclType::bf16;
  AclType cached_ = AclType::bf16;
  std::vector<PreparedWeight> weights_;
  std::vector<RopeVariant> ropes_;
  std::vector<KvCache> caches_;
  std::vector<bool> is_fused_;    // of each cache layer's attention
  std::vector<bool> is_grouped_;  // of each weight, whether it is of experts in grouped products
  Fusions fusions_;
  std::vector<int64_t> offsets_;  // of each value in the arena, in bytes
  Buffer arena_;
  Buffer integers_;  // what bring_inputs() places of a step
  Buffer causal_mask_;
  std::vector<int64_t> staged_;  // the same on the host, kept until the step has ended
  View tokens_, positions_, output_rows_, moe_index_;
  StepInputs inputs_;
  std::unique_ptr<MovedHeads> moved_;
  std::unique_ptr<DecodeGraphs> graphs_;
  View wide_;            // the last step's logits, fp32 [output rows or more, vocabulary]
  int64_t outputs_ = 0;  // output rows of the last step
  TopSelector top_;
  std::vector<float> logits_, hidden_;  // of the last step, on the host
  int64_t steps_ = 0;
  double device_seconds_ = 0;
  Observer* observer_ = nullptr;
};

}  // namespace lotse::ascend
