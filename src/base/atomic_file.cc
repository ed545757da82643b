#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lotse {
namespace {

std::unexpected<Error> io_error(const std::filesystem::path& path, const char* action) {
  return fail(ErrorCode::io, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

}  // namespace

int FileCalls::open(const char* path, int flags, unsigned mode) {
  return ::open(path, flags, mode);
}
int64_t FileCalls::write(int fd, const void* data, size_t size) { return ::write(fd, data, size); }
int FileCalls::fsync(int fd) { return ::fsync(fd); }
int FileCalls::close(int fd) { return ::close(fd); }
int FileCalls::rename(const char* from, const char* to) { return ::rename(from, to); }
int FileCalls::unlink(const char* path) { return ::unlink(path); }
int FileCalls::mkdir(const char* path, unsigned mode) { return ::mkdir(path, mode); }

FileCalls& FileCalls::system() {
  static FileCalls calls;
  return calls;
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path, FileCalls& calls) {
  std::filesystem::path temporary = path;
  temporary += ".partial";
  const int fd = calls.open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return io_error(temporary, "create");
  return AtomicFile(path, std::move(temporary), fd, calls);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : calls_(other.calls_),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  calls_.close(fd_);
  calls_.unlink(temporary_.c_str());
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const int64_t written = calls_.write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = EIO;  // no progress and no reason given
    if (written <= 0) return io_error(path_, "write");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<void> AtomicFile::write(std::string_view text) {
  return write(std::as_bytes(std::span(text.data(), text.size())));
}

Result<void> AtomicFile::commit() {
  LOTSE_CHECK(fd_ >= 0);
  if (calls_.fsync(fd_) != 0) return io_error(path_, "sync");
  const int closed = calls_.close(std::exchange(fd_, -1));
  if (closed != 0 || calls_.rename(temporary_.c_str(), path_.c_str()) != 0) {
    const auto error = io_error(path_, "rename into place");
    calls_.unlink(temporary_.c_str());
    return error;
  }
  const std::filesystem::path parent = path_.parent_path();
  return sync_directory(parent.empty() ? "." : parent, calls_);
}

Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text,
                                   FileCalls& calls) {
  AtomicFile file = LOTSE_TRY(AtomicFile::create(path, calls));
  LOTSE_TRY(file.write(text));
  return file.commit();
}

Result<void> sync_directory(const std::filesystem::path& directory, FileCalls& calls) {
  const int fd = calls.open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return io_error(directory, "open");
  const int synced = calls.fsync(fd);
  const int sync_error = errno;
  calls.close(fd);
  errno = sync_error;
  if (synced != 0 && sync_error != EINVAL) return io_error(directory, "sync");
  return {};
}

}  // namespace lotse
