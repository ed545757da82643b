// aclCreate* and aclDestroy*: tensors and other arguments of operators.
#include <memory>

#include "acl/acl.h"
#include "runtime/error.h"
#include "runtime/handles.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

using namespace lotse::emulator;

namespace {

// Sizes and offsets beyond this cannot be memory; below it, products with a stride fit 64 bits.
constexpr int64_t kMostElements = int64_t{1} << 46;

Dims checked_dims(const int64_t* values, uint64_t count, const char* argument) {
  if (values == nullptr && count != 0) fail(kNullArgument, "argument {} is null", argument);
  if (count > static_cast<uint64_t>(kMaxRank)) {
    fail(kInvalidArgument, "argument {}: {} dimensions, at most {} are possible", argument, count,
         kMaxRank);
  }
  Dims dims{std::span<const int64_t>(values, count)};
  int64_t product = 1;
  for (const int64_t size : dims) {
    if (size < 0 || __builtin_mul_overflow(product, std::max<int64_t>(size, 1), &product) ||
        product > kMostElements) {
      fail(kInvalidArgument, "argument {}: {} is no possible shape", argument, text_of(dims));
    }
  }
  return dims;
}

void check_extent(const TensorDesc& desc) {
  int64_t reach = desc.offset;
  bool overflow = desc.offset < 0 || desc.offset > kMostElements;
  for (int64_t i = 0; i < desc.dims.size(); ++i) {
    int64_t step = 0;
    overflow =
        overflow || desc.strides[i] < 0 ||
        __builtin_mul_overflow(std::max<int64_t>(desc.dims[i] - 1, 0), desc.strides[i], &step) ||
        __builtin_add_overflow(reach, step, &reach) || reach > kMostElements;
  }
  if (overflow) {
    fail(kInvalidArgument, "strides {} and offset {} of a tensor {} are out of range",
         text_of(desc.strides), desc.offset, desc.text());
  }
}

TensorDesc describe(const int64_t* viewDims, uint64_t viewDimsNum, aclDataType dataType,
                    const int64_t* strides, int64_t offset, aclFormat format,
                    const int64_t* storageDims, uint64_t storageDimsNum, void* tensorData) {
  if (bits_of(dataType) == 0) {
    fail(kInvalidArgument, "argument dataType: {} is not emulated", name_of(dataType));
  }
  TensorDesc desc{.dtype = dataType, .format = format, .offset = offset, .data = tensorData};
  desc.dims = checked_dims(viewDims, viewDimsNum, "viewDims");
  desc.storage = checked_dims(storageDims, storageDimsNum, "storageDims");
  desc.strides = strides == nullptr ? row_major(desc.dims)
                                    : Dims{std::span<const int64_t>(strides, viewDimsNum)};
  check_extent(desc);
  return desc;
}

// Makes an object with `make`; null, with the reason kept as the recent error, when that fails.
template <class Make>
auto* create(const char* function, HandleKind kind, Make&& make) noexcept {
  typename std::invoke_result_t<Make>::element_type* result = nullptr;
  guarded(function, [&] { result = hand_out(make(), kind); });
  return result;
}

template <class T>
aclnnStatus destroy(const char* function, const T* object, HandleKind kind) {
  if (object == nullptr) return ACL_SUCCESS;
  return guarded(function, [&] { take_back(object, kind, "handle", kInvalidArgument); });
}

// The element type is deduced from the array's `values`.
template <class Array, class T>
Array* create_array(const char* function, HandleKind kind, const T* value, uint64_t size) {
  return create(function, kind, [&] {
    if (value == nullptr && size != 0) fail(kNullArgument, "argument value is null");
    auto array = std::make_unique<Array>();
    array->values.assign(value, value + size);
    return array;
  });
}

}  // namespace

LOTSE_C_API aclTensor* aclCreateTensor(const int64_t* viewDims, uint64_t viewDimsNum,
                                       aclDataType dataType, const int64_t* strides, int64_t offset,
                                       aclFormat format, const int64_t* storageDims,
                                       uint64_t storageDimsNum, void* tensorData) {
  return create("aclCreateTensor", HandleKind::tensor, [&] {
    return std::make_unique<aclTensor>(describe(viewDims, viewDimsNum, dataType, strides, offset,
                                                format, storageDims, storageDimsNum, tensorData));
  });
}

LOTSE_C_API aclnnStatus aclDestroyTensor(const aclTensor* tensor) {
  return destroy("aclDestroyTensor", tensor, HandleKind::tensor);
}

LOTSE_C_API aclnnStatus aclGetViewShape(const aclTensor* tensor, int64_t** viewDims,
                                        uint64_t* viewDimsNum) {
  return guarded("aclGetViewShape", [&] {
    if (tensor == nullptr) fail(kNullArgument, "argument tensor is null");
    if (viewDims == nullptr) fail(kNullArgument, "argument viewDims is null");
    if (viewDimsNum == nullptr) fail(kNullArgument, "argument viewDimsNum is null");
    check_handle(tensor, HandleKind::tensor, "tensor", kInvalidArgument);
    const Dims& dims = tensor->desc.dims;
    *viewDims = new int64_t[static_cast<size_t>(dims.size())];
    std::ranges::copy(dims, *viewDims);
    if (tensor->rows != nullptr) (*viewDims)[0] = *tensor->rows;
    *viewDimsNum = static_cast<uint64_t>(dims.size());
  });
}

LOTSE_C_API aclScalar* aclCreateScalar(void* value, aclDataType dataType) {
  return create("aclCreateScalar", HandleKind::scalar, [&] {
    if (value == nullptr) fail(kNullArgument, "argument value is null");
    return std::make_unique<aclScalar>(ScalarValue(value, dataType));
  });
}

LOTSE_C_API aclnnStatus aclDestroyScalar(const aclScalar* scalar) {
  return destroy("aclDestroyScalar", scalar, HandleKind::scalar);
}

LOTSE_C_API aclIntArray* aclCreateIntArray(const int64_t* value, uint64_t size) {
  return create_array<aclIntArray>("aclCreateIntArray", HandleKind::int_array, value, size);
}

LOTSE_C_API aclnnStatus aclDestroyIntArray(const aclIntArray* array) {
  return destroy("aclDestroyIntArray", array, HandleKind::int_array);
}

LOTSE_C_API aclFloatArray* aclCreateFloatArray(const float* value, uint64_t size) {
  return create_array<aclFloatArray>("aclCreateFloatArray", HandleKind::float_array, value, size);
}

LOTSE_C_API aclnnStatus aclDestroyFloatArray(const aclFloatArray* array) {
  return destroy("aclDestroyFloatArray", array, HandleKind::float_array);
}

LOTSE_C_API aclBoolArray* aclCreateBoolArray(const bool* value, uint64_t size) {
  return create_array<aclBoolArray>("aclCreateBoolArray", HandleKind::bool_array, value, size);
}

LOTSE_C_API aclnnStatus aclDestroyBoolArray(const aclBoolArray* array) {
  return destroy("aclDestroyBoolArray", array, HandleKind::bool_array);
}

LOTSE_C_API aclTensorList* aclCreateTensorList(const aclTensor* const* value, uint64_t size) {
  return create("aclCreateTensorList", HandleKind::tensor_list, [&] {
    if (value == nullptr && size != 0) fail(kNullArgument, "argument value is null");
    auto list = std::make_unique<aclTensorList>();
    for (uint64_t i = 0; i < size; ++i) {
      check_handle(value[i], HandleKind::tensor, "value", kInvalidArgument);
      list->tensors.push_back(const_cast<aclTensor*>(value[i]));
    }
    return list;
  });
}

// The tensors go with their list.
LOTSE_C_API aclnnStatus aclDestroyTensorList(const aclTensorList* list) {
  if (list == nullptr) return ACL_SUCCESS;
  return guarded("aclDestroyTensorList", [&] {
    const auto owned = take_back(list, HandleKind::tensor_list, "list", kInvalidArgument);
    for (aclTensor* tensor : owned->tensors) {
      take_back(tensor, HandleKind::tensor, "list", kInvalidArgument);
    }
  });
}
