#include "verify/end_to_end.h"

#include <algorithm>
#include <cmath>

namespace lotse {
namespace {

std::vector<double> log_softmax(std::span<const float> logits) {
  const auto largest = static_cast<double>(*std::ranges::max_element(logits));
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - largest);
  const double shift = largest + std::log(total);
  std::vector<double> result(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) result[i] = static_cast<double>(logits[i]) - shift;
  return result;
}

// Sums over positions; divided at the end.
struct Sums {
  double agreed = 0;
  double kl = 0;
  double ported = 0;
  double original = 0;
  int64_t positions = 0;
  int64_t scored = 0;
};

void add_position(Sums& sums, std::span<const float> ported, std::span<const float> original,
                  const int32_t* next) {
  const std::vector<double> p = log_softmax(original);
  const std::vector<double> q = log_softmax(ported);
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
  sums.kl += std::max(kl, 0.0);
  sums.agreed += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
  ++sums.positions;
  if (next == nullptr) return;
  sums.original += p[static_cast<size_t>(*next)];
  sums.ported += q[static_cast<size_t>(*next)];
  ++sums.scored;
}

}  // namespace

Result<EndToEnd> compare_end_to_end(Engine& ported, Engine& original,
                                    const std::vector<std::vector<int32_t>>& windows,
                                    const std::function<void(int64_t)>& progress) {
  Sums sums;
  const auto chunk =
      static_cast<size_t>(std::min(ported.limits().max_outputs, original.limits().max_outputs));
  for (const std::vector<int32_t>& window : windows) {
    const auto ported_session = ported.make_session();
    const auto original_session = original.make_session();
    for (size_t begin = 0; begin < window.size(); begin += chunk) {
      const size_t count = std::min(chunk, window.size() - begin);
      const auto part = std::span(window).subspan(begin, count);
      std::vector<std::vector<float>> expected;
      LOTSE_TRY(original_session->append_scored(part, [&](size_t, std::span<const float> logits) {
        expected.emplace_back(logits.begin(), logits.end());
      }));
      LOTSE_TRY(ported_session->append_scored(part, [&](size_t i, std::span<const float> logits) {
        const bool last = begin + i + 1 == window.size();
        add_position(sums, logits, expected[i], last ? nullptr : &window[begin + i + 1]);
      }));
    }
    progress(sums.positions);
  }
  if (sums.scored == 0) return fail(ErrorCode::invalid_input, "the text is too short to compare");
  const auto positions = static_cast<double>(sums.positions);
  const auto scored = static_cast<double>(sums.scored);
  return EndToEnd{sums.positions, sums.agreed / positions, sums.kl / positions,
                  std::exp(-sums.ported / scored), std::exp(-sums.original / scored)};
}

}  // namespace lotse
