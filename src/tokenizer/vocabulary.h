// The strings of a vocabulary and their ids: one arena of bytes and one flat hash table.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace lotse {

// The largest id that Lotse accepts, well above the largest published vocabulary (about 260,000).
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 21) - 2;

// How far ids may run ahead of the number of tokens, so that memory is bounded by the size of the
// input.
inline constexpr int64_t kMaxIdGap = 65536;

// Read-only and thread-safe once filled.
class Vocabulary {
 public:
  // `byte_level`: tokens are written in the alphabet of byte_level.h and kept as the bytes they
  // stand for. Tokens with characters outside it are found by their written form only.
  // `expected` sizes the tables; ids may leave gaps but must stay below expected + kMaxIdGap.
  Vocabulary(bool byte_level, int64_t expected);

  // `place` names the field in errors: an id out of range, or a token or an id that stands twice.
  Result<void> add(std::string_view written, int64_t id, std::string_view place);

  bool byte_level() const { return byte_level_; }
  // One above the largest id.
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }
  bool contains(int32_t id) const;

  // By the bytes of text; −1 when absent.
  int32_t find(std::string_view bytes) const { return end_find({bytes, hash(bytes)}); }
  // The same in two steps, so that many look-ups can be begun, and their memory be on its way to
  // the cache, before the first is finished.
  struct Key {
    std::string_view bytes;
    uint64_t hash = 0;
  };
  Key begin_find(std::string_view bytes) const;
  int32_t end_find(const Key& key) const;
  // Whether find(bytes) gives `id`; faster.
  bool is(int32_t id, std::string_view bytes) const;
  // By the form written in the file; −1 when absent.
  int32_t find_written(std::string_view written) const;
  // The bytes (or, outside the alphabet, the written form) of an id that contains() knows.
  std::string_view bytes(int32_t id) const;
  std::string written(int32_t id) const;
  int64_t longest_token() const { return longest_; }
  // The ids of <0x00> to <0xFF>, −1 for those that are missing.
  std::array<int32_t, 256> byte_fallback_ids() const;

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  struct Token {
    uint32_t begin = 0;
    int32_t length = kAbsent;  // negative for a gap
    bool outside_alphabet = false;
  };
  static constexpr int32_t kAbsent = -1;

  uint64_t hash(std::string_view bytes) const;
  Result<void> insert(std::string_view bytes, int32_t id, std::string_view place);
  void grow();

  bool byte_level_;
  int64_t id_limit_;
  uint64_t seed_;
  int64_t count_ = 0;
  int64_t longest_ = 0;
  std::string arena_;
  std::vector<Token> tokens_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  std::unordered_map<std::string, int32_t> outside_alphabet_;
};

// A number that differs from run to run, so that nobody can prepare colliding keys.
uint64_t hash_seed();

}  // namespace lotse
