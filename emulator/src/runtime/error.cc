#include "runtime/error.h"

#include <new>
#include <optional>

#include "acl/acl.h"

namespace lotse::emulator {
namespace {

thread_local std::optional<std::string> recent;
thread_local std::string handed_out;

}  // namespace

Error::~Error() = default;

int report_current_exception(const char* function) noexcept {
  try {
    try {
      throw;
    } catch (const Error& error) {
      recent = fmt::format("{}: {}", function, error.text());
      return error.code();
    } catch (const std::bad_alloc&) {
      recent = fmt::format("{}: the host is out of memory", function);
      return kAllocationFailed;
    } catch (const std::exception& error) {
      recent = fmt::format("{}: {}", function, error.what());
      return kInternalError;
    }
  } catch (...) {
    return kInternalError;
  }
}

}  // namespace lotse::emulator

// As the vendor's: reading the text clears it; the pointer is good until this thread's next call.
LOTSE_C_API const char* aclGetRecentErrMsg() {
  if (!lotse::emulator::recent) return nullptr;
  lotse::emulator::handed_out = std::move(*lotse::emulator::recent);
  lotse::emulator::recent.reset();
  return lotse::emulator::handed_out.c_str();
}
