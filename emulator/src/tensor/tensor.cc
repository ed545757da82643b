#include "tensor/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "runtime/error.h"
#include "tensor/convert.h"
#include "tensor/dtype.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kFractalRows = 16;
constexpr int64_t kFractalBytes = 32;

int64_t blocks(int64_t size, int64_t block) { return (size + block - 1) / block; }

// Finds the innermost run without gaps, and whether it repeats at one distance.
void find_gaps(const TensorDesc& desc, ByteRange& range) {
  std::vector<std::pair<int64_t, int64_t>> dims;  // stride, size
  for (int64_t i = 0; i < desc.dims.size(); ++i) {
    if (desc.dims[i] > 1 && desc.strides[i] != 0) {
      dims.emplace_back(std::abs(desc.strides[i]), desc.dims[i]);
    }
  }
  std::ranges::sort(dims);
  int64_t run = 1, period = 0;
  bool irregular = false;
  for (const auto& [stride, size] : dims) {
    if (period == 0 && stride <= run) {
      run += stride * (size - 1);
    } else if (period == 0) {
      period = stride;
    } else {
      irregular = irregular || stride % period != 0;
    }
  }
  if (period == 0) return;
  const int64_t bits = bits_of(desc.dtype);
  range.run = (run * bits + 7) / 8;
  range.period = period * bits / 8;
  range.irregular = irregular || period * bits % 8 != 0;
}

}  // namespace

std::string text_of(const Dims& dims) {
  std::string text = "[";
  for (int64_t i = 0; i < dims.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", dims[i]);
  }
  return text + "]";
}

Dims row_major(const Dims& dims) {
  Dims strides = Dims::filled(dims.size(), 1);
  for (int64_t i = dims.size() - 2; i >= 0; --i) strides[i] = strides[i + 1] * dims[i + 1];
  return strides;
}

bool TensorDesc::is_fractal() const {
  return format == ACL_FORMAT_FRACTAL_NZ && storage.size() >= 4 && dims.size() >= 2 &&
         storage[storage.size() - 2] == kFractalRows && storage.back() == fractal_columns(dtype);
}

std::string TensorDesc::text() const {
  return fmt::format("{} {}{}", name_of(dtype), text_of(dims),
                     is_fractal() ? " in FRACTAL_NZ" : "");
}

ByteRange bytes_of(const TensorDesc& desc) {
  if (desc.count() == 0) return {};
  const auto begin = reinterpret_cast<uintptr_t>(desc.data);
  if (desc.is_fractal()) {
    const int64_t first = bytes_of(desc.dtype, desc.offset);
    return {begin + static_cast<uintptr_t>(first), bytes_of(desc.dtype, desc.storage.product())};
  }
  int64_t first = desc.offset, last = desc.offset;
  for (int64_t i = 0; i < desc.dims.size(); ++i) {
    const int64_t reach = (desc.dims[i] - 1) * desc.strides[i];
    (reach < 0 ? first : last) += reach;
  }
  const int64_t first_byte = first * bits_of(desc.dtype) / 8;
  ByteRange range{begin + static_cast<uintptr_t>(first_byte),
                  bytes_of(desc.dtype, last + 1) - first_byte};
  find_gaps(desc, range);
  return range;
}

int64_t fractal_columns(aclDataType dtype) {
  const int64_t bits = bits_of(dtype);
  return bits == 0 ? 0 : kFractalBytes * 8 / bits;
}

Dims fractal_storage(const Dims& matrix, aclDataType dtype) {
  const int64_t rank = matrix.size();
  const int64_t columns = fractal_columns(dtype);
  Dims storage;
  for (int64_t i = 0; i < rank - 2; ++i) storage.push_back(matrix[i]);
  storage.push_back(blocks(matrix[rank - 1], columns));
  storage.push_back(blocks(matrix[rank - 2], kFractalRows));
  storage.push_back(kFractalRows);
  storage.push_back(columns);
  return storage;
}

ScalarValue::ScalarValue(const void* value, aclDataType dtype)
    : dtype_(dtype), floating_(is_floating(dtype)) {
  const auto* bytes = static_cast<const std::byte*>(value);
  if (floating_) {
    load_run(dtype, bytes, 0, 1, 1, &real_);
  } else {
    load_run(dtype, bytes, 0, 1, 1, &integer_);
  }
}

}  // namespace lotse::emulator
