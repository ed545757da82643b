// What shell scripts, container files, lists of requirements, makefiles and CMake files use: words.
#pragma once

#include "source/use.h"

namespace lotse {

enum class WordFile { shell, container, requirements, makefile, cmake };

// Comments (# to the end of the line) are left out; quotes separate words.
void read_words(std::string_view file, WordFile kind, const UseSink& sink);

// The package that a requirement names: "Flash_Attn[x]>=2.1; python_version > '3'" → "flash-attn".
std::string package_name(std::string_view requirement);

}  // namespace lotse
