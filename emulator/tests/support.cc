#include "support.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

namespace emulator_test {
namespace {

size_t element_size(aclDataType dtype) {
  switch (dtype) {
    case ACL_DOUBLE:
    case ACL_INT64:
    case ACL_UINT64:
      return 8;
    case ACL_FLOAT:
    case ACL_UINT32:
    case ACL_INT32:
      return 4;
    case ACL_FLOAT16:
    case ACL_BF16:
    case ACL_UINT16:
    case ACL_INT16:
      return 2;
    default:
      return 1;
  }
}

bool is_float(aclDataType dtype) {
  return dtype == ACL_FLOAT || dtype == ACL_FLOAT16 || dtype == ACL_BF16 || dtype == ACL_DOUBLE;
}

// Round to nearest, ties to even, by arithmetic: `digits` of mantissa, least exponent `least`.
double round_to(double value, int digits, int least) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least);
  return std::ldexp(std::nearbyint(std::ldexp(value, digits - exponent)), exponent - digits);
}

template <class T>
void put(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

template <class T>
T get(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

void encode(aclDataType dtype, double value, std::byte* to) {
  switch (dtype) {
    case ACL_DOUBLE:
      return put(to, value);
    case ACL_FLOAT:
      return put(to, static_cast<float>(value));
    case ACL_FLOAT16:
      return put(to, static_cast<_Float16>(value));
    case ACL_BF16: {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(rounded(ACL_BF16, value)));
      return put(to, static_cast<uint16_t>(bits >> 16));
    }
    case ACL_INT64:
      return put(to, static_cast<int64_t>(value));
    case ACL_INT32:
      return put(to, static_cast<int32_t>(value));
    case ACL_INT16:
      return put(to, static_cast<int16_t>(value));
    case ACL_INT8:
      return put(to, static_cast<int8_t>(value));
    case ACL_UINT64:
      return put(to, static_cast<uint64_t>(value));
    case ACL_UINT32:
      return put(to, static_cast<uint32_t>(value));
    case ACL_UINT16:
      return put(to, static_cast<uint16_t>(value));
    default:
      return put(to, static_cast<uint8_t>(value));
  }
}

double decode(aclDataType dtype, const std::byte* from) {
  switch (dtype) {
    case ACL_DOUBLE:
      return get<double>(from);
    case ACL_FLOAT:
      return static_cast<double>(get<float>(from));
    case ACL_FLOAT16:
      return static_cast<double>(get<_Float16>(from));
    case ACL_BF16:
      return static_cast<double>(
          std::bit_cast<float>(static_cast<uint32_t>(get<uint16_t>(from)) << 16));
    case ACL_INT64:
      return static_cast<double>(get<int64_t>(from));
    case ACL_INT32:
      return get<int32_t>(from);
    case ACL_INT16:
      return get<int16_t>(from);
    case ACL_INT8:
      return get<int8_t>(from);
    case ACL_UINT64:
      return static_cast<double>(get<uint64_t>(from));
    case ACL_UINT32:
      return get<uint32_t>(from);
    case ACL_UINT16:
      return get<uint16_t>(from);
    default:
      return get<uint8_t>(from);
  }
}

int64_t product(const Shape& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

std::string recent_error() {
  const char* text = aclGetRecentErrMsg();
  return text == nullptr ? "" : text;
}

DeviceTest::DeviceTest() { EXPECT_EQ(aclrtSetDevice(0), 0) << recent_error(); }

Memory::Memory(size_t size) {
  EXPECT_EQ(aclrtMalloc(&address_, size, ACL_MEM_MALLOC_HUGE_FIRST), 0) << recent_error();
}

Memory::~Memory() { aclrtFree(address_); }

Tensor::Tensor(aclDataType dtype, Shape dims, const std::vector<double>& values)
    : dtype_(dtype), dims_(std::move(dims)) {
  EXPECT_EQ(static_cast<int64_t>(values.size()), product(dims_));
  for (const double value : values) values_.push_back(rounded(dtype, value));
  place(false);
}

Tensor Tensor::random(aclDataType dtype, Shape dims, uint32_t seed, bool scattered, double low,
                      double high) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.dims_ = std::move(dims);
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> distribution(low, high);
  for (int64_t i = product(tensor.dims_); i > 0; --i) {
    const double value = distribution(generator);
    tensor.values_.push_back(is_float(dtype) ? rounded(dtype, value) : std::round(value));
  }
  tensor.place(scattered);
  return tensor;
}

Tensor Tensor::output(aclDataType dtype, Shape dims, bool scattered) {
  Tensor tensor;
  tensor.dtype_ = dtype;
  tensor.dims_ = std::move(dims);
  tensor.values_.assign(static_cast<size_t>(product(tensor.dims_)), dtype == ACL_BOOL ? 1 : 77);
  tensor.place(scattered);
  return tensor;
}

Tensor::Tensor(Tensor&& other) noexcept
    : dtype_(other.dtype_),
      dims_(std::move(other.dims_)),
      strides_(std::move(other.strides_)),
      offset_(other.offset_),
      bytes_(other.bytes_),
      values_(std::move(other.values_)),
      memory_(std::exchange(other.memory_, nullptr)),
      handle_(std::exchange(other.handle_, nullptr)) {}

Tensor::~Tensor() {
  if (handle_ != nullptr) aclDestroyTensor(handle_);
  if (memory_ != nullptr) aclrtFree(memory_);
}

// Scattered: dimension 0 innermost, every second element, three elements into the memory.
void Tensor::place(bool scattered) {
  const size_t rank = dims_.size();
  strides_.assign(rank, 1);
  int64_t step = scattered ? 2 : 1;
  for (size_t i = 0; i < rank; ++i) {
    const size_t dim = scattered ? i : rank - 1 - i;
    strides_[dim] = step;
    step *= std::max<int64_t>(dims_[dim], 1);
  }
  offset_ = scattered ? 3 : 0;
  bytes_ = static_cast<size_t>(step + offset_) * element_size(dtype_);
  EXPECT_EQ(aclrtMalloc(&memory_, bytes_, ACL_MEM_MALLOC_HUGE_FIRST), 0) << recent_error();
  upload();
  const int64_t storage = step + offset_;
  handle_ = aclCreateTensor(dims_.data(), rank, dtype_, strides_.data(), offset_, ACL_FORMAT_ND,
                            scattered ? &storage : dims_.data(), scattered ? 1 : rank, memory_);
  EXPECT_NE(handle_, nullptr) << recent_error();
}

size_t Tensor::byte_at(size_t element) const {
  int64_t index = offset_;
  auto rest = static_cast<int64_t>(element);
  for (size_t i = dims_.size(); i-- > 0;) {
    index += rest % dims_[i] * strides_[i];
    rest /= dims_[i];
  }
  return static_cast<size_t>(index) * element_size(dtype_);
}

void Tensor::upload() {
  std::vector<std::byte> bytes(bytes_, std::byte{0x5a});
  for (size_t i = 0; i < values_.size(); ++i) encode(dtype_, values_[i], &bytes[byte_at(i)]);
  EXPECT_EQ(aclrtMemcpy(memory_, bytes_, bytes.data(), bytes_, ACL_MEMCPY_HOST_TO_DEVICE), 0)
      << recent_error();
}

std::vector<double> Tensor::fetch() const {
  std::vector<std::byte> bytes(bytes_);
  EXPECT_EQ(aclrtMemcpy(bytes.data(), bytes_, memory_, bytes_, ACL_MEMCPY_DEVICE_TO_HOST), 0)
      << recent_error();
  std::vector<double> values;
  for (size_t i = 0; i < values_.size(); ++i) {
    values.push_back(decode(dtype_, &bytes[byte_at(i)]));
  }
  return values;
}

double Tensor::at(const Shape& position) const {
  size_t index = 0;
  const size_t skipped = position.size() - dims_.size();
  for (size_t i = 0; i < dims_.size(); ++i) {
    const int64_t along = dims_[i] == 1 ? 0 : position[skipped + i];
    index = index * static_cast<size_t>(dims_[i]) + static_cast<size_t>(along);
  }
  return values_[index];
}

double rounded(aclDataType dtype, double value) {
  switch (dtype) {
    case ACL_FLOAT:
      return static_cast<double>(static_cast<float>(value));
    case ACL_FLOAT16: {
      const double result = round_to(value, 10, -14);
      return std::abs(result) > 65504 ? std::copysign(INFINITY, value) : result;
    }
    case ACL_BF16:
      return round_to(static_cast<double>(static_cast<float>(value)), 7, -126);
    default:
      return value;
  }
}

double half_ulp(aclDataType dtype, double value) {
  const auto unit = [value](int digits, int least) {
    const int exponent = value == 0 ? least : std::max(std::ilogb(value), least);
    return std::ldexp(0.5, exponent - digits);
  };
  switch (dtype) {
    case ACL_FLOAT:
      return unit(23, -126);
    case ACL_FLOAT16:
      return unit(10, -14);
    case ACL_BF16:
      return unit(7, -126);
    case ACL_DOUBLE:
      return unit(52, -1022);
    default:
      return 0;
  }
}

void for_each_position(const Shape& dims, const std::function<void(const Shape&)>& f) {
  Shape position(dims.size(), 0);
  for (int64_t left = product(dims); left > 0; --left) {
    f(position);
    for (size_t i = dims.size(); i-- > 0;) {
      if (++position[i] < dims[i]) break;
      position[i] = 0;
    }
  }
}

void expect_values(const Tensor& actual, const std::function<double(const Shape&)>& f, double ulps,
                   double absolute) {
  const std::vector<double> values = actual.fetch();
  size_t i = 0;
  int shown = 0;
  for_each_position(actual.dims(), [&](const Shape& position) {
    const double got = values[i++];
    const double expected = f(position);
    if (got == expected || (std::isnan(got) && std::isnan(expected))) return;
    const double allowed = ulps * half_ulp(actual.dtype(), expected) + absolute;
    if (std::abs(got - expected) <= allowed || ++shown > 5) return;
    ADD_FAILURE() << "at " << testing::PrintToString(position) << ": got " << got << ", expected "
                  << expected << ", allowed " << allowed;
  });
}

}  // namespace emulator_test
