#include "port/hashed_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lotse {
namespace {

// Reads until `buffer` is full or the file ends; negative with errno on failure.
int64_t read_fully(int fd, std::span<std::byte> buffer) {
  size_t filled = 0;
  while (filled < buffer.size()) {
    const ssize_t got = ::read(fd, buffer.data() + filled, buffer.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return got;
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return static_cast<int64_t>(filled);
}

}  // namespace

void ChunkHasher::add_chunk(std::span<const std::byte> chunk) {
  sha256_.update(chunk);
  hashes_.chunks.push_back(xxh3(chunk));
  hashes_.bytes += static_cast<int64_t>(chunk.size());
}

FileHashes ChunkHasher::finish() {
  hashes_.sha256 = sha256_.hex_digest();
  return std::move(hashes_);
}

Result<HashedFile> HashedFile::create(const std::filesystem::path& path, FileCalls& calls) {
  return HashedFile(LOTSE_TRY(AtomicFile::create(path, calls)));
}

Result<void> HashedFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const size_t room = static_cast<size_t>(kChunkBytes) - chunk_.size();
    const size_t count = std::min(room, bytes.size());
    chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    if (count == room) LOTSE_TRY(flush());
  }
  return {};
}

Result<void> HashedFile::write(std::string_view text) {
  return write(std::as_bytes(std::span(text.data(), text.size())));
}

Result<void> HashedFile::flush() {
  hasher_->add_chunk(chunk_);
  LOTSE_TRY(file_.write(chunk_));
  chunk_.clear();
  return {};
}

Result<FileHashes> HashedFile::commit() {
  if (!chunk_.empty()) LOTSE_TRY(flush());
  LOTSE_TRY(file_.commit());
  return hasher_->finish();
}

Result<FileHashes> hash_file(const std::filesystem::path& path,
                             const std::function<void(int64_t)>& on_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io, "{}: cannot open: {}",
                path.string(), std::strerror(errno));
  }
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  ChunkHasher hasher;
  std::vector<std::byte> buffer(static_cast<size_t>(kChunkBytes));
  int64_t got = 0;
  while ((got = read_fully(fd, buffer)) > 0) {
    hasher.add_chunk(std::span(buffer).first(static_cast<size_t>(got)));
    if (on_bytes) on_bytes(got);
  }
  const int read_error = errno;
  ::close(fd);
  if (got < 0) {
    return fail(ErrorCode::io, "{}: cannot read: {}", path.string(), std::strerror(read_error));
  }
  return hasher.finish();
}

}  // namespace lotse
