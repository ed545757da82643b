// The folder in which a port grows before it becomes OUT by one rename, and the lock that lets only
// one port at a time work on it.
#pragma once

#include <filesystem>

#include "base/atomic_file.h"
#include "base/result.h"
#include "port/artifact.h"

namespace lotse {

// While it lives, this process alone may write OUT.partial and OUT. OUT.partial stays behind unless
// publish() succeeded: the next port resumes it.
class Workspace {
 public:
  // Locks `out`, which must be neither `model`, nor inside it, nor around it. Errors: io when
  // another process holds the lock, invalid_input for such a path.
  static Result<Workspace> lock(const std::filesystem::path& out,
                                const std::filesystem::path& model, FileCalls& calls);

  Workspace(Workspace&& other) noexcept;
  Workspace& operator=(Workspace&&) = delete;
  ~Workspace();

  const std::filesystem::path& out() const { return out_; }
  const std::filesystem::path& directory() const { return partial_; }
  bool out_exists() const;

  // The manifest of an interrupted port; nothing when there is none to resume. Error: invalid_input
  // when OUT.partial is something else than a port's folder, which is left alone.
  Result<std::optional<Manifest>> interrupted() const;
  // Makes OUT.partial an empty folder, removing an interrupted port.
  Result<void> start_afresh();
  // Removes what interrupted() does not list: files that were being written.
  Result<void> remove_unfinished(const Manifest& manifest);
  Result<void> make_folder(const std::string& name);
  // Renames OUT.partial to OUT and syncs the folder around it.
  Result<void> publish();

 private:
  Workspace(std::filesystem::path out, std::filesystem::path lock_file, int fd, FileCalls& calls);

  FileCalls& calls_;
  std::filesystem::path out_;
  std::filesystem::path partial_;
  std::filesystem::path lock_file_;
  int lock_ = -1;
};

}  // namespace lotse
