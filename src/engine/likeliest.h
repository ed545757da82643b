// The largest of many logits, found without sorting them all.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lotse {

struct Candidate {
  float logit;
  int32_t token;
};

// The token with the largest logit, the lowest of equal ones. `logits` is not empty.
int32_t likeliest(std::span<const float> logits);

// Makes `candidates` the `count` likeliest tokens (all where there are fewer), likeliest first, the
// lower of equal ones first. NaN is none; of nothing but NaN, token 0 is taken.
void find_likeliest(std::span<const float> logits, int64_t count,
                    std::vector<Candidate>& candidates);

}  // namespace lotse
