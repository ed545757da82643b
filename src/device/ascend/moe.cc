#include "device/ascend/moe.h"

#include <algorithm>
#include <numeric>

namespace lotse::ascend {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Which rows go to which expert: (token, choice) pairs sorted by expert.
struct Routing {
  std::vector<int64_t> tokens;  // of each sorted pair, the token
  std::vector<int64_t> places;  // of each (token, choice), where its pair was sorted to
  std::vector<int64_t> counts;  // pairs of each expert
};

Routing sort_by_expert(const std::vector<int64_t>& chosen, int64_t top_k, int64_t experts) {
  const auto pairs = std::ssize(chosen);
  std::vector<int64_t> order(at(pairs));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::ranges::sort(order, {}, [&](int64_t pair) { return std::pair(chosen[at(pair)], pair); });
  Routing routing;
  routing.counts.resize(at(experts));
  routing.places.resize(at(pairs));
  for (int64_t i = 0; i < pairs; ++i) {
    routing.tokens.push_back(order[at(i)] / top_k);
    routing.places[at(order[at(i)])] = i;
    ++routing.counts[at(chosen[at(order[at(i)])])];
  }
  return routing;
}

class Runner {
 public:
  Runner(Context& context, const Moe& op, const MoeWeights& weights, const View& index,
         const View& in, const View& out)
      : context_(context),
        queue_(context.queue),
        library_(context.queue.library()),
        op_(op),
        weights_(weights),
        index_(index),
        in_(in),
        out_(out),
        tokens_(in.shape[0]) {}

  Result<void> run() {
    const View shares = LOTSE_TRY(view(Slot::probabilities, AclType::f32, {tokens_, op_.top_k}));
    const Routing routing = LOTSE_TRY(route(shares));
    const int64_t pairs = tokens_ * op_.top_k;
    const View sorted = LOTSE_TRY(view(Slot::routed, in_.type, {pairs, in_.shape[1]}));
    LOTSE_TRY(select(in_, routing.tokens, sorted));
    const View results = LOTSE_TRY(view(Slot::gathered, in_.type, {pairs, out_.shape[1]}));
    LOTSE_TRY(run_experts(routing, sorted, results));
    return combine(routing, results, shares);
  }

 private:
  Result<View> view(Slot slot, AclType type, std::vector<int64_t> shape) {
    return context_.scratch.view(slot, type, std::move(shape));
  }

  // The top_k experts of each token and their shares.
  Result<Routing> route(const View& shares) {
    const View x = LOTSE_TRY(converted(context_, in_, AclType::f32, Slot::router));
    const View scores = LOTSE_TRY(view(Slot::scores, AclType::f32, {tokens_, op_.experts}));
    LOTSE_TRY(linear(context_, x, weights_.router, nullptr, scores));
    const View probabilities = LOTSE_TRY(view(Slot::mask, AclType::f32, scores.shape));
    LOTSE_TRY(
        queue_.run(library_.softmax, queue_.tensor(scores), -1, queue_.tensor(probabilities)));
    const View chosen = LOTSE_TRY(view(Slot::keys, AclType::i64, {tokens_, op_.top_k}));
    LOTSE_TRY(queue_.run(library_.topk, queue_.tensor(probabilities), op_.top_k, -1, true, true,
                         queue_.tensor(shares), queue_.tensor(chosen)));
    if (op_.normalise) LOTSE_TRY(normalise(shares));
    std::vector<int64_t> host(at(tokens_ * op_.top_k));
    LOTSE_TRY(queue_.download(chosen.data, std::as_writable_bytes(std::span(host))));
    return sort_by_expert(host, op_.top_k, op_.experts);
  }

  Result<void> normalise(const View& shares) {
    const View sums = LOTSE_TRY(view(Slot::values, AclType::f32, {tokens_, 1}));
    const int64_t last = 1;
    LOTSE_TRY(queue_.run(library_.reduce_sum, queue_.tensor(shares), queue_.ints({&last, 1}), true,
                         AclType::f32, queue_.tensor(sums)));
    return queue_.run(library_.inplace_div, queue_.tensor(shares), queue_.tensor(sums));
  }

  // to[i] = from[rows[i]].
  Result<void> select(const View& from, const std::vector<int64_t>& rows, const View& to) {
    const View index = index_.rows(0, std::ssize(rows));
    LOTSE_TRY(queue_.copy_in(index.data, std::as_bytes(std::span(rows))));
    LOTSE_TRY(queue_.run(library_.index_select, queue_.tensor(from), 0, queue_.tensor(index),
                         queue_.tensor(to)));
    return queue_.synchronise();  // the rows on the host end with the caller
  }

  Result<void> run_experts(const Routing& routing, const View& sorted, const View& results) {
    int64_t first = 0;
    for (int64_t expert = 0; expert < op_.experts; ++expert) {
      const int64_t count = routing.counts[at(expert)];
      if (count == 0) continue;
      LOTSE_TRY(run_expert(expert, sorted.rows(first, count), results.rows(first, count)));
      first += count;
    }
    return {};
  }

  Result<void> run_expert(int64_t expert, const View& x, const View& result) {
    const int64_t count = x.shape[0];
    const View gate_up = LOTSE_TRY(view(Slot::expert_hidden, in_.type, {count, 2 * op_.width}));
    LOTSE_TRY(expert_matmul(x, weights_.gate_up, expert, 2 * op_.width, gate_up));
    const View hidden = LOTSE_TRY(view(Slot::attended, in_.type, {count, op_.width}));
    LOTSE_TRY(gated_activation(context_, op_.activation, gate_up, hidden));
    return expert_matmul(hidden, weights_.down, expert, result.shape[1], result);
  }

  // All experts of a weight have one format, so that they lie in one segment.
  Result<void> expert_matmul(const View& x, const PreparedWeight& weight, int64_t expert,
                             int64_t rows, const View& result) {
    return matmul(context_, x, weight.segments.front(), expert * rows, rows, result);
  }

  // out[t] = Σ share · result of each of the token's experts, in fp32.
  Result<void> combine(const Routing& routing, const View& results, const View& shares) {
    const int64_t columns = out_.shape[1];
    const std::vector<int64_t> shape = {tokens_ * op_.top_k, columns};
    const View ordered = LOTSE_TRY(view(Slot::routed, in_.type, shape));
    LOTSE_TRY(select(results, routing.places, ordered));
    const View wide = LOTSE_TRY(view(Slot::query, AclType::f32, shape));
    LOTSE_TRY(copy(context_, ordered, wide));
    const View cube = View::dense(wide.data, AclType::f32, {tokens_, op_.top_k, columns});
    const View factors = View::dense(shares.data, AclType::f32, {tokens_, op_.top_k, 1});
    LOTSE_TRY(queue_.run(library_.inplace_mul, queue_.tensor(cube), queue_.tensor(factors)));
    const View sums = LOTSE_TRY(view(Slot::values, AclType::f32, {tokens_, columns}));
    const int64_t middle = 1;
    LOTSE_TRY(queue_.run(library_.reduce_sum, queue_.tensor(cube), queue_.ints({&middle, 1}), false,
                         AclType::f32, queue_.tensor(sums)));
    return copy(context_, sums, out_);
  }

  Context& context_;
  Queue& queue_;
  const Library& library_;
  const Moe& op_;
  const MoeWeights& weights_;
  const View& index_;
  const View& in_;
  const View& out_;
  int64_t tokens_;
};

}  // namespace

Result<void> gated_activation(Context& context, Activation activation, const View& in,
                              const View& out) {
  Queue& queue = context.queue;
  const Library& library = queue.library();
  if (activation == Activation::silu) {
    return queue.run(library.swiglu, queue.tensor(in), -1, queue.tensor(out));
  }
  const View gelu = LOTSE_TRY(context.scratch.view(Slot::rotated, out.type, out.shape));
  const int64_t approximate = activation == Activation::gelu_tanh ? 1 : 0;
  return queue.run(library.geglu, queue.tensor(in), -1, approximate, true, queue.tensor(out),
                   queue.tensor(gelu));
}

Result<void> run_moe(Context& context, const Moe& op, const MoeWeights& weights, const View& index,
                     const View& in, const View& out) {
  return Runner(context, op, weights, index, in, out).run();
}

}  // namespace lotse::ascend
