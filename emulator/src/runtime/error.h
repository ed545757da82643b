// Errors inside the emulator are exceptions that carry the vendor's code and our text. They end at
// the C boundary: `guarded` turns them into the code and keeps the text for aclGetRecentErrMsg.
// Faults of a running task end in its stream and surface at the next synchronise.
#pragma once

#include <fmt/core.h>

#include <exception>
#include <string>
#include <utility>

#include "runtime/api.h"

namespace lotse::emulator {

inline constexpr int kInvalidParameter = 107000;
inline constexpr int kInvalidDevice = 107001;
inline constexpr int kNoDeviceSet = 107002;
inline constexpr int kInvalidHandle = 107017;
inline constexpr int kCaptureState = 107027;
inline constexpr int kNullArgument = 161001;
inline constexpr int kInvalidArgument = 161002;
inline constexpr int kFeatureNotSupported = 207000;
inline constexpr int kAllocationFailed = 207001;
inline constexpr int kNoStreamResources = 207008;
inline constexpr int kOutOfMemory = 207018;
inline constexpr int kInternalError = 507000;
inline constexpr int kGraphFault = 507011;
inline constexpr int kCopyFault = 507013;
inline constexpr int kCubeFault = 507015;
inline constexpr int kVectorFault = 507035;
inline constexpr int kHazard = kVectorFault;  // hardware has no code for a race
inline constexpr int kCaptureInvalidated = 507903;

class LOTSE_EMULATOR_API Error : public std::exception {
 public:
  Error(int code, std::string text) : code_(code), text_(std::move(text)) {}
  ~Error() override;
  int code() const { return code_; }
  const std::string& text() const { return text_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  int code_;
  std::string text_;
};

template <class... Args>
[[noreturn]] void fail(int code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Keeps "FUNCTION: TEXT" as this thread's recent error and returns its code. Call it in a handler.
LOTSE_EMULATOR_API int report_current_exception(const char* function) noexcept;

// Advances the host's virtual clock by the cost of one call.
LOTSE_EMULATOR_API void charge_call() noexcept;

// The body of a C function: 0, or the code of the error that the body throws.
template <class Body>
int guarded(const char* function, Body&& body) noexcept {
  charge_call();
  try {
    body();
    return 0;
  } catch (...) {
    return report_current_exception(function);
  }
}

// Throws kInvalidParameter when an output or input pointer of a runtime function is null.
inline void require_pointer(const void* pointer, const char* name) {
  if (pointer == nullptr) fail(kInvalidParameter, "argument {} is null", name);
}

}  // namespace lotse::emulator
