// Files whose content is hashed while it is written or read.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "base/result.h"
#include "checkpoint/chunk_hashes.h"

namespace lotse {

struct FileHashes {
  int64_t bytes = 0;
  std::string sha256;
  std::vector<uint64_t> chunks;  // XXH3 of each

  bool operator==(const FileHashes&) const = default;
};

// Collects bytes into chunks and hashes each. Not thread-safe.
class ChunkHasher {
 public:
  // One whole chunk, or the last.
  void add_chunk(std::span<const std::byte> chunk);
  FileHashes finish();

 private:
  Sha256 sha256_;
  FileHashes hashes_;
};

// An AtomicFile that is hashed as it is written, in chunks.
class HashedFile {
 public:
  static Result<HashedFile> create(const std::filesystem::path& path, FileCalls& calls);

  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text);
  // Syncs and renames into place.
  Result<FileHashes> commit();

 private:
  explicit HashedFile(AtomicFile file) : file_(std::move(file)) {}
  Result<void> flush();

  AtomicFile file_;
  std::unique_ptr<ChunkHasher> hasher_ = std::make_unique<ChunkHasher>();
  std::vector<std::byte> chunk_;
};

// Reads a whole file; `on_bytes` hears how many more were read, after every chunk.
Result<FileHashes> hash_file(const std::filesystem::path& path,
                             const std::function<void(int64_t)>& on_bytes = {});

}  // namespace lotse
