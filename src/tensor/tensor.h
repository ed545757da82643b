// Shapes, and tensors as immutable views that keep their storage alive.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace lotse {

// Up to 8 dimensions, outermost first. Rank 0 is a scalar; dimensions of 0 are legal.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  // At most kMaxRank dimensions, each ≥ 0: the caller has checked.
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  // Number of elements, nothing on overflow.
  std::optional<int64_t> elements() const;
  bool operator==(const Shape& other) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// "[2048, 1024]"
std::string to_string(const Shape& shape);

// A contiguous row-major view on bytes that `owner` keeps alive (a mapped file or a buffer).
// Copying copies the view. Immutable, hence thread-safe.
struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  // The caller has checked that the shape does not overflow.
  int64_t elements() const { return shape.elements().value(); }
  // Elements as T: sizeof(T) must be the element size and the data aligned for T.
  template <class T>
  std::span<const T> as() const {
    LOTSE_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % alignof(T) == 0);
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// A tensor that owns a copy of `values`, whose count must equal the shape's elements.
template <class T>
Tensor make_tensor(DType dtype, Shape shape, std::vector<T> values) {
  auto storage = std::make_shared<const std::vector<T>>(std::move(values));
  Tensor tensor{dtype, shape, std::as_bytes(std::span(*storage)), storage};
  LOTSE_CHECK(byte_size(dtype, tensor.elements()) == static_cast<int64_t>(tensor.bytes.size()));
  return tensor;
}

}  // namespace lotse
