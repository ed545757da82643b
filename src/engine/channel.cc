#include "engine/channel.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace lotse {

Channel::Channel(Channel&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), is_closed_(other.is_closed_) {}

Channel::~Channel() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> Channel::send(std::span<const std::byte> message) {
  return write({Kind::message, 0, message.size()}, message);
}

Result<void> Channel::send_error(const Error& error) {
  const std::string_view text = error.message;
  return write({Kind::error, static_cast<uint8_t>(error.code), text.size()},
               std::as_bytes(std::span(text)));
}

Result<std::vector<std::byte>> Channel::receive(std::optional<std::chrono::milliseconds> patience) {
  Header header{};
  LOTSE_TRY(read_all(std::as_writable_bytes(std::span(&header, 1)), patience));
  std::vector<std::byte> body(header.size);
  LOTSE_TRY(read_all(body, patience));
  if (header.kind == Kind::message) return body;
  told_ = Error{static_cast<ErrorCode>(header.code),
                {reinterpret_cast<const char*>(body.data()), body.size()}};
  return std::unexpected(*told_);
}

Result<void> Channel::write(const Header& header, std::span<const std::byte> body) {
  LOTSE_TRY(write_all(std::as_bytes(std::span(&header, 1))));
  return write_all(body);
}

Result<void> Channel::write_all(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return gone();
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<void> Channel::read_all(std::span<std::byte> bytes,
                               std::optional<std::chrono::milliseconds> patience) {
  while (!bytes.empty()) {
    pollfd waiting{descriptor_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, patience ? static_cast<int>(patience->count()) : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      return fail(ErrorCode::io, "no answer for {:.1f} s",
                  static_cast<double>(patience->count()) * 1e-3);
    }
    const ssize_t count = ::recv(descriptor_, bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return gone();
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

std::unexpected<Error> Channel::gone() {
  is_closed_ = true;
  return fail(ErrorCode::io, "the process has ended");
}

}  // namespace lotse
