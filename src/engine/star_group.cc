#include "engine/star_group.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/environment.h"

namespace lotse {
namespace {

// An error of a channel with the rank at its other end.
Error about(int32_t rank, const Error& error) {
  return {error.code, fmt::format("rank {}: {}", rank, error.message)};
}

}  // namespace

std::chrono::milliseconds rank_timeout() {
  constexpr int kDefault = 120;
  int seconds = kDefault;
  const std::string text = environment("LOTSE_RANK_TIMEOUT");
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(std::clamp(seconds, 1, 86400));
}

Result<std::vector<std::byte>> StarGroup::broadcast(std::vector<std::byte> bytes) {
  if (rank_ != 0) {
    auto received = channels_[0].receive();
    if (!received) return std::unexpected(about(0, received.error()));
    return received;
  }
  for (size_t i = 0; i < channels_.size(); ++i) {
    if (const auto sent = channels_[i].send(bytes); !sent) {
      return std::unexpected(about(static_cast<int32_t>(i) + 1, sent.error()));
    }
  }
  return bytes;
}

Result<void> StarGroup::all_reduce(std::span<float> values) {
  if (rank_ == 0) {
    part_.resize(values.size());
    for (size_t i = 0; i < channels_.size(); ++i) {
      LOTSE_TRY(receive(i, part_));
      for (size_t k = 0; k < values.size(); ++k) values[k] += part_[k];
    }
  } else {
    LOTSE_TRY(send(0, values));
  }
  return share(values);
}

Result<void> StarGroup::all_gather(std::span<const float> mine, std::span<float> all) {
  if (rank_ == 0) {
    std::ranges::copy(mine, all.begin());
    for (size_t i = 0; i < channels_.size(); ++i) {
      LOTSE_TRY(receive(i, all.subspan((i + 1) * mine.size(), mine.size())));
    }
  } else {
    LOTSE_TRY(send(0, mine));
  }
  return share(all);
}

Result<void> StarGroup::share(std::span<float> values) {
  if (rank_ != 0) return receive(0, values);
  for (size_t i = 0; i < channels_.size(); ++i) LOTSE_TRY(send(i, values));
  return {};
}

Result<void> StarGroup::send(size_t channel, std::span<const float> values) {
  const auto sent = channels_[channel].send(std::as_bytes(values));
  if (sent) return {};
  return std::unexpected(about(rank_ == 0 ? static_cast<int32_t>(channel) + 1 : 0, sent.error()));
}

Result<void> StarGroup::receive(size_t channel, std::span<float> values) {
  const int32_t other = rank_ == 0 ? static_cast<int32_t>(channel) + 1 : 0;
  const auto bytes = channels_[channel].receive(rank_timeout());
  if (!bytes) return std::unexpected(about(other, bytes.error()));
  if (bytes->size() != values.size_bytes()) {
    return fail(ErrorCode::io, "rank {}: sent {} bytes where {} were expected", other,
                bytes->size(), values.size_bytes());
  }
  std::memcpy(values.data(), bytes->data(), bytes->size());
  return {};
}

}  // namespace lotse
