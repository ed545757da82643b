// A program on the cpu device: prepared weights, planned buffers, cache, and the loop over its
// operators.
#pragma once

#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "device/collective/group.h"
#include "device/cpu/bidirectional.h"
#include "device/cpu/kv_cache.h"
#include "device/cpu/linear.h"
#include "device/cpu/moe.h"
#include "device/device.h"

namespace lotse::cpu {

// One weight of the program in the form its role needs; the other fields are empty.
struct PreparedWeight {
  PackedWeight packed;        // matrix, experts
  Weight table;               // table: the stored rows
  std::vector<float> vector;  // vector: its elements plus the declared offset
};

class CpuExecutable final : public Executable {
 public:
  static Result<std::unique_ptr<Executable>> load(
      const KernelTable& kernels, std::shared_ptr<ThreadPool> pool, const Program& program,
      std::vector<Weight> weights, const ExecutionLimits& limits, Group* group = nullptr);

  Result<std::span<const float>> run(const Batch& batch) override;
  Result<std::span<const float>> run_hidden(const Batch& batch) override;
  Result<std::span<const float>> last_hidden() override;
  void observe(Observer* observer) override { observer_ = observer; }
  Memory memory() const override;

 private:
  CpuExecutable(const KernelTable& kernels, std::shared_ptr<ThreadPool> pool, Group* group,
                const Program& program, const ExecutionLimits& limits)
      : kernels_(kernels),
        pool_(std::move(pool)),
        group_(group),
        program_(program),
        limits_(limits) {}

  Result<void> prepare_weights(std::vector<Weight> weights);
  Result<void> allocate();
  void check(const Batch& batch) const;
  void prepare_ropes(const Batch& batch);
  // All operators up to the last that writes `result`.
  Result<void> run_until(ValueId result, const Batch& batch);
  std::span<const float> rows_made(ValueId result) const;

  void execute(const Embed& op, const Batch& batch);
  void execute(const Linear& op, const Batch& batch);
  void execute(const RmsNorm& op, const Batch& batch);
  void execute(const LayerNorm& op, const Batch& batch);
  void execute(const Rope& op, const Batch& batch);
  void execute(const Attention& op, const Batch& batch);
  void execute(const BidirectionalAttention& op, const Batch& batch);
  void execute(const Activate& op, const Batch& batch);
  void execute(const GatedActivation& op, const Batch& batch);
  void execute(const Add& op, const Batch& batch);
  void execute(const GatherRows& op, const Batch& batch);
  void execute(const Softcap& op, const Batch& batch);
  void execute(const Moe& op, const Batch& batch);
  void execute(const LowRank& op, const Batch& batch);
  void add_low_rank(const LowRank& op, int64_t first, int64_t count);
  Result<void> execute(const AllReduce& op, const Batch& batch);
  Result<void> execute(const AllGather& op, const Batch& batch);

  const PreparedWeight& weight(WeightId id) const { return weights_[static_cast<size_t>(id)]; }
  int64_t columns(ValueId id) const { return program_.values[static_cast<size_t>(id)].columns; }
  int64_t rows(ValueId id, const Batch& batch) const;
  float* data(ValueId id) const;

  const KernelTable& kernels_;
  std::shared_ptr<ThreadPool> pool_;
  Group* group_;  // null without one
  Program program_;
  ExecutionLimits limits_;
  Observer* observer_ = nullptr;
  int64_t outputs_ = 0;  // rows of the last step

  std::vector<PreparedWeight> weights_;
  std::vector<KvCache> caches_;
  std::vector<int64_t> offsets_;  // of each value in the arena, bytes
  HugeBuffer arena_;
  LinearScratch linears_;
  MoeScratch moe_;
  HugeBuffer attention_;
  HugeBuffer adapters_;  // [max_tokens, rank] and [max_tokens, outputs] of the largest adapter
  std::vector<StepKeys> step_keys_;  // one for each shape of heads that bidirectional attention has
  std::vector<float> gathered_;      // [ranks, rows, columns] as the ranks gave them
  // For each rope table [max_tokens, pairs] cosines, then as many sines, of the step's positions.
  std::vector<HugeBuffer> ropes_;
};

}  // namespace lotse::cpu
