#include <array>

#include "device/ascend/moe.h"

namespace lotse::ascend {
namespace {

// Arguments of the operators: results of routing by (token, choice), groups as sizes of runs of
// rows, one result.
constexpr int64_t kNoQuantisation = -1;
constexpr int64_t kQuantiseRows = 1;
constexpr int64_t kCounts = 1;
constexpr int64_t kPlaceOfPair = 0;
constexpr int64_t kByTokenAndChoice = 2;
constexpr int64_t kOneResult = 2;
constexpr int64_t kGroupedRows = 0;
constexpr int64_t kSizes = 1;
constexpr int64_t kNoActivation = 0;

// [experts, k, n] as it lies in memory: W4A16 transposed at load, all else transposed by the view.
View matrices(const Segment& weight, AclType type) {
  const int64_t n = weight.rows / weight.experts;
  const int64_t k = weight.columns;
  const View dense = View::dense(weight.data.data(), type, {weight.experts, k, n});
  return type == AclType::i4 ? dense : dense.as(dense.shape, {n * k, 1, k});
}

class GroupedMoe {
 public:
  GroupedMoe(Context& context, const Moe& op, const MoeWeights& weights, const View& in,
             const View& out)
      : context_(context),
        queue_(context.queue),
        library_(context.queue.library()),
        op_(op),
        weights_(weights),
        in_(in),
        out_(out),
        pairs_(in.shape[0] * op.top_k) {}

  Result<void> run() {
    LOTSE_TRY(choose());
    const Segment& gate_up = weights_.gate_up.segments.front();
    const Segment& down = weights_.down.segments.front();
    Rows sorted = LOTSE_TRY(sort(gate_up.format == WeightFormat::w8a8));
    const View both = LOTSE_TRY(view(Slot::expert_hidden, in_.type, {pairs_, 2 * op_.width}));
    LOTSE_TRY(multiply(sorted, gate_up, both));
    const View hidden = LOTSE_TRY(view(Slot::attended, in_.type, {pairs_, op_.width}));
    LOTSE_TRY(gated_activation(context_, op_.activation, both, hidden));
    const View results = LOTSE_TRY(view(Slot::gathered, in_.type, {pairs_, out_.shape[1]}));
    LOTSE_TRY(multiply({hidden, {}}, down, results));
    return combine(results);
  }

 private:
  // Rows of tokens; of int8 with a scale each.
  struct Rows {
    View values;
    View scales;
  };

  Result<View> view(Slot slot, AclType type, std::vector<int64_t> shape) {
    return context_.scratch.view(slot, type, std::move(shape));
  }

  // The experts of each token and their shares, which are those of the router's own type.
  Result<void> choose() {
    const AclType type = result_type(context_, weights_.router.segments.front());
    const int64_t tokens = in_.shape[0];
    const View scores = LOTSE_TRY(view(Slot::scores, type, {tokens, op_.experts}));
    LOTSE_TRY(linear(context_, in_, weights_.router, nullptr, scores));
    shares_ = LOTSE_TRY(view(Slot::probabilities, type, {tokens, op_.top_k}));
    chosen_ = LOTSE_TRY(view(Slot::keys, AclType::i32, {tokens, op_.top_k}));
    return queue_.run(library_.moe_gating, queue_.tensor(scores), nullptr, op_.top_k,
                      op_.normalise ? 1 : 0, false, queue_.tensor(shares_), queue_.tensor(chosen_),
                      nullptr);
  }

  // Rows by expert, how many each has, and where each pair of token and choice went.
  Result<Rows> sort(bool quantise) {
    places_ = LOTSE_TRY(view(Slot::mask, AclType::i32, {pairs_}));
    counts_ = LOTSE_TRY(view(Slot::values, AclType::i64, {op_.experts}));
    const View scales = LOTSE_TRY(view(Slot::token_scales, AclType::f32, {pairs_}));
    const View sorted =
        LOTSE_TRY(view(Slot::routed, quantise ? AclType::i8 : in_.type, {pairs_, in_.shape[1]}));
    const std::array<int64_t, 2> all = {0, op_.experts};
    LOTSE_TRY(queue_.run(library_.moe_routing, queue_.tensor(in_), queue_.tensor(chosen_), nullptr,
                         nullptr, pairs_, 0, op_.experts, 0, kCounts, true,
                         quantise ? kQuantiseRows : kNoQuantisation, queue_.ints(all), kPlaceOfPair,
                         queue_.tensor(sorted), queue_.tensor(places_), queue_.tensor(counts_),
                         queue_.tensor(scales)));
    return Rows{sorted, scales};
  }

  // Each row times its expert's matrix.
  Result<void> multiply(const Rows& rows, const Segment& weight, const View& out) {
    const AclType type = result_type(context_, weight);
    const bool is_direct = out.type == type;
    const View y = is_direct ? out : LOTSE_TRY(view(Slot::expert_out, type, out.shape));
    switch (weight.format) {
      case WeightFormat::w8a8:
        LOTSE_TRY(multiply_int8(rows, weight, y));
        break;
      case WeightFormat::w4a16:
        LOTSE_TRY(multiply_int4(rows, weight, y));
        break;
      default: {
        const View x = LOTSE_TRY(converted(context_, rows.values, type, Slot::cast_in));
        LOTSE_TRY(launch(x, queue_.list(matrices(weight, type)), nullptr, nullptr, nullptr, y));
      }
    }
    return is_direct ? Result<void>() : copy(context_, y, out);
  }

  Result<void> multiply_int8(const Rows& rows, const Segment& weight, const View& y) {
    const Rows x = rows.values.type == AclType::i8 ? rows : LOTSE_TRY(quantised(rows.values));
    const View scales = View::dense(weight.scales.data(), weight.scale_type,
                                    {weight.experts, weight.rows / weight.experts});
    return launch(x.values, queue_.list(matrices(weight, AclType::i8)), queue_.list(scales),
                  nullptr, queue_.list(x.scales), y);
  }

  Result<void> multiply_int4(const Rows& rows, const Segment& weight, const View& y) {
    const View x = LOTSE_TRY(converted(context_, rows.values, context_.half, Slot::cast_in));
    const View scales =
        View::dense(weight.scales.data(), context_.half,
                    {weight.experts, weight.columns / weight.group, weight.rows / weight.experts});
    return launch(x, queue_.list(matrices(weight, AclType::i4)), nullptr, queue_.list(scales),
                  nullptr, y);
  }

  Result<void> launch(const View& x, TensorList weight, TensorList scale, TensorList int4_scale,
                      TensorList token_scale, const View& y) {
    return queue_.run(library_.grouped_matmul, queue_.list(x), weight, nullptr, scale, nullptr,
                      int4_scale, nullptr, token_scale, queue_.tensor(counts_), nullptr, nullptr,
                      nullptr, kOneResult, kGroupedRows, kSizes, kNoActivation, queue_.list(y),
                      nullptr, nullptr);
  }

  Result<Rows> quantised(const View& values) {
    const View x = LOTSE_TRY(converted(context_, values, context_.half, Slot::cast_in));
    const View numbers = LOTSE_TRY(view(Slot::quantised, AclType::i8, values.shape));
    const View scales = LOTSE_TRY(view(Slot::token_scales, AclType::f32, {pairs_}));
    LOTSE_TRY(queue_.run(library_.dynamic_quant, queue_.tensor(x), nullptr, queue_.tensor(numbers),
                         queue_.tensor(scales)));
    return Rows{numbers, scales};
  }

  // out[t] = Σ share · result of each of the token's experts.
  Result<void> combine(const View& results) {
    const View shares = LOTSE_TRY(converted(context_, shares_, out_.type, Slot::query));
    return queue_.run(library_.moe_combine, queue_.tensor(results), queue_.tensor(places_), nullptr,
                      nullptr, nullptr, queue_.tensor(shares), nullptr, kByTokenAndChoice,
                      queue_.tensor(out_));
  }

  Context& context_;
  Queue& queue_;
  const Library& library_;
  const Moe& op_;
  const MoeWeights& weights_;
  const View& in_;
  const View& out_;
  int64_t pairs_;
  View shares_, chosen_, places_, counts_;
};

}  // namespace

Result<void> run_grouped_moe(Context& context, const Moe& op, const MoeWeights& weights,
                             const View& in, const View& out) {
  return GroupedMoe(context, op, weights, in, out).run();
}

}  // namespace lotse::ascend
