#include "tokenizer/vocabulary.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <random>

#include "tokenizer/byte_level.h"
#include "tokenizer/shown.h"

namespace lotse {
namespace {

constexpr size_t kMaxArena = size_t{1} << 30;

std::string quoted(std::string_view token) { return fmt::format("\"{}\"", shown_briefly(token)); }

}  // namespace

uint64_t hash_seed() {
  static const uint64_t seed = (uint64_t{std::random_device{}()} << 32) | std::random_device{}();
  return seed;
}

Vocabulary::Vocabulary(bool byte_level, int64_t expected)
    : byte_level_(byte_level),
      id_limit_(std::min(expected + kMaxIdGap, kMaxTokenId + 1)),
      seed_(hash_seed()) {
  const size_t count = static_cast<size_t>(std::min(expected, kMaxTokenId));
  slots_.resize(std::bit_ceil(std::max<size_t>(16, 2 * count)));
  tokens_.reserve(count);
  arena_.reserve(8 * count);
}

uint64_t Vocabulary::hash(std::string_view bytes) const {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed_);
}

Result<void> Vocabulary::add(std::string_view written, int64_t id, std::string_view place) {
  if (id < 0 || id >= id_limit_) {
    return fail(ErrorCode::invalid_input, "{}: id {} of {} is outside 0 to {}", place, id,
                quoted(written), id_limit_ - 1);
  }
  const auto token_id = static_cast<int32_t>(id);
  if (contains(token_id)) {
    return fail(ErrorCode::invalid_input, "{}: id {} stands for both {} and {}", place, id,
                quoted(this->written(token_id)), quoted(written));
  }
  const size_t begin = arena_.size();
  if (begin + written.size() > kMaxArena) {
    return fail(ErrorCode::limit, "{}: more than {} bytes of tokens", place, kMaxArena);
  }
  const bool outside = byte_level_ && !append_bytes_of(arena_, written);
  if (!byte_level_ || outside) {
    arena_.resize(begin);
    arena_ += written;
  }
  const std::string_view bytes = std::string_view(arena_).substr(begin);
  if (outside) {
    if (!outside_alphabet_.emplace(written, token_id).second) {
      return fail(ErrorCode::invalid_input, "{}: {} stands twice", place, quoted(written));
    }
  } else {
    LOTSE_TRY(insert(bytes, token_id, place));
  }
  if (id >= size()) tokens_.resize(static_cast<size_t>(id) + 1);
  tokens_[static_cast<size_t>(id)] = {static_cast<uint32_t>(begin),
                                      static_cast<int32_t>(bytes.size()), outside};
  longest_ = std::max(longest_, static_cast<int64_t>(bytes.size()));
  return {};
}

Result<void> Vocabulary::insert(std::string_view bytes, int32_t id, std::string_view place) {
  if (2 * static_cast<size_t>(count_ + 1) > slots_.size()) grow();
  const uint64_t h = hash(bytes);
  const size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(h >> 32);
  size_t i = h & mask;
  for (; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && this->bytes(slots_[i].id) == bytes) {
      return fail(ErrorCode::invalid_input, "{}: {} stands twice", place,
                  quoted(written(slots_[i].id)));
    }
  }
  slots_[i] = {tag, id};
  ++count_;
  return {};
}

void Vocabulary::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t i = hash(bytes(slot.id)) & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

bool Vocabulary::contains(int32_t id) const {
  return id >= 0 && id < size() && tokens_[static_cast<size_t>(id)].length != kAbsent;
}

Vocabulary::Key Vocabulary::begin_find(std::string_view bytes) const {
  const Key key{bytes, hash(bytes)};
  __builtin_prefetch(&slots_[key.hash & (slots_.size() - 1)]);
  return key;
}

int32_t Vocabulary::end_find(const Key& key) const {
  const size_t mask = slots_.size() - 1;
  const auto tag = static_cast<uint32_t>(key.hash >> 32);
  for (size_t i = key.hash & mask; slots_[i].id >= 0; i = (i + 1) & mask) {
    if (slots_[i].tag == tag && bytes(slots_[i].id) == key.bytes) return slots_[i].id;
  }
  return -1;
}

bool Vocabulary::is(int32_t id, std::string_view bytes) const {
  return contains(id) && !tokens_[static_cast<size_t>(id)].outside_alphabet &&
         this->bytes(id) == bytes;
}

int32_t Vocabulary::find_written(std::string_view written) const {
  if (!byte_level_) return find(written);
  std::string raw;
  if (append_bytes_of(raw, written)) return find(raw);
  const auto it = outside_alphabet_.find(std::string(written));
  return it == outside_alphabet_.end() ? -1 : it->second;
}

std::string_view Vocabulary::bytes(int32_t id) const {
  const Token& token = tokens_[static_cast<size_t>(id)];
  return std::string_view(arena_).substr(token.begin, static_cast<size_t>(token.length));
}

std::string Vocabulary::written(int32_t id) const {
  if (!byte_level_ || tokens_[static_cast<size_t>(id)].outside_alphabet) {
    return std::string(bytes(id));
  }
  std::string out;
  append_byte_level(out, bytes(id));
  return out;
}

std::array<int32_t, 256> Vocabulary::byte_fallback_ids() const {
  std::array<int32_t, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    ids[static_cast<size_t>(byte)] = find_written(fmt::format("<0x{:02X}>", byte));
  }
  return ids;
}

}  // namespace lotse
