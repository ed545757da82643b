// Copies and fills of views, for operators that move elements.
#pragma once

#include "ops/op.h"

namespace lotse::emulator {

// Between views of equal dims, converting as aclnnCast does. They must not overlap unless equal.
void copy_elements(const View& from, const View& to);

void fill_elements(const View& view, const ScalarValue& value);

}  // namespace lotse::emulator
