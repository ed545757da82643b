// What C++ and CUDA sources use: names, members, includes, strings, kernels, launches, assembly.
#pragma once

#include "source/use.h"

namespace lotse {

// `is_cuda`: the file is CUDA by its name; another file is where it has kernels or device
// functions. Assembly is read in CUDA files only.
void read_cpp(std::string_view file, bool is_cuda, const UseSink& sink);

}  // namespace lotse
