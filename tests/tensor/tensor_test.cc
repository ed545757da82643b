#include "tensor/tensor.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

TEST(DType, NamesAreUniqueAndFound) {
  for (int i = 0; i <= static_cast<int>(DType::q6_k); ++i) {
    const DType type = static_cast<DType>(i);
    EXPECT_EQ(dtype_from_name(name(type)), type);
  }
  EXPECT_FALSE(dtype_from_name("float"));
}

TEST(DType, SizesAreCheckedForBlocksAndOverflow) {
  EXPECT_EQ(byte_size(DType::q4_k, 512), 288);
  EXPECT_FALSE(byte_size(DType::q4_k, 100));
  EXPECT_FALSE(byte_size(DType::f32, -1));
  EXPECT_FALSE(byte_size(DType::f64, INT64_MAX));
}

TEST(Shape, CountsElementsWithoutOverflow) {
  EXPECT_EQ(Shape({}).elements(), 1);
  EXPECT_EQ(Shape({3, 0}).elements(), 0);
  EXPECT_FALSE(Shape({INT64_MAX, 2}).elements());
  EXPECT_EQ(to_string(Shape({2, 3})), "[2, 3]");
}

}  // namespace
}  // namespace lotse
