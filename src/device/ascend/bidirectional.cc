#include "device/ascend/bidirectional.h"

#include <algorithm>

namespace lotse::ascend {
namespace {

// Queries that are scored at once; bounds the scores' memory.
constexpr int64_t kQueriesAtOnce = 64;

// One sequence's attention. Matrices by heads are [heads, tokens, head_dim].
class OneSequence {
 public:
  OneSequence(Context& context, const BidirectionalAttention& op, const BatchSequence& sequence,
              const View& qkv, const View& out)
      : context_(context),
        op_(op),
        tokens_(sequence.tokens),
        first_(sequence.first_token),
        qkv_(qkv),
        out_(out) {}

  Result<void> run() {
    const View keys = LOTSE_TRY(wide(1, 0, tokens_, Slot::keys));
    const View values = LOTSE_TRY(wide(2, 0, tokens_, Slot::values));
    for (int64_t begin = 0; begin < tokens_; begin += kQueriesAtOnce) {
      LOTSE_TRY(attend(begin, std::min(kQueriesAtOnce, tokens_ - begin), keys, values));
    }
    return {};
  }

 private:
  View by_heads(const View& matrix, int64_t first_column, int64_t row, int64_t count) const {
    return matrix.rows(first_ + row, count)
        .as({op_.heads, count, op_.head_dim}, {op_.head_dim, matrix.strides[0], 1}, first_column);
  }

  // Queries (0), keys (1) or values (2) of some tokens in fp32, dense.
  Result<View> wide(int64_t kind, int64_t row, int64_t count, Slot slot) {
    const View out =
        LOTSE_TRY(context_.scratch.view(slot, AclType::f32, {op_.heads, count, op_.head_dim}));
    LOTSE_TRY(copy(context_, by_heads(qkv_, kind * op_.heads * op_.head_dim, row, count), out));
    return out;
  }

  Result<void> attend(int64_t begin, int64_t count, const View& keys, const View& values) {
    Queue& queue = context_.queue;
    const Library& library = queue.library();
    const View query = LOTSE_TRY(wide(0, begin, count, Slot::query));
    const View scores =
        LOTSE_TRY(context_.scratch.view(Slot::scores, AclType::f32, {op_.heads, count, tokens_}));
    const View turned =
        keys.as({op_.heads, op_.head_dim, tokens_}, {tokens_ * op_.head_dim, 1, op_.head_dim});
    LOTSE_TRY(queue.run(library.batch_matmul, queue.tensor(query), queue.tensor(turned),
                        queue.tensor(scores), context_.cube_math));
    LOTSE_TRY(queue.run(library.inplace_muls, queue.tensor(scores), queue.scalar(op_.scale)));
    const View shares =
        LOTSE_TRY(context_.scratch.view(Slot::probabilities, AclType::f32, scores.shape));
    LOTSE_TRY(queue.run(library.softmax, queue.tensor(scores), -1, queue.tensor(shares)));
    const View sums = LOTSE_TRY(context_.scratch.view(Slot::attended, AclType::f32, query.shape));
    LOTSE_TRY(queue.run(library.batch_matmul, queue.tensor(shares), queue.tensor(values),
                        queue.tensor(sums), context_.cube_math));
    return copy(context_, sums, by_heads(out_, 0, begin, count));
  }

  Context& context_;
  const BidirectionalAttention& op_;
  int64_t tokens_;
  int64_t first_;
  const View& qkv_;
  const View& out_;
};

}  // namespace

Result<void> run_bidirectional(Context& context, const BidirectionalAttention& op,
                               const Batch& batch, const View& qkv, const View& out) {
  for (const BatchSequence& sequence : batch.sequences) {
    LOTSE_CHECK(sequence.tokens == sequence.context);
    LOTSE_TRY(OneSequence(context, op, sequence, qkv, out).run());
  }
  return {};
}

}  // namespace lotse::ascend
