#include "verify/operators.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"

namespace lotse {
namespace {

using Values = std::vector<std::vector<float>>;

class Recorder final : public Observer {
 public:
  Result<void> on_value(const Op&, std::span<float> data, int64_t, int64_t) override {
    values.emplace_back(data.begin(), data.end());
    return {};
  }
  Values values;
};

// Compares each value with the original's, and puts the original's in its place when asked to.
class Comparer final : public Observer {
 public:
  Comparer(const Values& expected, bool replace) : expected_(expected), replace_(replace) {}

  Result<void> on_value(const Op&, std::span<float> data, int64_t, int64_t) override {
    const std::vector<float>& expected = expected_[departures.size()];
    departures.push_back(compare(data, expected));
    if (replace_) std::ranges::copy(expected, data.begin());
    return {};
  }
  std::vector<Departure> departures;

 private:
  const Values& expected_;
  bool replace_;
};

// All tokens in one step of a model without logits.
Result<void> run_hidden(Engine& engine, std::span<const int32_t> tokens) {
  const auto count = static_cast<int32_t>(tokens.size());
  std::vector<int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<int32_t> blocks(
      static_cast<size_t>(ceil_div(int64_t{count}, engine.limits().block_tokens)));
  std::iota(blocks.begin(), blocks.end(), 0);
  const BatchSequence sequence{0, count, count, blocks};
  LOTSE_TRY(engine.executable().run_hidden({tokens, positions, {&sequence, 1}, positions}));
  return {};
}

Result<void> run_scored(Engine& engine, std::span<const int32_t> tokens) {
  return engine.make_session()->append_scored(tokens, [](size_t, std::span<const float>) {});
}

Result<void> run_observed(Engine& engine, std::span<const int32_t> tokens, Observer& observer) {
  engine.executable().observe(&observer);
  const Result<void> result =
      engine.generates() ? run_scored(engine, tokens) : run_hidden(engine, tokens);
  engine.executable().observe(nullptr);
  return result;
}

Result<void> check_comparable(const Engine& ported, const Engine& original, size_t tokens) {
  const auto& a = ported.model().program.ops;
  const auto& b = original.model().program.ops;
  const bool same =
      std::ranges::equal(a, b, [](const Op& x, const Op& y) { return x.name == y.name; });
  if (!same) {
    return fail(ErrorCode::invalid_input,
                "the two models have different operators ({} and {}): they are not the same "
                "architecture",
                a.size(), b.size());
  }
  const auto room =
      static_cast<size_t>(std::min({ported.limits().max_tokens, ported.limits().max_outputs,
                                    original.limits().max_tokens, original.limits().max_outputs}));
  if (tokens <= room) return {};
  return fail(ErrorCode::limit, "{} tokens are more than one step of {}", tokens, room);
}

}  // namespace

WeightFormat narrowest_format(const Model& model) {
  auto narrowest = WeightFormat::f32;
  for (const WeightFormat format : model.formats) narrowest = std::max(narrowest, format);
  return narrowest;
}

double tolerance_of(const Op& op, const Model& model) {
  auto format = WeightFormat::bf16;
  for (const WeightId id : weights_of(op.operation)) {
    format = std::max(format, model.formats[static_cast<size_t>(id)]);
  }
  return operator_tolerance(format);
}

Result<std::vector<OperatorDeparture>> compare_operators(Engine& ported, Engine& original,
                                                         std::span<const int32_t> tokens) {
  LOTSE_TRY(check_comparable(ported, original, tokens.size()));
  Recorder recorder;
  LOTSE_TRY(run_observed(original, tokens, recorder));
  Comparer same_inputs(recorder.values, true);
  LOTSE_TRY(run_observed(ported, tokens, same_inputs));
  Comparer running_free(recorder.values, false);
  LOTSE_TRY(run_observed(ported, tokens, running_free));
  std::vector<OperatorDeparture> result;
  for (size_t i = 0; i < recorder.values.size(); ++i) {
    const Op& op = ported.model().program.ops[i];
    result.push_back({op.name, kind_name(op.operation), same_inputs.departures[i],
                      running_free.departures[i], tolerance_of(op, ported.model())});
  }
  return result;
}

}  // namespace lotse
