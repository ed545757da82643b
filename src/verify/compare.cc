#include "verify/compare.h"

#include <cmath>

#include "base/result.h"

namespace lotse {

Departure compare(std::span<const float> actual, std::span<const float> expected) {
  LOTSE_CHECK(actual.size() == expected.size());
  double dot = 0;
  double actual_squares = 0;
  double expected_squares = 0;
  double error_squares = 0;
  Departure result;
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto a = static_cast<double>(actual[i]);
    const auto e = static_cast<double>(expected[i]);
    if (!std::isfinite(a) || !std::isfinite(e)) result.finite = false;
    dot += a * e;
    actual_squares += a * a;
    expected_squares += e * e;
    error_squares += (a - e) * (a - e);
    result.max_error = std::max(result.max_error, std::fabs(a - e));
  }
  if (actual_squares > 0 || expected_squares > 0) {
    const double norms = std::sqrt(actual_squares) * std::sqrt(expected_squares);
    result.cosine = norms > 0 ? dot / norms : 0;
    result.relative_error =
        expected_squares > 0 ? std::sqrt(error_squares / expected_squares) : HUGE_VAL;
  }
  return result;
}

double operator_tolerance(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return 1e-4;
    case WeightFormat::f16:
      return 2e-3;
    case WeightFormat::bf16:
      return 2e-2;
    case WeightFormat::w8a8:
      return 5e-2;
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      return 2e-1;
  }
  return 0;
}

EndToEndTolerance end_to_end_tolerance(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return {0.999, 1e-5, 1.001};
    case WeightFormat::f16:
      return {0.995, 1e-4, 1.005};
    case WeightFormat::bf16:
      return {0.98, 2e-3, 1.01};
    case WeightFormat::w8a8:
      return {0.95, 2e-2, 1.03};
    case WeightFormat::w4a16:
    case WeightFormat::w4a8:
      return {0.85, 2e-1, 1.25};
  }
  return {1, 0, 1};
}

}  // namespace lotse
