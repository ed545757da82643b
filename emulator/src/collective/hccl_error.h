// Codes of the collectives' errors, and their C boundary.
#pragma once

#include <type_traits>

#include "hccl/hccl.h"
#include "runtime/error.h"

namespace lotse::emulator {

// What the next synchronise returns: a peer did not come in time, or anything else went wrong.
inline constexpr int kCollectiveTimeout = 507048;
inline constexpr int kCollectiveFault = 507018;

// As guarded, with codes of the runtime's own turned into the collectives'.
template <class Body>
HcclResult hccl_guarded(const char* function, Body&& body) noexcept {
  const int code = guarded(function, std::forward<Body>(body));
  if (code < kInvalidParameter) return code;
  return code < kNullArgument ? HCCL_E_PARA : HCCL_E_RUNTIME;
}

inline void require_hccl_pointer(const void* pointer, const char* argument) {
  if (pointer == nullptr) fail(HCCL_E_PTR, "argument {} is null", argument);
}

}  // namespace lotse::emulator
