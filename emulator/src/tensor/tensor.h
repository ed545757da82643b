// The objects behind aclTensor, aclScalar and the arrays.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "runtime/api.h"
#include "tensor/dims.h"

namespace lotse::emulator {

// What a tensor describes: a strided view of device memory, which it does not own.
struct TensorDesc {
  aclDataType dtype = ACL_FLOAT;
  aclFormat format = ACL_FORMAT_ND;
  Dims dims{};
  Dims strides{};  // in elements, as the offset
  int64_t offset = 0;
  Dims storage{};
  void* data = nullptr;

  int64_t count() const { return dims.product(); }
  // Whether memory is really laid out as FRACTAL_NZ: the storage has the format's shape. A tensor
  // of that format with other storage was never converted, so its strides hold.
  LOTSE_EMULATOR_API bool is_fractal() const;
  // "FLOAT16 [2, 3]"
  LOTSE_EMULATOR_API std::string text() const;
};

// The bytes of memory that a tensor's elements touch; empty for a tensor of no elements. Where
// strides leave gaps, `run` bytes in each `period`, or, irregular, in no such order.
struct ByteRange {
  uintptr_t begin = 0;
  int64_t size = 0;
  int64_t run = 0, period = 0;
  bool irregular = false;
};
LOTSE_EMULATOR_API ByteRange bytes_of(const TensorDesc& desc);

// Elements of one column block in FRACTAL_NZ: 32 bytes.
LOTSE_EMULATOR_API int64_t fractal_columns(aclDataType dtype);

// The storage shape of a row-major matrix in FRACTAL_NZ; leading dims are batches.
LOTSE_EMULATOR_API Dims fractal_storage(const Dims& matrix, aclDataType dtype);

class ScalarValue {
 public:
  ScalarValue() = default;
  ScalarValue(const void* value, aclDataType dtype);
  aclDataType dtype() const { return dtype_; }
  template <class T>
  T as() const {
    return floating_ ? static_cast<T>(real_) : static_cast<T>(integer_);
  }

 private:
  aclDataType dtype_ = ACL_FLOAT;
  bool floating_ = true;
  double real_ = 0;
  int64_t integer_ = 0;
};

}  // namespace lotse::emulator

struct aclTensor {
  lotse::emulator::TensorDesc desc;
  // Rows that an operator whose result's size depends on values has written; null for the others.
  std::shared_ptr<const std::atomic<int64_t>> rows = nullptr;
};
struct aclScalar {
  lotse::emulator::ScalarValue value;
};
struct aclIntArray {
  std::vector<int64_t> values;
};
struct aclFloatArray {
  std::vector<float> values;
};
struct aclBoolArray {
  std::vector<bool> values;
};
struct aclTensorList {
  std::vector<aclTensor*> tensors;
};
