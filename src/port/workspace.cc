#include "port/workspace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lotse {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> io_error(const fs::path& path, const char* action) {
  return fail(ErrorCode::io, "{}: cannot {}: {}", path.string(), action, std::strerror(errno));
}

fs::path with_suffix(fs::path path, const char* suffix) {
  path += suffix;
  return path;
}

bool is_there(const fs::path& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0;
}

// Whether `inner` is `outer` or below it; both are canonical.
bool is_within(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

Result<fs::path> resolved(const fs::path& path) {
  std::error_code error;
  // Of a relative path that does not exist yet, the canonical form would stay relative.
  fs::path result = fs::absolute(path, error);
  if (!error) result = fs::weakly_canonical(result, error);
  if (error) return fail(ErrorCode::io, "{}: {}", path.string(), error.message());
  if (!result.has_filename()) result = result.parent_path();  // "out/"
  return result;
}

// Opens and locks `path`. The file at `path` may be unlinked by another process between the two:
// then the lock is worthless and one on the new file is taken.
Result<int> take_lock(const fs::path& path, FileCalls& calls) {
  for (;;) {
    const int fd = calls.open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return io_error(path, "create the lock");
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const auto error =
          errno == EWOULDBLOCK
              ? fail(ErrorCode::io, "{}: another `lotse port` is writing here; wait for it to end",
                     path.string())
              : io_error(path, "lock");
      calls.close(fd);
      return error;
    }
    struct stat locked{};
    struct stat current{};
    if (::fstat(fd, &locked) == 0 && ::stat(path.c_str(), &current) == 0 &&
        locked.st_ino == current.st_ino && locked.st_dev == current.st_dev) {
      return fd;
    }
    calls.close(fd);
  }
}

}  // namespace

Workspace::Workspace(fs::path out, fs::path lock_file, int fd, FileCalls& calls)
    : calls_(calls),
      out_(std::move(out)),
      partial_(with_suffix(out_, ".partial")),
      lock_file_(std::move(lock_file)),
      lock_(fd) {}

Workspace::Workspace(Workspace&& other) noexcept
    : calls_(other.calls_),
      out_(std::move(other.out_)),
      partial_(std::move(other.partial_)),
      lock_file_(std::move(other.lock_file_)),
      lock_(std::exchange(other.lock_, -1)) {}

Workspace::~Workspace() {
  if (lock_ < 0) return;
  // While it is still locked, so that nobody can hold a lock on a file that has no name.
  calls_.unlink(lock_file_.c_str());
  calls_.close(lock_);
}

Result<Workspace> Workspace::lock(const fs::path& out, const fs::path& model, FileCalls& calls) {
  const fs::path target = LOTSE_TRY(resolved(out));
  const fs::path source = LOTSE_TRY(resolved(model));
  std::error_code ignored;
  const fs::path folder = fs::is_directory(source, ignored) ? source : source.parent_path();
  for (const fs::path& written : {target, with_suffix(target, ".partial")}) {
    if (is_within(written, source) || is_within(source, written) || written == folder) {
      return fail(ErrorCode::invalid_input, "{}: overlaps the model {}; name a folder outside it",
                  written.string(), source.string());
    }
  }
  if (!fs::is_directory(target.parent_path(), ignored)) {
    return fail(ErrorCode::not_found, "{}: no such directory; create it first",
                target.parent_path().string());
  }
  fs::path lock_file = with_suffix(target, ".partial.lock");
  const int fd = LOTSE_TRY(take_lock(lock_file, calls));
  return Workspace(target, std::move(lock_file), fd, calls);
}

bool Workspace::out_exists() const { return is_there(out_); }

Result<std::optional<Manifest>> Workspace::interrupted() const {
  if (!is_there(partial_)) return std::nullopt;
  std::error_code error;
  if (fs::symlink_status(partial_, error).type() != fs::file_type::directory) {
    return fail(ErrorCode::invalid_input, "{}: in the way, and no folder; remove it",
                partial_.string());
  }
  if (auto manifest = read_manifest(partial_)) return std::move(*manifest);
  // A port that was killed before its first manifest leaves nothing else.
  const std::string unborn = std::string(kManifestName) + ".partial";
  for (fs::directory_iterator it(partial_, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename() != unborn) {
      return fail(ErrorCode::invalid_input,
                  "{}: in the way, and not the folder of an interrupted port (no valid {}); "
                  "remove or rename it",
                  partial_.string(), kManifestName);
    }
  }
  if (error) return fail(ErrorCode::io, "{}: {}", partial_.string(), error.message());
  return std::nullopt;
}

Result<void> Workspace::start_afresh() {
  std::error_code error;
  // The manifest last: as long as it is there, the folder is known to be a port's.
  Manifest nothing;
  if (is_there(partial_)) LOTSE_TRY(remove_unfinished(nothing));
  if (is_there(partial_ / kManifestName) &&
      calls_.unlink((partial_ / kManifestName).c_str()) != 0) {
    return io_error(partial_ / kManifestName, "remove");
  }
  if (calls_.mkdir(partial_.c_str(), 0755) != 0 && errno != EEXIST) {
    return io_error(partial_, "create");
  }
  return sync_directory(partial_.parent_path(), calls_);
}

Result<void> Workspace::remove_unfinished(const Manifest& manifest) {
  std::vector<fs::path> doomed;
  std::error_code error;
  for (fs::recursive_directory_iterator it(partial_, error), end; !error && it != end;
       it.increment(error)) {
    if (it->symlink_status().type() == fs::file_type::directory) continue;
    const std::string name = it->path().lexically_relative(partial_).generic_string();
    const bool is_listed =
        name == kManifestName || std::ranges::any_of(manifest.files, [&](const ArtifactFile& file) {
          return file.name == name;
        });
    if (!is_listed) doomed.push_back(it->path());
  }
  if (error) return fail(ErrorCode::io, "{}: {}", partial_.string(), error.message());
  for (const fs::path& path : doomed) {
    if (calls_.unlink(path.c_str()) != 0) return io_error(path, "remove");
  }
  return {};
}

Result<void> Workspace::make_folder(const std::string& name) {
  const fs::path path = partial_ / name;
  if (calls_.mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return io_error(path, "create");
  return sync_directory(partial_, calls_);
}

Result<void> Workspace::publish() {
  LOTSE_TRY(sync_directory(partial_, calls_));
  // Onto an existing folder with content the rename fails; it never replaces anything.
  if (calls_.rename(partial_.c_str(), out_.c_str()) != 0) {
    return fail(ErrorCode::io, "{}: cannot rename to {}: {}", partial_.string(), out_.string(),
                std::strerror(errno));
  }
  return sync_directory(out_.parent_path(), calls_);
}

}  // namespace lotse
