#include "engine/step_message.h"

#include <array>
#include <cstring>

namespace lotse {
namespace {

void append(std::vector<int32_t>& numbers, std::span<const int32_t> list) {
  numbers.push_back(static_cast<int32_t>(list.size()));
  numbers.insert(numbers.end(), list.begin(), list.end());
}

// Takes a list that append() wrote from the front of `rest`.
std::span<const int32_t> take(std::span<const int32_t>& rest) {
  LOTSE_CHECK(!rest.empty() && rest[0] >= 0 && static_cast<size_t>(rest[0]) < rest.size());
  const auto list = rest.subspan(1, static_cast<size_t>(rest[0]));
  rest = rest.subspan(1 + list.size());
  return list;
}

}  // namespace

std::vector<std::byte> to_message(const Batch& batch) {
  std::vector<int32_t> numbers;
  append(numbers, batch.tokens);
  append(numbers, batch.positions);
  append(numbers, batch.output_rows);
  for (const BatchSequence& s : batch.sequences) {
    append(numbers, std::array{s.first_token, s.tokens, s.context});
    append(numbers, s.blocks);
  }
  const auto bytes = std::as_bytes(std::span(numbers));
  return {bytes.begin(), bytes.end()};
}

ReceivedBatch::ReceivedBatch(std::span<const std::byte> message)
    : numbers_(message.size() / sizeof(int32_t)) {
  std::memcpy(numbers_.data(), message.data(), numbers_.size() * sizeof(int32_t));
  std::span<const int32_t> rest = numbers_;
  tokens_ = take(rest);
  positions_ = take(rest);
  rows_ = take(rest);
  while (!rest.empty()) {
    const auto facts = take(rest);
    LOTSE_CHECK(facts.size() == 3);
    sequences_.push_back({facts[0], facts[1], facts[2], take(rest)});
  }
}

}  // namespace lotse
