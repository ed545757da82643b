#include "engine/session.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"

namespace lotse {

void Session::rewind(int64_t length) {
  if (length < static_cast<int64_t>(tokens_.size())) tokens_.resize(static_cast<size_t>(length));
  const auto keep = static_cast<size_t>(ceil_div(length, limits_.block_tokens));
  while (blocks_.size() > keep) {
    pool_.release(blocks_.back());
    blocks_.pop_back();
  }
}

int64_t Session::reuse(std::span<const int32_t> prompt) {
  const auto [mine, theirs] = std::ranges::mismatch(tokens_, prompt);
  const auto common = static_cast<int64_t>(theirs - prompt.begin());
  const int64_t kept = std::min(common, static_cast<int64_t>(prompt.size()) - 1);
  rewind(std::max<int64_t>(kept, 0));
  return static_cast<int64_t>(tokens_.size());
}

Result<void> Session::reserve(int64_t length) {
  if (length > limits_.max_context) {
    return fail(ErrorCode::limit, "{} tokens do not fit in the context of {}", length,
                limits_.max_context);
  }
  while (static_cast<int64_t>(blocks_.size()) * limits_.block_tokens < length) {
    const auto block = pool_.allocate();
    if (!block) {
      return fail(ErrorCode::limit,
                  "the key-value cache is full: all {} blocks of {} tokens are held",
                  limits_.cache_blocks, limits_.block_tokens);
    }
    blocks_.push_back(*block);
  }
  return {};
}

template <class Run>
auto Session::step(std::span<const int32_t> tokens, bool all_rows, Run&& run) {
  const auto begin = static_cast<int64_t>(tokens_.size());
  const auto count = static_cast<int64_t>(tokens.size());
  using Answer = decltype(run(Batch()));
  if (auto reserved = reserve(begin + count); !reserved) {
    return Answer(std::unexpected(std::move(reserved.error())));
  }
  positions_.resize(tokens.size());
  std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(begin));
  rows_.resize(all_rows ? tokens.size() : 1);
  std::iota(rows_.begin(), rows_.end(), static_cast<int32_t>(all_rows ? 0 : count - 1));
  const BatchSequence sequence{0, static_cast<int32_t>(count), static_cast<int32_t>(begin + count),
                               blocks_, adapter_};
  auto answer = run({tokens, positions_, {&sequence, 1}, rows_});
  if (answer) tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  return answer;
}

Result<std::span<const float>> Session::step(std::span<const int32_t> tokens, bool all_rows) {
  return step(tokens, all_rows, [&](const Batch& batch) { return executable_.run(batch); });
}

Result<std::span<const float>> Session::append(std::span<const int32_t> tokens) {
  LOTSE_CHECK(!tokens.empty());
  const auto chunk = static_cast<size_t>(limits_.max_tokens);
  std::span<const float> logits;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    logits = LOTSE_TRY(step(tokens.subspan(begin, std::min(chunk, tokens.size() - begin)), false));
  }
  return logits;
}

Result<TopLogits> Session::append_top(std::span<const int32_t> tokens, const TopRequest& request) {
  LOTSE_CHECK(!tokens.empty());
  const auto chunk = static_cast<size_t>(limits_.max_tokens);
  TopLogits top{};
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto part = tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    top = LOTSE_TRY(
        step(part, false, [&](const Batch& batch) { return executable_.run_top(batch, request); }));
  }
  return top;
}

}  // namespace lotse
