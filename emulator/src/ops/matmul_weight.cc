// Weights in FRACTAL_NZ: aclnnCalculateMatmulWeightSizeV2, aclnnTransMatmulWeight and
// aclnnNpuFormatCast.
#include <algorithm>
#include <vector>

#include "aclnnop/matmul.h"
#include "ops/fractal.h"
#include "runtime/handles.h"

namespace lotse::emulator {
namespace {

inline constexpr DtypeSet kWeightDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8};
inline constexpr DtypeSet kCastDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8, ACL_UINT8};

// The matrix as it stands in memory: dims in the order of falling strides.
Dims stored_dims(const TensorDesc& desc) {
  Dims dims = desc.dims;
  const int64_t rank = dims.size();
  if (desc.strides[rank - 2] == 1 && desc.strides[rank - 1] != 1) {
    std::swap(dims[rank - 2], dims[rank - 1]);
  }
  return dims;
}

// What can be cast: on chips with BF16, as the operator exists from A2 on only.
Tensor cast_source(Op& op, const aclTensor* tensor) {
  op.require(soc().dtypes.contains(ACL_BF16), "{} has no such operator", soc().name);
  const Tensor source = op.in("srcTensor", tensor, kCastDtypes, Layout::any);
  op.expect_rank(source, 2, 6);
  return source;
}

void expect_format(const Op& op, const char* argument, int format) {
  op.require(format == ACL_FORMAT_ND || format == ACL_FORMAT_FRACTAL_NZ,
             "argument {}: got {}, expected 2 (ND) or 29 (FRACTAL_NZ)", argument, format);
}

}  // namespace

// The count of elements of a weight in FRACTAL_NZ.
LOTSE_C_API aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray* tensorShape,
                                                         aclDataType dataType,
                                                         uint64_t* weightTensorSize) {
  return guarded("aclnnCalculateMatmulWeightSizeV2", [&] {
    if (weightTensorSize == nullptr) fail(kNullArgument, "argument weightTensorSize is null");
    Op op("aclnnCalculateMatmulWeightSizeV2");
    const std::vector<int64_t> shape = op.ints("tensorShape", tensorShape);
    op.require(shape.size() >= 2 && shape.size() <= 6,
               "argument tensorShape: got {} dimensions, expected 2 to 6", shape.size());
    op.require(kWeightDtypes.contains(dataType), "argument dataType: got {}, expected {}",
               name_of(dataType), names_of(kWeightDtypes));
    for (const int64_t size : shape) {
      op.require(size >= 0 && size < (int64_t{1} << 31), "argument tensorShape: {} is no size",
                 size);
    }
    *weightTensorSize = static_cast<uint64_t>(fractal_storage(Dims(shape), dataType).product());
  });
}

// The tensor object itself becomes one of FRACTAL_NZ. One whose storage is described by a single
// number, not by its shape, gives no room for padding that it could vouch for: it stays as it is,
// row-major, and products of it follow its strides.
ACLNN(aclnnTransMatmulWeight, aclTensor* mmWeightRef) {
  const Tensor weight = op.in_out("mmWeightRef", mmWeightRef, kWeightDtypes);
  op.expect_rank(weight, 2, 6);
  if (weight.desc().storage.size() < 2) return op.compute([] {});
  const Dims stored = stored_dims(weight.desc());
  const Dims storage = fractal_storage(stored, weight.dtype());
  const Tensor memory = fractal_memory(weight, storage);
  op.compute([=, transposed = stored != weight.dims()] {
    const int64_t rank = weight.rank();
    const View view = weight.view();
    const std::vector<float> values =
        read<float>(transposed ? view.transposed(rank - 2, rank - 1) : view);
    const int64_t columns = stored.back();
    write_fractal(memory.view(), storage, stored, [&](int64_t row, float* to) {
      std::copy_n(values.data() + row * columns, columns, to);
    });
  });
  mmWeightRef->desc.format = ACL_FORMAT_FRACTAL_NZ;
  mmWeightRef->desc.storage = storage;
}
ACLNN_END

// The storage shape of a tensor in another format. The caller frees it with delete[].
LOTSE_C_API aclnnStatus aclnnNpuFormatCastCalculateSizeAndFormat(const aclTensor* srcTensor,
                                                                 int dstFormat, int additionalDtype,
                                                                 int64_t** dstShape,
                                                                 uint64_t* dstShapeSize,
                                                                 int* actualFormat) {
  return guarded("aclnnNpuFormatCastCalculateSizeAndFormat", [&] {
    if (dstShape == nullptr || dstShapeSize == nullptr || actualFormat == nullptr) {
      fail(kNullArgument, "argument dstShape, dstShapeSize or actualFormat is null");
    }
    Op op("aclnnNpuFormatCastCalculateSizeAndFormat");
    const Tensor source = cast_source(op, srcTensor);
    expect_format(op, "dstFormat", dstFormat);
    op.require(additionalDtype == -1 || additionalDtype == source.dtype(),
               "argument additionalDtype: got {}, expected -1 or the type of {}", additionalDtype,
               source.text());
    const Dims shape =
        dstFormat == ACL_FORMAT_ND ? source.dims() : fractal_storage(source.dims(), source.dtype());
    *dstShape = new int64_t[static_cast<size_t>(shape.size())];
    std::ranges::copy(shape, *dstShape);
    *dstShapeSize = static_cast<uint64_t>(shape.size());
    *actualFormat = dstFormat;
  });
}

ACLNN(aclnnNpuFormatCast, const aclTensor* srcTensor, aclTensor* dstTensor) {
  const Tensor from = cast_source(op, srcTensor);
  const Tensor to = op.out("dstTensor", dstTensor, {from.dtype()}, Layout::any);
  expect_format(op, "dstTensor's format", to.desc().format);
  op.expect_shape(to, from.dims());
  if (to.desc().format == ACL_FORMAT_ND) {
    return op.compute([=] { write<float>(to.view(), read<float>(from.view())); });
  }
  const Dims storage = fractal_storage(from.dims(), from.dtype());
  op.require(to.desc().storage == storage, "{}, expected storage of shape {}", to.text(),
             text_of(storage));
  const Tensor memory = fractal_memory(to, storage);
  op.compute([=] {
    const View view = from.view();
    write_fractal(memory.view(), storage, from.dims(),
                  [&](int64_t row, float* values) { view.load_row(row, values); });
  });
}
ACLNN_END

}  // namespace lotse::emulator
