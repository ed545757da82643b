// Python's lexical grammar (the language reference, "Lexical analysis", 3.12): indentation,
// explicit and implicit line joining, strings of every prefix, f-strings with nested expressions.
#pragma once

#include "source/token.h"

namespace lotse {

// Never fails: an unterminated string ends at the end of its line, a triple-quoted one at the end
// of the file; a dedent to no enclosing level ends at the next lower one. The expressions inside
// f-strings are tokens of their own. O(size) time and memory.
std::vector<Token> python_tokens(std::string_view file);

}  // namespace lotse
