// Messages between two processes of one machine.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace lotse {

// One end of a connected stream socket; each message arrives whole and in order. One caller at a
// time. Both ends are the same program: a message is trusted.
class Channel {
 public:
  explicit Channel(int descriptor) : descriptor_(descriptor) {}  // owned from now on
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&&) = delete;
  ~Channel();

  Result<void> send(std::span<const std::byte> message);
  // Makes the other end's receive() fail with `error`.
  Result<void> send_error(const Error& error);

  // Waits for the next message. Errors: what the other end gave to send_error(); io when it is
  // gone, or silent for as long as `patience`.
  Result<std::vector<std::byte>> receive(
      std::optional<std::chrono::milliseconds> patience = std::nullopt);

  // Whether the other end is gone: on purpose, when it has done its work.
  bool is_closed() const { return is_closed_; }
  // What the other end gave to send_error() and receive() has returned.
  const std::optional<Error>& told() const { return told_; }

 private:
  enum class Kind : uint8_t { message, error };
  struct Header {
    Kind kind;
    uint8_t code;  // of an error
    uint64_t size;
  };

  Result<void> write(const Header& header, std::span<const std::byte> body);
  Result<void> write_all(std::span<const std::byte> bytes);
  Result<void> read_all(std::span<std::byte> bytes,
                        std::optional<std::chrono::milliseconds> patience);
  std::unexpected<Error> gone();

  int descriptor_;
  bool is_closed_ = false;
  std::optional<Error> told_;
};

}  // namespace lotse
