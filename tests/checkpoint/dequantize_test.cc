#include "checkpoint/dequantize.h"

#include <gtest/gtest.h>

#include <random>

#include "base/float_types.h"

namespace lotse {
namespace {

TEST(Dequantize, PlainFloatsOfEveryType) {
  const auto check = [](const Tensor& tensor, const std::vector<float>& expected) {
    EXPECT_EQ(dequantize(tensor).value(), expected) << name(tensor.dtype);
  };
  check(make_tensor<double>(DType::f64, Shape({2}), {0.1, -2.0}), {0.1f, -2.0f});
  check(make_tensor<float>(DType::f32, Shape({2, 1}), {0.1f, -2.0f}), {0.1f, -2.0f});
  check(make_tensor<uint16_t>(DType::f16, Shape({3}), {0x3c00, 0xc000, 0x0001}),
        {1.0f, -2.0f, 5.9604645e-8f});
  check(make_tensor<uint16_t>(DType::bf16, Shape({2}), {0x3f80, 0xc000}), {1.0f, -2.0f});
  check(make_tensor<uint8_t>(DType::f8_e4m3, Shape({3}), {0x38, 0x7e, 0x81}),
        {1.0f, 448.0f, -0.001953125f});
  check(make_tensor<uint8_t>(DType::f8_e5m2, Shape({2}), {0x3c, 0x7b}), {1.0f, 57344.0f});
  check(make_tensor<uint8_t>(DType::f8_e8m0, Shape({2}), {127, 130}), {1.0f, 8.0f});
  check(make_tensor<float>(DType::f32, Shape(), {3.0f}), {3.0f});
  check(make_tensor<float>(DType::f32, Shape({0, 4}), {}), {});
  check(make_tensor<float>(DType::f32, Shape({4, 0}), {}), {});
}

TEST(Dequantize, IntegersAndPackedTypesNeedScales) {
  for (const DType dtype : {DType::i8, DType::u8, DType::i4, DType::f4_e2m1, DType::boolean}) {
    EXPECT_FALSE(can_dequantize(dtype));
    const auto result = dequantize(make_tensor<uint8_t>(
        dtype, Shape({2 * info(dtype).block_elements}),
        std::vector<uint8_t>(static_cast<size_t>(2 * info(dtype).block_bytes))));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::unsupported);
  }
}

// Any range of rows equals the same rows of the whole, for every type and a 3-dimensional shape.
TEST(Dequantize, RowsAreIndependent) {
  std::mt19937 random(11);
  for (int type = 0; type <= static_cast<int>(DType::q6_k); ++type) {
    const DType dtype = static_cast<DType>(type);
    if (!can_dequantize(dtype)) continue;
    const Shape shape({3, 5, 512});
    std::vector<uint8_t> bytes(
        static_cast<size_t>(byte_size(dtype, shape.elements().value()).value()));
    // Small bytes: every scale and float is finite, so that comparison is exact.
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 64);
    const Tensor tensor = make_tensor(dtype, shape, bytes);
    const std::vector<float> whole = dequantize(tensor).value();
    for (int64_t begin = 0; begin <= 15; begin += 4) {
      for (int64_t end = begin; end <= 15; end += 3) {
        std::vector<float> rows(static_cast<size_t>((end - begin) * 512));
        ASSERT_TRUE(dequantize_rows(tensor, begin, end, rows.data()));
        EXPECT_TRUE(std::equal(rows.begin(), rows.end(), whole.begin() + begin * 512));
      }
    }
  }
}

}  // namespace
}  // namespace lotse
