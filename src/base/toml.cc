#include "base/toml.h"

#include <algorithm>

namespace lotse {

Result<toml::table> parse_toml(std::string_view text, const std::string& origin) {
  const auto letter = std::ranges::find_if(text, [](char c) { return (c & 0x80) != 0; });
  if (letter != text.end()) {
    return fail(ErrorCode::invalid_input, "{}:{}: expected ASCII only", origin,
                1 + std::count(text.begin(), letter, '\n'));
  }
  try {
    toml::parse_result parsed = toml::parse(text, origin);
    if (parsed) return std::move(parsed).table();
    return fail(ErrorCode::invalid_input, "{}:{}: {}", origin, parsed.error().source().begin.line,
                parsed.error().description());
  } catch (const BrokenTomlAssumption&) {
    return fail(ErrorCode::invalid_input, "{}: not valid TOML: a bracket or brace is misplaced",
                origin);
  }
}

}  // namespace lotse
