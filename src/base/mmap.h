// A file mapped read-only into memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"

namespace lotse {

// Shared, immutable and thread-safe. The mapping is private: a file truncated by another process
// while mapped raises SIGBUS on access, which is the operating system's contract, not ours.
class MappedFile {
 public:
  // Maps the whole of a regular file (an empty file gives empty bytes). Errors: not_found, io,
  // invalid_input for something that is not a regular file.
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  std::filesystem::path path_;
  const std::byte* data_;
  size_t size_;
};

// Reads a whole text file of at most `max_bytes`; a larger one is a limit error.
Result<std::string> read_text_file(const std::filesystem::path& path, int64_t max_bytes);

}  // namespace lotse
