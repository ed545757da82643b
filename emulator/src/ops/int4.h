// INT4 by eights in INT32: along the rows, or along the columns of a matrix whose columns lie
// together in memory.
#pragma once

#include "ops/op.h"

namespace lotse::emulator {

inline bool packs_columns(const Tensor& tensor) {
  const TensorDesc& desc = tensor.desc();
  const int64_t rank = desc.dims.size();
  return rank >= 2 && desc.strides[rank - 2] == 1 && desc.strides[rank - 1] != 1;
}

// The shape in INT4 elements of a tensor of INT4, or of INT32 that packs them.
inline Dims unpacked_dims(const Tensor& tensor) {
  Dims dims = tensor.dims();
  if (tensor.dtype() != ACL_INT32) return dims;
  dims[dims.size() - (packs_columns(tensor) ? 2 : 1)] *= 8;
  return dims;
}

inline View unpacked_view(const Tensor& tensor) {
  const View view = tensor.view();
  if (tensor.dtype() != ACL_INT32) return view;
  if (!packs_columns(tensor)) return view.as_int4();
  const int64_t last = view.rank() - 1;
  return view.transposed(last - 1, last).as_int4().transposed(last - 1, last);
}

// Refuses what cannot be unpacked: a chip without INT4, or no dimension whose elements adjoin.
inline void expect_packed(const Op& op, const Tensor& tensor) {
  op.require(soc().dtypes.contains(ACL_INT4),
             "{}, which stands for packed INT4, but {} has no INT4", tensor.text(), soc().name);
  const bool adjacent = tensor.rank() > 0 && tensor.desc().strides.back() == 1;
  op.require(tensor.dtype() != ACL_INT32 || adjacent || packs_columns(tensor),
             "{}, whose packed elements do not lie together in memory", tensor.text());
}

}  // namespace lotse::emulator
