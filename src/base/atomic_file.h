// Files that appear whole or not at all: written under a temporary name, synced, renamed, and the
// directory synced.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace lotse {

// One file being written. Not thread-safe. Unless commit() succeeded, the destructor removes the
// temporary file and the destination is as it was before.
class AtomicFile {
 public:
  // Opens `path`.partial (truncating what an interrupted run left there).
  static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Appends; an error (disk full, I/O) names the destination.
  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text);
  // fsync, rename over the destination, fsync of the directory.
  Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

// Writes a whole small file atomically.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text);

// fsync of a directory, so that renames inside it survive a power cut.
Result<void> sync_directory(const std::filesystem::path& directory);

}  // namespace lotse
