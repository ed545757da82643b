#include "packed.h"

namespace emulator_test {

Int4::Int4(const std::vector<int>& values, aclDataType dtype, const Shape& dims,
           const Shape& strides, const Shape& fractal_storage)
    : count_(values.size()), memory_(values.size() / 2 + 1) {
  std::vector<uint8_t> bytes(count_ / 2 + 1);
  for (size_t i = 0; i < count_; ++i) {
    bytes[i / 2] = static_cast<uint8_t>(bytes[i / 2] | (values[i] & 15) << (i % 2 * 4));
  }
  EXPECT_EQ(aclrtMemcpy(memory_.get(), bytes.size(), bytes.data(), bytes.size(),
                        ACL_MEMCPY_HOST_TO_DEVICE),
            0);
  const Shape& storage = fractal_storage.empty() ? dims : fractal_storage;
  tensor =
      aclCreateTensor(dims.data(), dims.size(), dtype, strides.empty() ? nullptr : strides.data(),
                      0, fractal_storage.empty() ? ACL_FORMAT_ND : ACL_FORMAT_FRACTAL_NZ,
                      storage.data(), storage.size(), memory_.get());
  EXPECT_NE(tensor, nullptr) << recent_error();
}

std::vector<double> Int4::fetch() const {
  std::vector<uint8_t> bytes(count_ / 2 + 1);
  EXPECT_EQ(aclrtMemcpy(bytes.data(), bytes.size(), memory_.get(), bytes.size(),
                        ACL_MEMCPY_DEVICE_TO_HOST),
            0);
  std::vector<double> values;
  for (size_t i = 0; i < count_; ++i) {
    const int nibble = bytes[i / 2] >> (i % 2 * 4) & 15;
    values.push_back(nibble >= 8 ? nibble - 16 : nibble);
  }
  return values;
}

}  // namespace emulator_test
