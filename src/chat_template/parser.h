// Parses a template into its syntax tree, with Jinja2's grammar.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "chat_template/ast.h"

namespace lotse::jinja {

// Errors: invalid_input or unsupported, "line N: …". Names are not resolved yet (see scope.h).
Result<Block> parse_template(std::string_view source);

}  // namespace lotse::jinja
