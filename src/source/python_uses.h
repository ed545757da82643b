// What Python sources use: names resolved through imports, methods, decorators, keyword arguments,
// strings.
#pragma once

#include "source/use.h"

namespace lotse {

struct PythonFile {
  Span torch_import;  // see Imports::first_import_of
  bool has_torch_npu = false;
};

// `is_setup`: strings name dependencies (setup.py).
PythonFile read_python(std::string_view file, bool is_setup, const UseSink& sink);

}  // namespace lotse
