// Operators that move elements: every output position against the input position it must come from.
#include "aclnnop/shape.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "support.h"

namespace emulator_test {
namespace {

class ShapeOperators : public DeviceTest {};

constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16,  ACL_DOUBLE,
                                  ACL_INT64, ACL_INT8,    ACL_UINT8, ACL_BOOL};

Tensor input(aclDataType dtype, const Shape& dims, bool scattered) {
  return Tensor::random(dtype, dims, 3, scattered, dtype == ACL_BOOL || dtype == ACL_UINT8 ? 0 : -2,
                        dtype == ACL_BOOL ? 1 : 2);
}

// Calls `body(dtype, scattered)` for every type, row-major and scattered.
void for_each_case(const std::function<void(aclDataType, bool)>& body) {
  for (const aclDataType dtype : kTypes) {
    for (const bool scattered : {false, true}) {
      SCOPED_TRACE(testing::Message() << "dtype " << dtype << " scattered " << scattered);
      body(dtype, scattered);
    }
  }
}

TEST_F(ShapeOperators, Permute) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {3, 5, 7, 2}, scattered);
    const Tensor y = Tensor::output(dtype, {7, 3, 2, 5}, !scattered);
    RUN(aclnnPermute, x, Ints({-2, 0, 3, 1}), y);
    expect_values(y, [&](const Shape& at) { return x.at({at[1], at[3], at[0], at[2]}); }, 0);
  });
  const Tensor none = input(ACL_FLOAT, {3, 0}, false), out = Tensor::output(ACL_FLOAT, {0, 3});
  RUN(aclnnPermute, none, Ints({1, 0}), out);
  const Tensor x = input(ACL_FLOAT, {3, 5}, false), y = Tensor::output(ACL_FLOAT, {5, 3});
  EXPECT_REFUSED(161002, "argument dims: got 1 numbers, but self is FLOAT [3, 5]", aclnnPermute, x,
                 Ints({0}), y);
  EXPECT_REFUSED(161002, "argument dims: -1 is named twice", aclnnPermute, x, Ints({1, -1}), y);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [5, 3], expected shape [3, 5]", aclnnPermute, x,
                 Ints({0, 1}), y);
}

// Runs aclnnCat on tensors, which a list would destroy with itself.
int cat(const std::vector<const aclTensor*>& parts, int64_t dim, const Tensor& out) {
  const aclTensorList* list = aclCreateTensorList(parts.data(), parts.size());
  return run(aclnnCatGetWorkspaceSize, aclnnCat, list, dim, out);
}

TEST_F(ShapeOperators, Cat) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor a = input(dtype, {2, 3, 4}, scattered), b = input(dtype, {2, 1, 4}, !scattered);
    const Tensor none = input(dtype, {0}, false);
    const Tensor y = Tensor::output(dtype, {2, 4, 4}, scattered);
    ASSERT_EQ(cat({a, none, b}, -2, y), 0) << recent_error();
    expect_values(
        y, [&](const Shape& at) { return at[1] < 3 ? a.at(at) : b.at({at[0], at[1] - 3, at[2]}); },
        0);
  });
  const Tensor half = input(ACL_FLOAT16, {3}, false), whole = input(ACL_INT32, {2}, false);
  const Tensor y = Tensor::output(ACL_FLOAT, {5});
  ASSERT_EQ(cat({half, whole}, 0, y), 0) << recent_error();
  expect_values(
      y, [&](const Shape& at) { return at[0] < 3 ? half.at(at) : whole.at({at[0] - 3}); }, 0);
  const Tensor wide = input(ACL_FLOAT, {2, 3}, false), out = Tensor::output(ACL_FLOAT, {4, 4});
  EXPECT_EQ(cat({wide}, 0, out), 161002);
  EXPECT_THAT(recent_error(),
              testing::HasSubstr("argument tensors[0]: got FLOAT [2, 3], which differs from out"));
  const Tensor packed = Tensor::output(ACL_INT4, {8});
  EXPECT_EQ(cat({packed}, 0, packed), 161002);
  EXPECT_THAT(recent_error(), testing::HasSubstr("argument tensors[0]: got INT4 [8]"));
}

TEST_F(ShapeOperators, Slice) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {3, 11, 2}, scattered);
    const Tensor y = Tensor::output(dtype, {3, 3, 2}, !scattered);
    RUN(aclnnSlice, x, -2, -9, INT64_MAX, 3, y);
    expect_values(y, [&](const Shape& at) { return x.at({at[0], 2 + 3 * at[1], at[2]}); }, 0);
    const Tensor none = Tensor::output(dtype, {3, 0, 2});
    RUN(aclnnSlice, x, 1, 5, 2, 1, none);
    RUN(aclnnSlice, x, 1, 50, INT64_MIN, INT64_MAX, none);
  });
  const Tensor x = input(ACL_FLOAT, {3}, false), y = Tensor::output(ACL_FLOAT, {3});
  EXPECT_REFUSED(161002, "argument step: got 0, expected a positive number", aclnnSlice, x, 0, 0, 3,
                 0, y);
}

TEST_F(ShapeOperators, Repeat) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {3, 1, 5}, scattered);
    const Tensor y = Tensor::output(dtype, {2, 6, 7, 15}, !scattered);
    RUN(aclnnRepeat, x, Ints({2, 2, 7, 3}), y);
    expect_values(y, [&](const Shape& at) { return x.at({at[1] % 3, 0, at[3] % 5}); }, 0);
  });
  const Tensor x = input(ACL_FLOAT, {2, 0}, false), none = Tensor::output(ACL_FLOAT, {1 << 20, 0});
  RUN(aclnnRepeat, x, Ints({1 << 19, 5}), none);
  const Tensor y = Tensor::output(ACL_FLOAT, {4, 4});
  const Tensor full = input(ACL_FLOAT, {2, 2}, false);
  EXPECT_REFUSED(161002, "argument repeats: got 1 numbers, expected 2 to 8", aclnnRepeat, full,
                 Ints({2}), y);
  EXPECT_REFUSED(161002, "argument repeats: -1 is negative", aclnnRepeat, full, Ints({2, -1}), y);
  EXPECT_REFUSED(161002, "is too much", aclnnRepeat, full, Ints({INT64_MAX, 1}), y);
}

TEST_F(ShapeOperators, RepeatInterleave) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {3, 4, 2}, scattered);
    for (const int64_t times : {1, 3, 9}) {
      const Tensor y = Tensor::output(dtype, {3, 4 * times, 2}, !scattered);
      RUN(aclnnRepeatInterleaveIntWithDim, x, times, -2, 4 * times, y);
      expect_values(y, [&](const Shape& at) { return x.at({at[0], at[1] / times, at[2]}); }, 0);
    }
  });
  const Tensor x = input(ACL_FLOAT, {3}, false), y = Tensor::output(ACL_FLOAT, {6});
  EXPECT_REFUSED(161002, "argument outputSize: got 5, expected 6", aclnnRepeatInterleaveIntWithDim,
                 x, 2, 0, 5, y);
}

TEST_F(ShapeOperators, Roll) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {3, 7, 4}, scattered);
    const Tensor y = Tensor::output(dtype, {3, 7, 4}, !scattered);
    RUN(aclnnRoll, x, Ints({2, -9}), Ints({-1, 1}), y);
    expect_values(
        y, [&](const Shape& at) { return x.at({at[0], (at[1] + 9) % 7, (at[2] + 2) % 4}); }, 0);
    RUN(aclnnRoll, x, Ints({1, 1}), Ints({0, -3}), y);
    expect_values(y, [&](const Shape& at) { return x.at({(at[0] + 1) % 3, at[1], at[2]}); }, 0);
    RUN(aclnnRoll, x, Ints({5}), Ints(std::vector<int64_t>{}), y);
    expect_values(
        y,
        [&](const Shape& at) {
          const int64_t from = ((at[0] * 7 + at[1]) * 4 + at[2] + 84 - 5) % 84;
          return x.values()[static_cast<size_t>(from)];
        },
        0);
  });
  const Tensor x = input(ACL_FLOAT, {3}, false), y = Tensor::output(ACL_FLOAT, {3});
  EXPECT_REFUSED(161002, "arguments shifts and dims: got 2 and 1 numbers", aclnnRoll, x,
                 Ints({1, 2}), Ints({0}), y);
}

TEST_F(ShapeOperators, Triangles) {
  for_each_case([](aclDataType dtype, bool scattered) {
    for (const int64_t diagonal :
         {int64_t{-2}, int64_t{0}, int64_t{1}, INT64_MAX, INT64_MIN, int64_t{-5}, int64_t{7}}) {
      const Tensor x = input(dtype, {2, 5, 7}, scattered);
      const Tensor y = Tensor::output(dtype, {2, 5, 7}, !scattered);
      RUN(aclnnTril, x, diagonal, y);
      expect_values(
          y, [&](const Shape& at) { return at[2] - at[1] <= diagonal ? x.at(at) : 0.0; }, 0);
      RUN(aclnnTriu, x, diagonal, y);
      expect_values(
          y, [&](const Shape& at) { return at[2] - at[1] >= diagonal ? x.at(at) : 0.0; }, 0);
      RUN(aclnnInplaceTriu, x, diagonal);
      expect_values(
          x, [&](const Shape& at) { return at[2] - at[1] >= diagonal ? x.at(at) : 0.0; }, 0);
    }
  });
  // What is masked may be infinite.
  const Tensor x(ACL_FLOAT, {2, 2}, {1, -INFINITY, INFINITY, NAN});
  const Tensor y = Tensor::output(ACL_FLOAT, {2, 2});
  RUN(aclnnTril, x, -1, y);
  EXPECT_THAT(y.fetch(), testing::ElementsAre(0, 0, INFINITY, 0));
  const Tensor row = input(ACL_FLOAT, {3}, false);
  EXPECT_REFUSED(161002, "expected 2 to 8 dimensions", aclnnTril, row, 0, row);
}

TEST_F(ShapeOperators, UpsampleNearest2d) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {2, 3, 5, 4}, scattered);
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{10, 12}, {7, 9}, {3, 2}}) {
      const Tensor y = Tensor::output(dtype, {2, 3, height, width}, !scattered);
      RUN(aclnnUpsampleNearest2d, x, Ints({height, width}), y);
      expect_values(
          y,
          [&](const Shape& at) {
            return x.at({at[0], at[1], at[2] * 5 / height, at[3] * 4 / width});
          },
          0);
    }
  });
  const Tensor x = input(ACL_FLOAT, {1, 1, 2, 2}, false),
               y = Tensor::output(ACL_FLOAT, {1, 1, 4, 4});
  EXPECT_REFUSED(161002, "argument outputSize: got 1 numbers, expected 2", aclnnUpsampleNearest2d,
                 x, Ints({4}), y);
}

TEST_F(ShapeOperators, ConstantPadNd) {
  const Scalar one(1.0f);
  for_each_case([&](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {2, 5, 3}, scattered);
    const Tensor y = Tensor::output(dtype, {2, 5, 6}, !scattered);
    // Columns: 1 before, 2 after. Rows: 2 fewer at the top, 2 more below.
    RUN(aclnnConstantPadNd, x, Ints({1, 2, -2, 2}), one, y);
    expect_values(
        y,
        [&](const Shape& at) {
          const int64_t row = at[1] + 2, column = at[2] - 1;
          return row < 5 && column >= 0 && column < 3 ? x.at({at[0], row, column}) : 1.0;
        },
        0);
  });
  const Tensor x = input(ACL_FLOAT, {2, 3}, false), y = Tensor::output(ACL_FLOAT, {2, 3});
  EXPECT_REFUSED(161002, "argument pad: got 3 numbers, expected pairs", aclnnConstantPadNd, x,
                 Ints({1, 1, 1}), one, y);
  EXPECT_REFUSED(161002, "is too much", aclnnConstantPadNd, x, Ints({INT64_MAX, -INT64_MAX}), one,
                 y);
  const Tensor only = Tensor::output(ACL_FLOAT, {2, 3});
  RUN(aclnnConstantPadNd, x, Ints({-5, 5}), one, only);
  expect_values(only, [](const Shape&) { return 1; }, 0);
}

TEST_F(ShapeOperators, ReflectionPad1d) {
  for_each_case([](aclDataType dtype, bool scattered) {
    const Tensor x = input(dtype, {2, 3, 5}, scattered);
    const Tensor y = Tensor::output(dtype, {2, 3, 12}, !scattered);
    RUN(aclnnReflectionPad1d, x, Ints({3, 4}), y);
    const int64_t sources[] = {3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0};
    expect_values(y, [&](const Shape& at) { return x.at({at[0], at[1], sources[at[2]]}); }, 0);
  });
  const Tensor x = input(ACL_FLOAT, {2, 3}, false), y = Tensor::output(ACL_FLOAT, {2, 6});
  EXPECT_REFUSED(161002, "argument padding: got 3, expected 0 to less than the 3 columns",
                 aclnnReflectionPad1d, x, Ints({0, 3}), y);
}

}  // namespace
}  // namespace emulator_test
