// A stable sort whose comparison may fail.
#pragma once

#include <cstddef>
#include <vector>

#include "base/result.h"
#include "chat_template/value.h"

namespace lotse::jinja {

// The positions of `keys` in ascending order, or descending; equal keys keep their order, as in
// Python's sorted(). Errors: keys without an order.
Result<std::vector<size_t>> sorted_positions(Budget& budget, const std::vector<Value>& keys,
                                             bool descending);

}  // namespace lotse::jinja
