// TOML, by toml++. Include it in the few files that read documents: the library is large. Every one
// of them must include toml++ through here, for its inline functions depend on the macros below.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace lotse {

struct BrokenTomlAssumption {};
[[noreturn]] inline void break_off_toml() { throw BrokenTomlAssumption(); }

}  // namespace lotse

// toml++ 3.3 asserts what some malformed arrays break ("[ }"): that becomes an exception, which
// parse_toml() turns into an error. With NDEBUG it would be undefined behaviour.
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::lotse::break_off_toml())
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace lotse {

// Parses a document, which must be ASCII: toml++ 3.3 has undefined behaviour on some other letters.
// Errors: invalid_input, with `origin` and the line. Values know their lines (node.source()).
Result<toml::table> parse_toml(std::string_view text, const std::string& origin);

}  // namespace lotse
