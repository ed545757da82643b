// Which steps run as captured graphs: decode steps, in buckets of batch sizes.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device/ascend/queue.h"
#include "device/device.h"

namespace lotse::ascend {

// A decode step made as large as its bucket. The rows added attend to one token in a block of the
// cache that no sequence has; what they compute is ignored.
class PaddedBatch {
 public:
  PaddedBatch(const Batch& batch, int64_t size, int32_t spare_block);
  PaddedBatch(const PaddedBatch&) = delete;
  PaddedBatch& operator=(const PaddedBatch&) = delete;

  Batch batch() const { return {tokens_, positions_, sequences_, output_rows_}; }

 private:
  int32_t spare_block_;
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<BatchSequence> sequences_;
  std::vector<int32_t> output_rows_;
};

// Graphs by bucket: powers of two, and the largest batch. The first step of a bucket is run as it
// is, which makes working memory as large as it has to be, the second is captured, and from then on
// the graph is replayed until working memory moves. While a replay runs, the host puts lengths that
// are greater by one into the graph, and the next step is ready when its sequences are the same.
class DecodeGraphs {
 public:
  // `why_not` is empty where decode steps can be captured. `limits` bound the batch.
  DecodeGraphs(Queue& queue, const ExecutionLimits& limits, std::string why_not);

  bool is_on() const { return why_not_.empty(); }
  // Why steps are not captured; empty when they are.
  const std::string& why_not() const { return why_not_; }

  // The bucket of a step in which every sequence has one token; 0 for others, and when off.
  int64_t bucket_of(const Batch& batch) const;

  // What a step does, in terms of the queue. `compute` runs all operators on inputs that lie on the
  // device and returns the result; `update` runs the updatable ones among them, with contexts that
  // are longer by `ahead`.
  struct Step {
    std::span<const BatchSequence> sequences;  // without the rows added
    std::function<Result<View>()> compute;
    std::function<Result<void>(int32_t ahead)> update;
  };
  // Runs a step of a bucket by whatever is right. When a capture fails, the reason is said once and
  // all steps from then on are run as they are.
  Result<View> run(int64_t bucket, const Step& step);

  int64_t replays() const { return replays_; }

 private:
  struct Bucket {
    std::unique_ptr<Graph> graph;
    View result;
    int64_t allocations = -1;       // of the queue when the graph was captured
    std::vector<int32_t> contexts;  // of the sequences that the graph would attend to now
  };

  Result<void> run_graph(Bucket& bucket, const Step& step);
  Result<void> capture(Bucket& bucket, const Step& step);
  Result<void> update(Bucket& bucket, const Step& step, int32_t ahead);
  bool is_current(const Bucket& bucket) const {
    return bucket.graph != nullptr && bucket.allocations == queue_.allocations();
  }

  Queue& queue_;
  int64_t most_;
  int64_t max_context_;
  std::string why_not_;
  std::map<int64_t, Bucket> buckets_;
  int64_t replays_ = 0;
};

// Why decode steps of a program cannot be captured: the host takes part in them, the libraries lack
// the functions, or LOTSE_ASCEND_GRAPHS is `off`. Empty where they can. `is_fused` tells of each
// cache layer whether its attention is one operator, `is_grouped` of each weight
// whether it is of experts that are computed without the host.
std::string why_not_captured(const Library& library, const Program& program,
                             const std::vector<bool>& is_fused,
                             const std::vector<bool>& is_grouped);

}  // namespace lotse::ascend
