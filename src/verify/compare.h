// How far two values of the same operator are apart.
#pragma once

#include <cstdint>
#include <span>

#include "device/weight.h"

namespace lotse {

struct Departure {
  double cosine = 1;          // 1 for identical directions; 1 when both are zero
  double relative_error = 0;  // RMS(actual − expected) / RMS(expected); 0 when both are zero
  double max_error = 0;       // largest absolute difference
  bool finite = true;         // false when either has a NaN or an infinity
};

// Over all elements; the spans have equal sizes.
Departure compare(std::span<const float> actual, std::span<const float> expected);

// The relative error that one operator may have given the same inputs, by the narrowest weight
// format of the two models. Measured on models/lotse-nano and the golden models, with room of about
// two: docs/verify.md.
double operator_tolerance(WeightFormat format);

// What the end of the pipe may differ by: see docs/verify.md.
struct EndToEndTolerance {
  double top1_agreement;    // at least
  double kl;                // at most, in nats a token
  double perplexity_ratio;  // ported / original, at most
};
EndToEndTolerance end_to_end_tolerance(WeightFormat format);

}  // namespace lotse
