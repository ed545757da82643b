// The lexical grammar of C++ and CUDA, without a preprocessor: no macro is expanded, no branch of
// an #if is left out.
#pragma once

#include "source/token.h"

namespace lotse {

// Never fails: an unterminated string or character ends at the end of its line, an unterminated
// comment or raw string at the end of the file. O(size) time and memory.
std::vector<Token> cpp_tokens(std::string_view file);

// The text of a token without line continuations.
std::string cpp_spelling(std::string_view file, const Token& token);

}  // namespace lotse
