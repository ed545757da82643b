// aclnnCalculateMatmulWeightSizeV2 and aclnnTransMatmulWeight: weights in FRACTAL_NZ.
#include <vector>

#include "aclnnop/matmul.h"
#include "ops/op.h"
#include "runtime/handles.h"

namespace lotse::emulator {
namespace {

inline constexpr DtypeSet kWeightDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT8};

// The matrix as it stands in memory: dims in the order of falling strides.
Dims stored_dims(const TensorDesc& desc) {
  Dims dims = desc.dims;
  const int64_t rank = dims.size();
  if (desc.strides[rank - 2] == 1 && desc.strides[rank - 1] != 1) {
    std::swap(dims[rank - 2], dims[rank - 1]);
  }
  return dims;
}

// Rewrites the matrix as FRACTAL_NZ, zero-padded, in its own memory.
void convert_in_place(const View& source, const View& flat, const Dims& storage) {
  const int64_t rows = source.size(source.rank() - 2), columns = source.row_length();
  const int64_t rank = storage.size(), block = storage[rank - 1];
  const int64_t padded_rows = storage[rank - 3] * storage[rank - 2];
  const int64_t matrix = storage[rank - 4] * padded_rows * block;
  std::vector<float> converted(static_cast<size_t>(storage.product()));
  const std::vector<float> values = read<float>(source);
  for (int64_t row = 0; row < source.rows(); ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t at = row / rows * matrix + (column / block * padded_rows + row % rows) * block +
                         column % block;
      converted[static_cast<size_t>(at)] = values[static_cast<size_t>(row * columns + column)];
    }
  }
  write<float>(flat, converted);
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
  TensorDesc flat = weight.desc();
  const Dims stored = stored_dims(flat);
  const Dims storage = fractal_storage(stored, flat.dtype);
  flat.dims = {storage.product()};
  flat.strides = {1};
  const Tensor memory = Tensor("mmWeightRef with its padding", flat);
  op.compute([=, transposed = stored != weight.dims()] {
    const int64_t rank = weight.rank();
    const View view = weight.view();
    convert_in_place(transposed ? view.transposed(rank - 2, rank - 1) : view, memory.view(),
                     storage);
  });
  mmWeightRef->desc.format = ACL_FORMAT_FRACTAL_NZ;
  mmWeightRef->desc.storage = storage;
}
ACLNN_END

}  // namespace lotse::emulator
