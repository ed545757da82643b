// One sequence on a device: its tokens, its place in the cache.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "engine/block_pool.h"

namespace lotse {

// Feeds tokens of one sequence to an executable in steps of at most limits.max_tokens. Holds
// blocks of the pool until it is destroyed. Executable and pool must outlive it. Not thread-safe.
class Session {
 public:
  Session(Executable& executable, BlockPool& pool, const ExecutionLimits& limits,
          int64_t vocabulary, int32_t adapter = 0)
      : executable_(executable),
        pool_(pool),
        limits_(limits),
        vocabulary_(vocabulary),
        adapter_(adapter) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { rewind(0); }

  // Appends tokens (at least one) and returns the logits after the last of them, valid until the
  // next step. A context beyond the limits or a cache that is full is a `limit` error.
  Result<std::span<const float>> append(std::span<const int32_t> tokens);

  // The same by the device's choice of logits, for a request that the executable can answer.
  Result<TopLogits> append_top(std::span<const int32_t> tokens, const TopRequest& request);

  // Appends tokens and calls visit(index, logits) for each of them, index counting from 0.
  template <class Visit>
  Result<void> append_scored(std::span<const int32_t> tokens, Visit&& visit);

  // Makes the cache hold `prompt` without its last token, keeping what both have in common.
  // Returns how many tokens of `prompt` need not be computed again.
  int64_t reuse(std::span<const int32_t> prompt);

  // Forgets everything from position `length` on.
  void rewind(int64_t length);

  std::span<const int32_t> tokens() const { return tokens_; }

 private:
  Result<void> reserve(int64_t length);
  // Calls run(batch) with `tokens` and keeps them when it succeeds.
  template <class Run>
  auto step(std::span<const int32_t> tokens, bool all_rows, Run&& run);
  Result<std::span<const float>> step(std::span<const int32_t> tokens, bool all_rows);

  Executable& executable_;
  BlockPool& pool_;
  ExecutionLimits limits_;
  int64_t vocabulary_;
  int32_t adapter_;  // of the program's, 0: none
  std::vector<int32_t> tokens_;
  std::vector<int32_t> blocks_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> rows_;
};

template <class Visit>
Result<void> Session::append_scored(std::span<const int32_t> tokens, Visit&& visit) {
  const auto chunk = static_cast<size_t>(std::min(limits_.max_tokens, limits_.max_outputs));
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto part = tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    const std::span<const float> logits = LOTSE_TRY(step(part, true));
    const auto width = static_cast<size_t>(vocabulary_);
    for (size_t i = 0; i < part.size(); ++i) visit(begin + i, logits.subspan(i * width, width));
  }
  return {};
}

}  // namespace lotse
