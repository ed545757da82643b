#include "server/api_keys.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <sstream>

#include "base/hash.h"
#include "base/mmap.h"

namespace lotse {
namespace {

constexpr int64_t kMaxFile = 1 << 20;
constexpr size_t kMinKey = 8;

std::string digest(std::string_view key) {
  return sha256_hex(std::as_bytes(std::span(key.data(), key.size())));
}

}  // namespace

ApiKeys ApiKeys::from(const std::vector<std::string>& keys) {
  ApiKeys result;
  for (const std::string& key : keys) result.digests_.push_back(digest(key));
  return result;
}

Result<ApiKeys> ApiKeys::load(const std::string& path) {
  std::istringstream text(LOTSE_TRY(read_text_file(path, kMaxFile)));
  std::vector<std::string> keys;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    const bool spaced = std::ranges::any_of(line, [](char c) { return c == ' ' || c == '\t'; });
    if (spaced || line.size() < kMinKey) {
      return fail(ErrorCode::invalid_input,
                  "{}:{}: expected a key of at least {} bytes without white space", path, number,
                  kMinKey);
    }
    keys.push_back(line);
  }
  if (keys.empty()) return fail(ErrorCode::invalid_input, "{}: there is no key in it", path);
  return from(keys);
}

std::optional<size_t> ApiKeys::find(std::string_view key) const {
  const std::string asked = digest(key);
  std::optional<size_t> found;
  for (size_t i = 0; i < digests_.size(); ++i) {
    const bool equal = CRYPTO_memcmp(asked.data(), digests_[i].data(), asked.size()) == 0;
    if (equal) found = i;
  }
  return found;
}

}  // namespace lotse
