// API keys: who may ask, and whose prefixes are shared with whom.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

// Holds digests only. Immutable; thread-safe.
class ApiKeys {
 public:
  // One key a line; empty lines and those that begin with # do not count. Errors: a file that
  // cannot be read, has no key, or one with white space or fewer than 8 bytes.
  static Result<ApiKeys> load(const std::string& path);
  static ApiKeys from(const std::vector<std::string>& keys);

  bool empty() const { return digests_.empty(); }
  // The number of the key, counting from 0; nothing when it is none of them. Takes the same time
  // for every key of one length.
  std::optional<size_t> find(std::string_view key) const;

 private:
  std::vector<std::string> digests_;  // SHA-256
};

}  // namespace lotse
