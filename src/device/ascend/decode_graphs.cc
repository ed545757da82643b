#include "device/ascend/decode_graphs.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdio>

#include "base/environment.h"

namespace lotse::ascend {
namespace {

bool has_graphs(const Library& library) {
  return library.capture_begin.exists() && library.capture_end.exists() &&
         library.execute_graph.exists() && library.destroy_graph.exists() &&
         library.group_begin.exists() && library.group_end.exists() &&
         library.update_begin.exists() && library.update_end.exists();
}

bool is_decode(const Batch& batch) {
  if (batch.tokens.size() != batch.sequences.size()) return false;
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const BatchSequence& sequence = batch.sequences[i];
    if (sequence.tokens != 1 || sequence.first_token != static_cast<int32_t>(i)) return false;
  }
  return true;
}

std::vector<int32_t> contexts_of(std::span<const BatchSequence> sequences, int32_t ahead) {
  std::vector<int32_t> contexts;
  for (const BatchSequence& sequence : sequences) contexts.push_back(sequence.context + ahead);
  return contexts;
}

}  // namespace

PaddedBatch::PaddedBatch(const Batch& batch, int64_t size, int32_t spare_block)
    : spare_block_(spare_block),
      tokens_(batch.tokens.begin(), batch.tokens.end()),
      positions_(batch.positions.begin(), batch.positions.end()),
      sequences_(batch.sequences.begin(), batch.sequences.end()),
      output_rows_(batch.output_rows.begin(), batch.output_rows.end()) {
  const auto rows = static_cast<size_t>(size);
  tokens_.resize(rows);
  positions_.resize(rows);
  output_rows_.resize(rows);
  while (sequences_.size() < rows) {
    sequences_.push_back({static_cast<int32_t>(sequences_.size()), 1, 1, {&spare_block_, 1}});
  }
}

DecodeGraphs::DecodeGraphs(Queue& queue, const ExecutionLimits& limits, std::string why_not)
    : queue_(queue),
      most_(std::min({limits.max_sequences, limits.max_tokens, limits.max_outputs})),
      max_context_(limits.max_context),
      why_not_(std::move(why_not)) {}

int64_t DecodeGraphs::bucket_of(const Batch& batch) const {
  const auto count = std::ssize(batch.sequences);
  if (!is_on() || !is_decode(batch) || count > most_ || std::ssize(batch.output_rows) > count) {
    return 0;
  }
  const auto power = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)));
  return std::min(power, most_);
}

Result<View> DecodeGraphs::run(int64_t size, const Step& step) {
  const auto [found, is_first] = buckets_.try_emplace(size);
  if (is_first) return step.compute();
  Bucket& bucket = found->second;
  const Result<void> done = run_graph(bucket, step);
  if (done) {
    ++replays_;
    return bucket.result;
  }
  why_not_ = done.error().message;
  buckets_.clear();
  fmt::print(stderr,
             "lotse: decode steps run operator by operator from here on, because no graph of them "
             "can be made: {}. LOTSE_ASCEND_GRAPHS=off does not try\n",
             why_not_);
  return step.compute();
}

Result<void> DecodeGraphs::run_graph(Bucket& bucket, const Step& step) {
  const std::vector<int32_t> contexts = contexts_of(step.sequences, 0);
  if (is_current(bucket) && bucket.contexts != contexts) LOTSE_TRY(update(bucket, step, 0));
  if (!is_current(bucket)) LOTSE_TRY(capture(bucket, step));
  LOTSE_TRY(bucket.graph->replay());
  const bool has_room = std::ranges::max(contexts) < max_context_;
  return has_room ? update(bucket, step, 1) : Result<void>();
}

Result<void> DecodeGraphs::update(Bucket& bucket, const Step& step, int32_t ahead) {
  LOTSE_TRY(queue_.update(*bucket.graph, [&] { return step.update(ahead); }));
  bucket.contexts = contexts_of(step.sequences, ahead);
  return {};
}

Result<void> DecodeGraphs::capture(Bucket& bucket, const Step& step) {
  bucket.graph.reset();
  bucket.graph = LOTSE_TRY(queue_.capture([&]() -> Result<void> {
    bucket.result = LOTSE_TRY(step.compute());
    return {};
  }));
  bucket.allocations = queue_.allocations();
  bucket.contexts = contexts_of(step.sequences, 0);
  return {};
}

std::string why_not_captured(const Library& library, const Program& program,
                             const std::vector<bool>& is_fused,
                             const std::vector<bool>& is_grouped) {
  if (environment("LOTSE_ASCEND_GRAPHS") == "off") return "LOTSE_ASCEND_GRAPHS is off";
  if (!has_graphs(library)) {
    return "the libraries lack functions to capture or update graphs (aclmdlRICapture…)";
  }
  for (const Op& op : program.ops) {
    const auto* attention = std::get_if<Attention>(&op.operation);
    if (attention != nullptr && !is_fused[static_cast<size_t>(attention->cache_layer)]) {
      return fmt::format("{} is composed, with masks and shapes that the host makes", op.name);
    }
    const auto* moe = std::get_if<Moe>(&op.operation);
    if (moe != nullptr && !is_grouped[static_cast<size_t>(moe->gate_up)]) {
      return fmt::format("the host sorts the tokens of {} by expert", op.name);
    }
  }
  return "";
}

}  // namespace lotse::ascend
