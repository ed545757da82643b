// Hashes that name content: SHA-256 for whole files, XXH3 for chunks checked while reading.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace lotse {

// Incremental SHA-256 (FIPS 180-4). Not thread-safe; one object a stream.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  // The digest; the object is used up.
  std::array<std::byte, 32> digest();
  // The same as 64 lower-case hexadecimal digits.
  std::string hex_digest();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);

// XXH3, 64 bits.
uint64_t xxh3(std::span<const std::byte> bytes);

}  // namespace lotse
