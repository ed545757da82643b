#include "tensor/tensor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/checked.h"

namespace lotse {

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  LOTSE_CHECK(dims.size() <= kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

std::optional<int64_t> Shape::elements() const {
  std::optional<int64_t> count = 1;
  for (const int64_t dim : dims()) {
    if (count) count = checked_mul(*count, dim);
  }
  return count;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.dims().begin(), shape.dims().end(), ", "));
}

}  // namespace lotse
