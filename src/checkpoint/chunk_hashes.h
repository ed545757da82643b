// The hashes that an artifact's lotse.json lists of the chunks of its files, checked when a chunk
// is first read, so that a damaged weight is an error and not a wrong answer. Format:
// docs/artifact.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace lotse {

inline constexpr const char* kManifestName = "lotse.json";

// Bytes under one XXH3 hash; the last chunk of a file may be shorter.
inline constexpr int64_t kChunkBytes = int64_t{16} << 20;

// Field "xxh3" of a file's entry in lotse.json; empty when absent.
Result<std::vector<uint64_t>> read_chunk_hashes(const JsonFields& file);

// By file name, what lotse.json of `directory` lists; empty without a lotse.json.
Result<std::map<std::string, std::vector<uint64_t>>> listed_chunk_hashes(
    const std::filesystem::path& directory);

// Thread-safe: two threads may check one chunk twice, never skip it.
class CheckedChunks {
 public:
  // `bytes` is the whole mapped file and outlives this object. Error: invalid_input when the number
  // of hashes does not fit the file's size.
  static Result<std::shared_ptr<const CheckedChunks>> create(std::string file,
                                                             std::span<const std::byte> bytes,
                                                             std::vector<uint64_t> hashes);

  // Hashes the chunks that `part` of the file touches and that were not checked before. Error:
  // invalid_input names the file and the first chunk that differs.
  Result<void> check(std::span<const std::byte> part) const;

 private:
  CheckedChunks(std::string file, std::span<const std::byte> bytes, std::vector<uint64_t> hashes)
      : file_(std::move(file)), bytes_(bytes), hashes_(std::move(hashes)), done_(hashes_.size()) {}

  std::string file_;
  std::span<const std::byte> bytes_;
  std::vector<uint64_t> hashes_;
  mutable std::vector<std::atomic<bool>> done_;
};

}  // namespace lotse
