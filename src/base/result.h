// Errors as values. Whatever input, I/O or a device can cause is a Result<T>; LOTSE_CHECK is for
// programmers' mistakes only.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <expected>
#include <string>
#include <utility>

namespace lotse {

enum class ErrorCode {
  invalid_input,  // a file, a field or an argument breaks its format's rules
  not_found,      // a file, a model, a tensor or a name does not exist
  unsupported,    // well-formed, but not something Lotse or the target can do
  io,             // the operating system refused: disk full, permission, network
  limit,          // a budget (memory, steps, time, output) is exhausted
  cancelled,      // the caller asked to stop
};

// One clear line for people: names file, field or tensor, expected, actual, and what to do next.
struct Error {
  ErrorCode code = ErrorCode::invalid_input;
  std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

// Makes the error of a Result from a format string: `return fail(ErrorCode::io, "{}: …", path);`
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                          Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "lotse: internal error: %s is false at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace lotse

// The value of a Result, or return its error from the enclosing function:
// `auto x = LOTSE_TRY(read(path));`, and for Result<void>: `LOTSE_TRY(write(path));`
#define LOTSE_TRY(...) LOTSE_TRY_COUNTED(__COUNTER__, __VA_ARGS__)
// The counter gives nested uses different names; it is expanded one level before it is pasted.
#define LOTSE_TRY_COUNTED(count, ...) LOTSE_TRY_PASTED(count, __VA_ARGS__)
#define LOTSE_TRY_PASTED(count, ...) LOTSE_TRY_NAMED(lotse_result_##count, __VA_ARGS__)
#define LOTSE_TRY_NAMED(name, ...)                              \
  __extension__({                                               \
    auto&& name = (__VA_ARGS__);                                \
    if (!name) return std::unexpected(std::move(name).error()); \
    std::move(name).value();                                    \
  })

// Aborts when a programmer's assumption is broken; never used on input. Stays on in release builds.
#define LOTSE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::lotse::check_failed(#condition, __FILE__, __LINE__))
