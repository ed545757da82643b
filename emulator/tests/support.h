// What the emulator's tests share. They see the C ABI alone, so encoding, strides and expected
// values are computed here, independently of the emulator's own code.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "acl/acl.h"

namespace emulator_test {

using Shape = std::vector<int64_t>;

// Text of the last error, "" when there is none.
std::string recent_error();

// Sets device 0 for the calling thread; every test that uses a device derives from this.
class DeviceTest : public testing::Test {
 protected:
  DeviceTest();
};

// A device allocation that ends with its scope.
class Memory {
 public:
  explicit Memory(size_t size);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* get() const { return address_; }

 private:
  void* address_ = nullptr;
};

// A tensor on the device and its elements' values as doubles on the host.
class Tensor {
 public:
  // Row-major of these values, rounded to `dtype`.
  Tensor(aclDataType dtype, Shape dims, const std::vector<double>& values);
  // Random values in [low, high], whole numbers for integers. `scattered`: with an offset, a
  // permuted order of dimensions and gaps between the elements.
  static Tensor random(aclDataType dtype, Shape dims, uint32_t seed, bool scattered = false,
                       double low = -2, double high = 2);
  // Filled with a number that no test expects.
  static Tensor output(aclDataType dtype, Shape dims, bool scattered = false);

  Tensor(Tensor&& other) noexcept;
  ~Tensor();

  operator aclTensor*() const { return handle_; }        // NOLINT: arguments of the C functions
  operator const aclTensor*() const { return handle_; }  // NOLINT
  aclDataType dtype() const { return dtype_; }
  const Shape& dims() const { return dims_; }
  int64_t count() const { return static_cast<int64_t>(values_.size()); }
  // What the host knows it holds, row-major.
  const std::vector<double>& values() const { return values_; }
  // The value at a position of a shape to which this one broadcasts.
  double at(const Shape& position) const;
  // What the device holds now, row-major.
  std::vector<double> fetch() const;
  void* data() const { return memory_; }

 private:
  Tensor() = default;
  void place(bool scattered);
  void upload();
  size_t byte_at(size_t element) const;

  aclDataType dtype_ = ACL_FLOAT;
  Shape dims_, strides_;
  int64_t offset_ = 0;
  size_t bytes_ = 0;
  std::vector<double> values_;
  void* memory_ = nullptr;
  aclTensor* handle_ = nullptr;
};

// RAII for the other arguments.
class Scalar {
 public:
  explicit Scalar(float value) : handle_(aclCreateScalar(&value, ACL_FLOAT)) {}
  explicit Scalar(int64_t value) : handle_(aclCreateScalar(&value, ACL_INT64)) {}
  ~Scalar() { aclDestroyScalar(handle_); }
  Scalar(const Scalar&) = delete;
  Scalar& operator=(const Scalar&) = delete;
  operator const aclScalar*() const { return handle_; }  // NOLINT

 private:
  aclScalar* handle_;
};

class Ints {
 public:
  Ints(std::initializer_list<int64_t> values)
      : handle_(aclCreateIntArray(values.begin(), values.size())) {}
  explicit Ints(const std::vector<int64_t>& values)
      : handle_(aclCreateIntArray(values.data(), values.size())) {}
  ~Ints() { aclDestroyIntArray(handle_); }
  Ints(const Ints&) = delete;
  Ints& operator=(const Ints&) = delete;
  operator const aclIntArray*() const { return handle_; }  // NOLINT

 private:
  aclIntArray* handle_;
};

// A list of tensors, which stay the caller's and must outlive it. (Destroying an aclTensorList
// would destroy them too.)
class List {
 public:
  explicit List(const std::vector<const Tensor*>& tensors) {
    std::vector<const aclTensor*> handles;
    for (const Tensor* tensor : tensors) handles.push_back(*tensor);
    list_ = aclCreateTensorList(handles.data(), handles.size());
  }
  operator const aclTensorList*() const { return list_; }  // NOLINT

 private:
  aclTensorList* list_;
};

// Runs an operator on the default stream and waits for it; the first code that is not 0.
template <class Prepare, class... Args>
int run(Prepare prepare, aclnnStatus (*execute)(void*, uint64_t, aclOpExecutor*, aclrtStream),
        Args&&... args) {
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  if (const int code = prepare(std::forward<Args>(args)..., &size, &executor)) return code;
  void* workspace = nullptr;
  if (size > 0) aclrtMalloc(&workspace, size, ACL_MEM_MALLOC_HUGE_FIRST);
  int code = execute(workspace, size, executor, nullptr);
  if (code == 0) code = aclrtSynchronizeStream(nullptr);
  if (workspace != nullptr) aclrtFree(workspace);
  return code;
}

// RUN(aclnnAbs, x, y) runs it and expects success.
#define RUN(NAME, ...)                                                          \
  ASSERT_EQ(::emulator_test::run(NAME##GetWorkspaceSize, NAME, __VA_ARGS__), 0) \
      << ::emulator_test::recent_error()
// Expects that the first call refuses with this code and a text that matches.
#define EXPECT_REFUSED(CODE, TEXT, NAME, ...)                                       \
  EXPECT_EQ(::emulator_test::run(NAME##GetWorkspaceSize, NAME, __VA_ARGS__), CODE); \
  EXPECT_THAT(::emulator_test::recent_error(), ::testing::HasSubstr(TEXT))

// `value` as a tensor of this type would hold it.
double rounded(aclDataType dtype, double value);

// Half a unit in the last place of `value` in this type: the error of one rounding.
double half_ulp(aclDataType dtype, double value);

// Compares what `actual` holds with f(position), the exact result in double. An element may differ
// by `ulps` roundings to its type and by `absolute`.
void expect_values(const Tensor& actual, const std::function<double(const Shape&)>& f,
                   double ulps = 1.01, double absolute = 0);

// Calls f with every position of a shape, in row-major order.
void for_each_position(const Shape& dims, const std::function<void(const Shape&)>& f);

}  // namespace emulator_test
