#include "device/ascend/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <mutex>
#include <sstream>

#include "base/environment.h"

namespace lotse::ascend {
namespace {

namespace fs = std::filesystem;

// Dependencies first.
constexpr const char* kLibraries[] = {"libascendcl.so", "libnnopbase.so", "libopapi.so"};

std::vector<std::string> split_path(const std::string& text) {
  std::vector<std::string> folders;
  std::istringstream in(text);
  for (std::string folder; std::getline(in, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

// Beside the program: in a build folder, and as installed.
std::vector<std::string> emulator_folders() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {(program.parent_path() / "emulator/lib").string(),
          (program.parent_path() / "lib/lotse/emulator").string()};
}

std::vector<std::string> folders_to_search() {
  std::vector<std::string> folders = split_path(environment("LOTSE_ASCEND_LIBRARY_PATH"));
  if (!folders.empty()) return folders;
  if (const std::string home = environment("ASCEND_HOME_PATH"); !home.empty()) {
    folders.push_back(home + "/lib64");
  }
  folders.push_back("/usr/local/Ascend/ascend-toolkit/latest/lib64");
  folders.push_back("/usr/local/Ascend/cann/lib64");
  for (std::string& folder : emulator_folders()) folders.push_back(std::move(folder));
  return folders;
}

bool has_libraries(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(fs::path(folder) / kLibraries[0], ignored);
}

Result<std::unique_ptr<Library>> open_in(const std::string& folder) {
  auto library = std::make_unique<Library>(LOTSE_TRY(Symbols::load(folder, kLibraries)));
  library->folder = folder;
  LOTSE_TRY(library->symbols.expect_all(folder));
  if (void* emulator = library->symbols.find_optional("lotseEmulatorName")) {
    library->emulator = reinterpret_cast<const char* (*)()>(emulator)();
  }
  const AclStatus status = library->init(nullptr);
  if (status != 0 && status != kAlreadyInitialised) {
    return std::unexpected(call_error(*library, "aclInit", status));
  }
  return library;
}

Result<std::unique_ptr<Library>> open_first() {
  const std::vector<std::string> folders = folders_to_search();
  for (const std::string& folder : folders) {
    if (has_libraries(folder)) return open_in(folder);
  }
  return fail(ErrorCode::not_found,
              "no Ascend libraries and no emulator; looked for {} in {}. "
              "LOTSE_ASCEND_LIBRARY_PATH names another folder",
              kLibraries[0], fmt::join(folders, ", "));
}

}  // namespace

Result<Symbols> Symbols::load(const std::string& folder, std::span<const char* const> names) {
  std::vector<void*> handles;
  for (const char* name : names) {
    const std::string path = (fs::path(folder) / name).string();
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      return fail(ErrorCode::unsupported, "{}: cannot be loaded: {}", path,
                  reason == nullptr ? "no reason given" : reason);
    }
    handles.push_back(handle);
  }
  return Symbols(std::move(handles));
}

Result<void> Symbols::expect_all(const std::string& folder) const {
  if (missing_.empty()) return {};
  return fail(ErrorCode::unsupported,
              "{}: these libraries lack {} of the functions that Lotse calls: {}; install a newer "
              "toolkit, or name another one in LOTSE_ASCEND_LIBRARY_PATH",
              folder, missing_.size(), fmt::join(missing_, ", "));
}

void* Symbols::find_optional(const std::string& name) const {
  for (void* handle : handles_) {
    if (void* symbol = dlsym(handle, name.c_str())) return symbol;
  }
  return nullptr;
}

void* Symbols::find(const std::string& name) {
  void* symbol = find_optional(name);
  if (symbol == nullptr) missing_.push_back(name);
  return symbol;
}

Result<const Library*> Library::open() {
  static std::mutex mutex;
  static std::unique_ptr<Library> opened;
  const std::scoped_lock lock(mutex);
  if (!opened) opened = LOTSE_TRY(open_first());
  return opened.get();
}

Error call_error(const Library& library, std::string_view what, AclStatus status) {
  const char* text = library.recent_error();
  const bool is_silent = text == nullptr || *text == '\0';
  return Error{status == kOutOfMemory ? ErrorCode::limit : ErrorCode::unsupported,
               fmt::format("{} failed with code {}: {}", what, status,
                           is_silent ? "the library gave no reason" : text)};
}

Result<void> check(const Library& library, std::string_view what, AclStatus status) {
  if (status == 0) return {};
  return std::unexpected(call_error(library, what, status));
}

}  // namespace lotse::ascend
