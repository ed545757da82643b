#include "device/ascend/attention.h"

#include <algorithm>
#include <limits>

namespace lotse::ascend {
namespace {

constexpr int64_t kCausalRightDown = 3;  // sparseMode: queries end where keys end
constexpr int64_t kNoMask = 0;
constexpr int64_t kAllTokens = std::numeric_limits<int32_t>::max();

// Queries that are scored at once where attention is composed; bounds the scores' memory.
constexpr int64_t kQueriesAtOnce = 64;
// Hides a key: far below any score, and finite in every type that holds it.
constexpr float kHidden = -1e30f;

class Runner {
 public:
  Runner(Context& context, const Attention& op, const KvCache& cache, const Batch& batch,
         const StepInputs& inputs, const ExecutionLimits& limits, const View& qkv,
         const MovedHeads& moved, const View& out)
      : context_(context),
        queue_(context.queue),
        library_(context.queue.library()),
        op_(op),
        cache_(cache),
        batch_(batch),
        inputs_(inputs),
        limits_(limits),
        qkv_(qkv),
        moved_(moved),
        out_(out) {}

  Result<void> run(bool is_fused) {
    if (queue_.is_updating()) return run_fused();
    const View* keys = moved_.moved(HeadPart::keys);
    LOTSE_TRY(write(keys == nullptr ? columns(op_.heads * op_.head_dim) : *keys, cache_.keys));
    LOTSE_TRY(write(columns((op_.heads + op_.kv_heads) * op_.head_dim), cache_.values));
    if (is_fused) return run_fused();
    int64_t slots_before = 0;
    for (const BatchSequence& sequence : batch_.sequences) {
      LOTSE_TRY(compose(sequence, slots_before));
      slots_before += sequence.context;
    }
    return {};
  }

 private:
  int64_t kv_width() const { return op_.kv_heads * op_.head_dim; }
  int64_t group() const { return op_.heads / op_.kv_heads; }

  View cached(const Buffer& buffer) const {
    return View::dense(buffer.data(), cache_.type, {cache_.slots, kv_width()});
  }

  View columns(int64_t first) const {
    return qkv_.as({qkv_.shape[0], kv_width()}, qkv_.strides, first);
  }

  Result<void> write(const View& step, const Buffer& buffer) {
    const View source = LOTSE_TRY(converted(context_, step, cache_.type, Slot::cast_in));
    return queue_.run(library_.inplace_index_copy, queue_.tensor(cached(buffer)), 0,
                      queue_.tensor(inputs_.slots), queue_.tensor(source));
  }

  // Rows of the queries, dense. A graph has them at the beginning of their slot.
  Result<View> queries(int64_t first, int64_t tokens) {
    const std::vector<int64_t> shape = {tokens, op_.heads * op_.head_dim};
    const View slot = LOTSE_TRY(context_.scratch.view(Slot::query, qkv_.type, shape));
    if (queue_.is_updating()) return slot;
    const View* moved = moved_.moved(HeadPart::queries);
    if (moved != nullptr && moved->data == slot.data) return moved->rows(first, tokens);
    const View rows = moved != nullptr ? moved->rows(first, tokens)
                                       : qkv_.rows(first, tokens).as(shape, qkv_.strides);
    LOTSE_TRY(copy(context_, rows, slot));
    return slot;
  }

  // Adjacent sequences of one token each make one call, every other sequence its own.
  Result<void> run_fused() {
    const std::span<const BatchSequence> all = batch_.sequences;
    for (size_t begin = 0; begin < all.size();) {
      size_t end = begin + 1;
      while (end < all.size() && all[begin].tokens == 1 && all[end].tokens == 1 &&
             all[end].first_token == all[end - 1].first_token + 1) {
        ++end;
      }
      LOTSE_TRY(fused(begin, end));
      begin = end;
    }
    return {};
  }

  Result<void> fused(size_t begin, size_t end) {
    const BatchSequence& first = batch_.sequences[begin];
    const auto count = static_cast<int64_t>(end - begin);
    const int64_t width = op_.heads * op_.head_dim;
    const int64_t tokens = count * first.tokens;
    const std::vector<int64_t> shape = {count, first.tokens, width};
    const View query = LOTSE_TRY(queries(first.first_token, tokens));
    std::vector<int64_t> query_lengths;
    std::vector<int64_t> key_lengths;
    for (size_t i = begin; i < end; ++i) {
      query_lengths.push_back(batch_.sequences[i].tokens);
      key_lengths.push_back(batch_.sequences[i].context);
    }
    const View blocks = inputs_.blocks.rows(static_cast<int64_t>(begin), count);
    const View paged =
        View::dense(nullptr, cache_.type,
                    {cache_.slots / limits_.block_tokens, limits_.block_tokens, kv_width()});
    View keys = paged;
    View values = paged;
    keys.data = cache_.keys.data();
    values.data = cache_.values.data();
    const View result = View::dense(out_.data, out_.type, shape);
    View placed = result;
    placed.offset = out_.offset + first.first_token * out_.strides[0];
    const View lse = LOTSE_TRY(context_.scratch.view(Slot::mask, AclType::f32, {1}));
    const bool is_causal = first.tokens > 1;
    char layout[] = "BSH";
    const Handle<AclTensor> mask = queue_.tensor(inputs_.causal_mask);
    return queue_.run_updatable(
        library_.attention, queue_.tensor(query.as(shape, {first.tokens * width, width, 1})),
        queue_.list(keys), queue_.list(values), nullptr,
        is_causal ? static_cast<const AclTensor*>(mask) : nullptr, queue_.ints(query_lengths),
        queue_.ints(key_lengths), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        queue_.tensor(blocks), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
        nullptr, nullptr, op_.heads, static_cast<double>(op_.scale), kAllTokens,
        is_causal ? 0 : kAllTokens, layout, op_.kv_heads, is_causal ? kCausalRightDown : kNoMask, 0,
        limits_.block_tokens, 0, false, 0, 0, queue_.tensor(placed), queue_.tensor(lse));
  }

  // Rows of the cache in the order of positions, in fp32.
  Result<View> gather(const Buffer& buffer, const BatchSequence& sequence, int64_t slots_before,
                      Slot slot) {
    const View index = inputs_.all_slots.rows(slots_before, sequence.context);
    const std::vector<int64_t> shape = {sequence.context, kv_width()};
    const View rows = LOTSE_TRY(context_.scratch.view(Slot::gathered, cache_.type, shape));
    LOTSE_TRY(queue_.run(library_.index_select, queue_.tensor(cached(buffer)), 0,
                         queue_.tensor(index), queue_.tensor(rows)));
    View out = LOTSE_TRY(context_.scratch.view(slot, AclType::f32, shape));
    LOTSE_TRY(copy(context_, rows, out));
    return out;
  }

  Result<void> compose(const BatchSequence& sequence, int64_t slots_before) {
    const View keys = LOTSE_TRY(gather(cache_.keys, sequence, slots_before, Slot::keys));
    const View values = LOTSE_TRY(gather(cache_.values, sequence, slots_before, Slot::values));
    for (int64_t begin = 0; begin < sequence.tokens; begin += kQueriesAtOnce) {
      const int64_t count = std::min(kQueriesAtOnce, sequence.tokens - begin);
      LOTSE_TRY(attend(sequence, begin, count, keys, values));
    }
    return {};
  }

  // Heads as [kv_heads, group, queries, head_dim].
  View by_heads(const View& matrix, int64_t row, int64_t queries) const {
    const int64_t d = op_.head_dim;
    return matrix.rows(row, queries)
        .as({op_.kv_heads, group(), queries, d}, {group() * d, d, matrix.strides[0], 1});
  }

  Result<void> attend(const BatchSequence& sequence, int64_t begin, int64_t queries,
                      const View& keys, const View& values) {
    const int64_t row = sequence.first_token + begin;
    const int64_t context = sequence.context;
    const int64_t d = op_.head_dim;
    const int64_t stacked = group() * queries;
    const View query = LOTSE_TRY(
        context_.scratch.view(Slot::query, AclType::f32, {op_.kv_heads, group(), queries, d}));
    LOTSE_TRY(copy(context_, by_heads(qkv_, row, queries), query));
    const View scores = LOTSE_TRY(
        context_.scratch.view(Slot::scores, AclType::f32, {op_.kv_heads, stacked, context}));
    const View by_head = keys.as({op_.kv_heads, d, context}, {d, 1, kv_width()});
    LOTSE_TRY(
        queue_.run(library_.batch_matmul,
                   queue_.tensor(View::dense(query.data, AclType::f32, {op_.kv_heads, stacked, d})),
                   queue_.tensor(by_head), queue_.tensor(scores), context_.cube_math));
    LOTSE_TRY(scale(scores));
    LOTSE_TRY(hide(scores, sequence, begin, queries));
    const View weights =
        LOTSE_TRY(context_.scratch.view(Slot::probabilities, AclType::f32, scores.shape));
    LOTSE_TRY(queue_.run(library_.softmax, queue_.tensor(scores), -1, queue_.tensor(weights)));
    const View sums =
        LOTSE_TRY(context_.scratch.view(Slot::attended, AclType::f32, {op_.kv_heads, stacked, d}));
    const View value_heads = values.as({op_.kv_heads, context, d}, {d, kv_width(), 1});
    LOTSE_TRY(queue_.run(library_.batch_matmul, queue_.tensor(weights), queue_.tensor(value_heads),
                         queue_.tensor(sums), context_.cube_math));
    return copy(context_, View::dense(sums.data, AclType::f32, query.shape),
                by_heads(out_, row, queries));
  }

  Result<void> scale(const View& scores) {
    const auto multiply = [&](float factor) {
      return queue_.run(library_.inplace_muls, queue_.tensor(scores), queue_.scalar(factor));
    };
    if (op_.softcap == 0) return multiply(op_.scale);
    LOTSE_TRY(multiply(op_.scale / op_.softcap));
    LOTSE_TRY(queue_.run(library_.tanh, queue_.tensor(scores), queue_.tensor(scores)));
    return multiply(op_.softcap);
  }

  // Adds the mask of keys beyond a query's position or before its window, if there are any.
  Result<void> hide(const View& scores, const BatchSequence& sequence, int64_t begin,
                    int64_t queries) {
    const int64_t context = sequence.context;
    const int64_t first_position = context - sequence.tokens + begin;
    if (queries == 1 && first_position + 1 == context &&
        (op_.window == 0 || op_.window >= context)) {
      return {};
    }
    std::vector<float> mask(static_cast<size_t>(queries * context), kHidden);
    for (int64_t q = 0; q < queries; ++q) {
      const int64_t last = first_position + q;
      const int64_t first = op_.window > 0 ? std::max<int64_t>(0, last - op_.window + 1) : 0;
      const auto row = mask.begin() + q * context;
      std::fill(row + first, row + last + 1, 0.0f);
    }
    const View device =
        LOTSE_TRY(context_.scratch.view(Slot::mask, AclType::f32, {queries, context}));
    LOTSE_TRY(queue_.copy_in(device.data, std::as_bytes(std::span(mask))));
    LOTSE_TRY(queue_.synchronise());  // the mask on the host ends here
    const View by_query = View::dense(scores.data, AclType::f32, {op_.heads, queries, context});
    return queue_.run(library_.inplace_add, queue_.tensor(by_query), queue_.tensor(device),
                      queue_.scalar(1));
  }

  Context& context_;
  Queue& queue_;
  const Library& library_;
  const Attention& op_;
  const KvCache& cache_;
  const Batch& batch_;
  const StepInputs& inputs_;
  const ExecutionLimits& limits_;
  const View& qkv_;
  const MovedHeads& moved_;
  const View& out_;
};

}  // namespace

Result<KvCache> KvCache::allocate(const Queue& queue, const CacheLayer& layer,
                                  const ExecutionLimits& limits, AclType type) {
  KvCache cache;
  cache.type = type;
  cache.slots = limits.cache_blocks * limits.block_tokens;
  const int64_t bytes = bytes_of(type, cache.slots * layer.kv_heads * layer.head_dim);
  cache.keys = LOTSE_TRY(queue.allocate(bytes, "the KV cache"));
  cache.values = LOTSE_TRY(queue.allocate(bytes, "the KV cache"));
  return cache;
}

Result<void> run_attention(Context& context, const Attention& op, const KvCache& cache,
                           const Batch& batch, const StepInputs& inputs,
                           const ExecutionLimits& limits, bool is_fused, const View& qkv,
                           const MovedHeads& moved, const View& out) {
  return Runner(context, op, cache, batch, inputs, limits, qkv, moved, out).run(is_fused);
}

}  // namespace lotse::ascend
