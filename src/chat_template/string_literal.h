// The escapes of Jinja's string literals, which are Python's.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace lotse::jinja {

// The meaning of what stands between the quotes. Errors: an escape that is cut short or invalid.
Result<std::string> unescape_string(std::string_view text);

}  // namespace lotse::jinja
