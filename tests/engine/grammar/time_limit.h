// How long hostile input may take.
#pragma once

namespace lotse {

// Under sanitizers several times as long.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr double kSlowness = 5;
#elif defined(__has_feature)
inline constexpr double kSlowness = __has_feature(address_sanitizer) ? 5 : 1;
#else
inline constexpr double kSlowness = 1;
#endif

}  // namespace lotse
