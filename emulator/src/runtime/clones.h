// LOTSE_CLONES before a function compiles it for several instruction sets, of which the loader
// picks the best. Sanitizers do without: their start precedes the loader's choice.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(undefined_behavior_sanitizer)
#define LOTSE_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOTSE_SANITIZED
#endif

#if defined(__x86_64__) && !defined(LOTSE_SANITIZED)
#define LOTSE_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LOTSE_CLONES
#endif
