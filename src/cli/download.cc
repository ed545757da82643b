#include "cli/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/atomic_file.h"
#include "base/hash.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = size_t{1} << 20;

fs::path partial_path(const fs::path& path) { return path.string() + ".partial"; }

std::unexpected<Error> io_error(const fs::path& path, const char* what) {
  return fail(ErrorCode::io, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

// Hashes an open file from its beginning to its end, where its position then stands.
Result<int64_t> hash_file(int fd, const fs::path& path, Sha256& hash) {
  std::vector<std::byte> buffer(kReadBytes);
  int64_t total = 0;
  while (true) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0) return io_error(path, "read");
    if (count == 0) return total;
    hash.update(std::span(buffer).first(static_cast<size_t>(count)));
    total += count;
  }
}

// The file under its temporary name, hashed as it grows.
class PartialFile {
 public:
  explicit PartialFile(const fs::path& path) : path_(partial_path(path)), final_path_(path) {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<void> open() {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd_ < 0) return io_error(path_, "write");
    size_ = LOTSE_TRY(hash_file(fd_, path_, *hash_));
    return {};
  }

  Result<void> restart() {
    if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) return io_error(path_, "write");
    hash_ = std::make_unique<Sha256>();
    size_ = 0;
    return {};
  }

  Result<void> append(std::span<const std::byte> bytes) {
    hash_->update(bytes);
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0) return io_error(path_, "write");
      size_ += count;
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return {};
  }

  // The digest of all that was written; only once, before commit or after a restart.
  std::string digest() { return hash_->hex_digest(); }
  int64_t size() const { return size_; }
  void remove() { ::unlink(path_.c_str()); }

  Result<void> commit() {
    if (::fsync(fd_) != 0) return io_error(path_, "write");
    if (::rename(path_.c_str(), final_path_.c_str()) != 0) return io_error(final_path_, "write");
    return sync_directory(final_path_.parent_path());
  }

 private:
  fs::path path_;
  fs::path final_path_;
  std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
  int64_t size_ = 0;
  int fd_ = -1;
};

// Requests what `partial` lacks, once.
Result<HttpReply> request_rest(HttpClient& http, const Hub& hub, const std::string& url,
                               const HubFile& file, PartialFile& partial,
                               const std::function<void(int64_t)>& on_progress) {
  const int64_t offset = partial.size();
  bool first = true;
  return http.get({url, hub.token, offset},
                  [&](const HttpReply& reply, std::span<const std::byte> piece) -> Result<void> {
                    const bool continues = reply.status == 206 && reply.range_start == offset;
                    if (std::exchange(first, false) && offset > 0 && !continues) {
                      LOTSE_TRY(partial.restart());
                    }
                    if (file.size >= 0 && partial.size() + std::ssize(piece) > file.size) {
                      partial.remove();
                      return fail(ErrorCode::invalid_input,
                                  "{}: the server sends more than the {} bytes it announced",
                                  file.path, file.size);
                    }
                    LOTSE_TRY(partial.append(piece));
                    on_progress(partial.size());
                    return {};
                  });
}

// Requests until the file is whole.
Result<void> complete(HttpClient& http, const Hub& hub, const HubModel& model, const HubFile& file,
                      PartialFile& partial, const RetryPolicy& retry,
                      const std::function<void(int64_t)>& on_progress) {
  const std::string url = hub.file_url(model, file);
  int failures = 0;
  while (file.size < 0 || partial.size() != file.size || file.size == 0) {
    const int64_t before = partial.size();
    HttpReply reply = LOTSE_TRY(request_rest(http, hub, url, file, partial, on_progress));
    if (reply.status == 416) {
      // Nothing lies behind what is here, so it cannot be the beginning of this file.
      LOTSE_TRY(partial.restart());
      reply.transient = before > 0;
    } else if (reply.failure.empty() && (file.size < 0 || partial.size() == file.size)) {
      return {};
    } else if (reply.failure.empty()) {
      reply.failure =
          fmt::format("the answer ended after {} of {} bytes", partial.size(), file.size);
      reply.transient = true;
    }
    if (partial.size() > before) failures = 0;
    if (!reply.transient || failures == retry.retries) {
      Error error = hub_error(hub, model.repository, reply);
      error.message = fmt::format("{}: {}", file.path, error.message);
      return std::unexpected(std::move(error));
    }
    retry.wait(failures++);
  }
  return {};
}

}  // namespace

Result<bool> is_complete(const fs::path& path, const HubFile& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  if (file.size >= 0 && static_cast<int64_t>(fs::file_size(path, ignored)) != file.size)
    return false;
  if (file.sha256.empty()) return file.size >= 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error(path, "read");
  Sha256 hash;
  const auto size = hash_file(fd, path, hash);
  ::close(fd);
  LOTSE_TRY(Result<int64_t>(size));
  return hash.hex_digest() == file.sha256;
}

int64_t partial_bytes(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(partial_path(path), error);
  return error ? 0 : static_cast<int64_t>(size);
}

Result<void> download_file(HttpClient& http, const Hub& hub, const HubModel& model,
                           const HubFile& file, const fs::path& path, const RetryPolicy& retry,
                           const std::function<void(int64_t)>& on_progress) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    return fail(ErrorCode::io, "{}: cannot create the directory: {}", path.parent_path().string(),
                error.message());
  }
  PartialFile partial(path);
  LOTSE_TRY(partial.open());
  // Without a hash nothing tells whether the beginning belongs to the same version of the file.
  if (file.sha256.empty() || partial.size() > file.size) LOTSE_TRY(partial.restart());
  const bool continued = partial.size() > 0;
  LOTSE_TRY(complete(http, hub, model, file, partial, retry, on_progress));
  if (file.sha256.empty()) return partial.commit();
  std::string digest = partial.digest();
  if (digest != file.sha256 && continued) {
    LOTSE_TRY(partial.restart());
    LOTSE_TRY(complete(http, hub, model, file, partial, retry, on_progress));
    digest = partial.digest();
  }
  if (digest == file.sha256) return partial.commit();
  partial.remove();
  return fail(ErrorCode::invalid_input,
              "{}: SHA-256 is {}, the hub says {}: the download is corrupt and was removed; try "
              "again, or another HF_ENDPOINT",
              file.path, digest, file.sha256);
}

}  // namespace lotse::cli
