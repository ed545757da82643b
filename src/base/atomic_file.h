// Files that appear whole or not at all: written under a temporary name, synced, renamed, and the
// directory synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/result.h"

namespace lotse {

// The system calls that change files, replaceable so that tests can inject full disks, I/O errors
// and short writes. Each returns what the call of its name returns, and sets errno. Thread-safe.
class FileCalls {
 public:
  virtual ~FileCalls() = default;
  virtual int open(const char* path, int flags, unsigned mode);
  virtual int64_t write(int fd, const void* data, size_t size);
  virtual int fsync(int fd);
  virtual int close(int fd);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);
  virtual int mkdir(const char* path, unsigned mode);

  static FileCalls& system();
};

// One file being written. Not thread-safe. Unless commit() succeeded, the destructor removes the
// temporary file and the destination is as it was before.
class AtomicFile {
 public:
  // Opens `path`.partial (truncating what an interrupted run left there).
  // `calls` must outlive the object.
  static Result<AtomicFile> create(const std::filesystem::path& path,
                                   FileCalls& calls = FileCalls::system());

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Appends; an error (disk full, I/O) names the destination.
  Result<void> write(std::span<const std::byte> bytes);
  Result<void> write(std::string_view text);
  // fsync, rename over the destination, fsync of the directory.
  Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path temporary, int fd, FileCalls& calls)
      : calls_(calls), path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  FileCalls& calls_;
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

// Writes a whole small file atomically.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text,
                                   FileCalls& calls = FileCalls::system());

// fsync of a directory, so that renames inside it survive a power cut.
Result<void> sync_directory(const std::filesystem::path& directory,
                            FileCalls& calls = FileCalls::system());

}  // namespace lotse
