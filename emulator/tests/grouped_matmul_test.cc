// Products of groups of rows against double.
#include <cmath>
#include <functional>
#include <numeric>

#include "aclnnop/moe.h"
#include "packed.h"
#include "support.h"

namespace emulator_test {
namespace {

class GroupedMatmul : public DeviceTest {};

// The arguments that tests vary.
struct Call {
  std::vector<const Tensor*> x{}, weight{}, bias{}, scale{}, antiquant{}, offset{}, token{}, out{};
  const aclTensor* groups = nullptr;
  int64_t type = 0, list_type = 0, activation = 0;

  int operator()() const {
    const List xs(x), weights(weight), outs(out);
    const auto optional = [](const std::vector<const Tensor*>& tensors) {
      return tensors.empty() ? nullptr : static_cast<const aclTensorList*>(List(tensors));
    };
    const aclTensorList* const none = nullptr;
    return run(aclnnGroupedMatmulV4GetWorkspaceSize, aclnnGroupedMatmulV4, xs, weights,
               optional(bias), optional(scale), none, optional(antiquant), optional(offset),
               optional(token), groups, none, none, none, type == 0 ? 2 : 0, type, list_type,
               activation, outs, none, none);
  }
};

constexpr int64_t kRows = 11, kColumns = 34, kWidth = 70, kGroups = 4;
const std::vector<double> kEnds = {3, 3, 10, 11};
const std::vector<double> kSizes = {3, 0, 7, 1};

int64_t group_of(int64_t row) { return row < 3 ? 0 : row < 10 ? 2 : 3; }

double product(const Tensor& x, const Tensor& weight, const Shape& at) {
  double sum = 0;
  for (int64_t k = 0; k < kColumns; ++k) {
    sum += x.at({at[0], k}) * weight.at({group_of(at[0]), k, at[1]});
  }
  return sum;
}

TEST_F(GroupedMatmul, FloatsByEndsAndSizes) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
    for (const int64_t list_type : {0, 1}) {
      SCOPED_TRACE(testing::Message() << dtype << list_type);
      const bool scattered = list_type == 1;
      const Tensor x = Tensor::random(dtype, {kRows, kColumns}, 1, scattered);
      const Tensor w = Tensor::random(dtype, {kGroups, kColumns, kWidth}, 2, scattered);
      const Tensor bias =
          Tensor::random(dtype == ACL_BF16 ? ACL_FLOAT : dtype, {kGroups, kWidth}, 3);
      const Tensor groups(ACL_INT64, {kGroups}, list_type == 0 ? kEnds : kSizes);
      const Tensor out = Tensor::output(dtype, {kRows, kWidth}, scattered);
      Call call{.x = {&x},
                .weight = {&w},
                .bias = {&bias},
                .out = {&out},
                .groups = groups,
                .list_type = list_type};
      ASSERT_EQ(call(), 0) << recent_error();
      expect_values(
          out,
          [&](const Shape& at) { return product(x, w, at) + bias.at({group_of(at[0]), at[1]}); },
          1.02, 2e-5);
    }
  }
}

TEST_F(GroupedMatmul, RowsBeyondTheGroupsStay) {
  const Tensor x = Tensor::random(ACL_FLOAT, {kRows, kColumns}, 1);
  const Tensor w = Tensor::random(ACL_FLOAT, {kGroups, kColumns, kWidth}, 2);
  const Tensor groups(ACL_INT64, {kGroups}, {3, 3, 5, 5});
  const Tensor out = Tensor::output(ACL_FLOAT, {kRows, kWidth});
  Call call{.x = {&x}, .weight = {&w}, .out = {&out}, .groups = groups};
  ASSERT_EQ(call(), 0) << recent_error();
  expect_values(
      out, [&](const Shape& at) { return at[0] >= 5 ? out.at(at) : product(x, w, at); }, 1, 2e-5);
}

TEST_F(GroupedMatmul, Int8WithScalesIsExact) {
  const Tensor x = Tensor::random(ACL_INT8, {kRows, kColumns}, 1, false, -128, 127);
  const Tensor w = Tensor::random(ACL_INT8, {kGroups, kColumns, kWidth}, 2, true, -128, 127);
  const Tensor token = Tensor::random(ACL_FLOAT, {kRows}, 4, false, 1e-3, 2e-3);
  const Tensor groups(ACL_INT64, {kGroups}, kSizes);
  const Tensor pairs(ACL_INT64, {kGroups, 2}, {0, 3, 2, 7, 3, 1, 0, 0});
  for (const aclDataType dtype : {ACL_BF16, ACL_FLOAT16}) {
    for (const int64_t list_type : {1, 2}) {
      const aclDataType scale_dtype = dtype == ACL_BF16 ? ACL_BF16 : ACL_FLOAT;
      const Tensor scale = Tensor::random(scale_dtype, {kGroups, kWidth}, 3, false, 1e-3, 2e-3);
      const Tensor out = Tensor::output(dtype, {kRows, kWidth});
      Call call{.x = {&x},
                .weight = {&w},
                .scale = {&scale},
                .token = {&token},
                .out = {&out},
                .groups = list_type == 1 ? groups : pairs,
                .list_type = list_type};
      ASSERT_EQ(call(), 0) << recent_error();
      expect_values(
          out,
          [&](const Shape& at) {
            const float sum = static_cast<float>(product(x, w, at));
            const float scaled = sum * static_cast<float>(scale.at({group_of(at[0]), at[1]}));
            const float value = scaled * static_cast<float>(token.at({at[0]}));
            return rounded(dtype, static_cast<double>(value));
          },
          0);
    }
  }
  const Tensor whole = Tensor::output(ACL_INT32, {kRows, kWidth});
  Call exact{.x = {&x}, .weight = {&w}, .out = {&whole}, .groups = groups, .list_type = 1};
  ASSERT_EQ(exact(), 0) << recent_error();
  expect_values(whole, [&](const Shape& at) { return product(x, w, at); }, 0);
}

// (w + offset) · scale, rounded to BF16, times x.
double dequantised(const Tensor& x, const std::function<double(int64_t, int64_t)>& weight,
                   const Tensor& scale, const Tensor& offset, const Shape& at) {
  double sum = 0;
  const int64_t g = group_of(at[0]);
  for (int64_t k = 0; k < kColumns; ++k) {
    const bool grouped = scale.dims().size() == 3;
    const Shape place = grouped ? Shape{g, k / 17, at[1]} : Shape{g, at[1]};
    const float whole = static_cast<float>(weight(g, k) + offset.at(place));
    const double value = static_cast<double>(whole * static_cast<float>(scale.at(place)));
    sum += x.at({at[0], k}) * rounded(ACL_BF16, value);
  }
  return sum;
}

TEST_F(GroupedMatmul, WeightsOfInt8AreDequantisedByColumn) {
  const Tensor x = Tensor::random(ACL_BF16, {kRows, kColumns}, 1);
  const Tensor w = Tensor::random(ACL_INT8, {kGroups, kColumns, kWidth}, 2, false, -128, 127);
  const Tensor groups(ACL_INT64, {kGroups}, kEnds), out = Tensor::output(ACL_BF16, {kRows, kWidth});
  const Tensor scale = Tensor::random(ACL_BF16, {kGroups, kWidth}, 3, false, 0.01, 0.02);
  const Tensor offset = Tensor::random(ACL_BF16, {kGroups, kWidth}, 4, false, -9, 9);
  Call call{.x = {&x},
            .weight = {&w},
            .antiquant = {&scale},
            .offset = {&offset},
            .out = {&out},
            .groups = groups};
  ASSERT_EQ(call(), 0) << recent_error();
  expect_values(
      out,
      [&](const Shape& at) {
        const auto weight = [&](int64_t g, int64_t k) { return w.at({g, k, at[1]}); };
        return dequantised(x, weight, scale, offset, at);
      },
      1.02, 1e-4);
}

// By column, and by groups of 17 rows.
TEST_F(GroupedMatmul, WeightsOfInt4AreDequantised) {
  const Tensor x = Tensor::random(ACL_BF16, {kRows, kColumns}, 1);
  std::vector<int> values(static_cast<size_t>(kGroups * kColumns * kWidth));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(i * 7 % 16) - 8;
  const Int4 w(values, ACL_INT4, {kGroups, kColumns, kWidth});
  const Tensor groups(ACL_INT64, {kGroups}, kEnds), out = Tensor::output(ACL_BF16, {kRows, kWidth});
  for (const Shape& shape : {Shape{kGroups, kWidth}, Shape{kGroups, 2, kWidth}}) {
    const Tensor scale = Tensor::random(ACL_BF16, shape, 3, false, 0.01, 0.02);
    const Tensor offset = Tensor::random(ACL_BF16, shape, 4, false, -9, 9);
    const aclTensor* weights[] = {w.tensor};
    const aclTensorList* const none = nullptr;
    ASSERT_EQ(
        run(aclnnGroupedMatmulV4GetWorkspaceSize, aclnnGroupedMatmulV4, List({&x}),
            aclCreateTensorList(weights, 1), none, none, none, List({&scale}), List({&offset}),
            none, groups, none, none, none, 3, 0, 0, 0, List({&out}), none, none),
        0)
        << recent_error();
    expect_values(
        out,
        [&](const Shape& at) {
          const auto weight = [&](int64_t g, int64_t k) {
            return static_cast<double>(
                values[static_cast<size_t>((g * kColumns + k) * kWidth + at[1])]);
          };
          return dequantised(x, weight, scale, offset, at);
        },
        1.02, 1e-4);
  }
}

TEST_F(GroupedMatmul, SeparateProductsAndSeparateWeights) {
  const Tensor a = Tensor::random(ACL_FLOAT16, {3, 5}, 1),
               b = Tensor::random(ACL_FLOAT16, {2, 9}, 2);
  const Tensor v = Tensor::random(ACL_FLOAT16, {5, 7}, 3),
               w = Tensor::random(ACL_FLOAT16, {9, 4}, 4);
  const Tensor y = Tensor::output(ACL_FLOAT16, {3, 7}), z = Tensor::output(ACL_FLOAT16, {2, 4});
  Call call{.x = {&a, &b}, .weight = {&v, &w}, .out = {&y, &z}, .type = -1};
  ASSERT_EQ(call(), 0) << recent_error();
  const auto check = [](const Tensor& left, const Tensor& right, const Tensor& out, int64_t row) {
    expect_values(
        out,
        [&](const Shape& at) {
          double sum = 0;
          for (int64_t k = 0; k < left.dims()[1]; ++k) {
            sum += left.at({at[0] + row, k}) * right.at({k, at[1]});
          }
          return sum;
        },
        1.02, 1e-5);
  };
  check(a, v, y, 0);
  check(b, w, z, 0);
  const Tensor x = Tensor::random(ACL_FLOAT16, {1, 5}, 1),
               u = Tensor::random(ACL_FLOAT16, {5, 7}, 5);
  const Tensor groups(ACL_INT64, {2}, {0, 1}), one = Tensor::output(ACL_FLOAT16, {1, 7});
  Call by_rows{.x = {&x}, .weight = {&v, &u}, .out = {&one}, .groups = groups};
  ASSERT_EQ(by_rows(), 0) << recent_error();
  check(x, u, one, 0);
}

TEST_F(GroupedMatmul, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {4, 6}, 1);
  const Tensor w = Tensor::random(ACL_FLOAT16, {2, 5, 3}, 2), groups(ACL_INT64, {2}, {1, 4});
  const Tensor out = Tensor::output(ACL_FLOAT16, {4, 3}),
               bytes = Tensor::random(ACL_INT8, {4, 6}, 3);
  const Tensor byte_weight = Tensor::random(ACL_INT8, {2, 6, 3}, 3);
  const auto expect = [](const Call& call, const std::string& text) {
    EXPECT_EQ(call(), 161002) << text;
    EXPECT_THAT(recent_error(), testing::HasSubstr(text));
  };
  expect({.x = {&x}, .weight = {&w}, .out = {&out}, .groups = groups},
         "argument x[0]: got FLOAT16 [4, 6], expected 5 columns");
  expect({.x = {&x}, .weight = {&w}, .out = {&out}, .groups = groups, .type = 2},
         "argument groupType: got 2; -1 (none) and 0 (rows) are emulated");
  expect({.x = {&x}, .weight = {&w}, .out = {&out}, .groups = groups, .activation = 1},
         "argument actType: got 1; 0 (none) is emulated");
  expect({.x = {&x}, .weight = {&byte_weight}, .out = {&out}, .groups = groups},
         "which needs x of FLOAT16 or BF16 and antiquantScaleOptional");
  expect({.x = {&bytes}, .weight = {&byte_weight}, .out = {&out}, .groups = groups},
         "argument scaleOptional");
  const Tensor scale = Tensor::random(ACL_FLOAT, {2, 3}, 4),
               wide = Tensor::output(ACL_BF16, {4, 3});
  expect({.x = {&bytes},
          .weight = {&byte_weight},
          .scale = {&scale},
          .out = {&wide},
          .groups = groups},
         "argument scaleOptional[0]: got FLOAT [2, 3], but argument out[0]: got BF16 [4, 3] takes "
         "BF16");
  const Tensor by_groups = Tensor::random(ACL_FLOAT16, {2, 2, 3}, 5);
  expect({.x = {&x},
          .weight = {&byte_weight},
          .antiquant = {&by_groups},
          .out = {&out},
          .groups = groups},
         "weights of INT8 take scales by column");
  const Tensor many = Tensor::random(ACL_FLOAT16, {1025, 6, 3}, 6);
  const Tensor sizes(ACL_INT64, {1025}, std::vector<double>(1025, 0));
  expect({.x = {&x}, .weight = {&many}, .out = {&out}, .groups = sizes, .list_type = 1},
         "got 1025 groups, expected at most 1024");
}

}  // namespace
}  // namespace emulator_test
