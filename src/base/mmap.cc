#include "base/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace lotse {

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::not_found : ErrorCode::io;
    return fail(code, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    return fail(ErrorCode::invalid_input, "{}: not a regular file", path.string());
  }
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) {
    ::close(fd);
    return std::shared_ptr<const MappedFile>(new MappedFile(path, nullptr, 0));
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int map_error = errno;
  ::close(fd);
  if (data == MAP_FAILED) {
    return fail(ErrorCode::io, "{}: cannot map {} bytes: {}", path.string(), size,
                std::strerror(map_error));
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

Result<std::string> read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  const auto file = LOTSE_TRY(MappedFile::open(path));
  if (static_cast<int64_t>(file->bytes().size()) > max_bytes) {
    return fail(ErrorCode::limit, "{}: {} bytes, more than the limit of {} bytes", path.string(),
                file->bytes().size(), max_bytes);
  }
  return std::string(file->text());
}

}  // namespace lotse
