// Selection by index and the largest elements: every value is exact.
#include "aclnnop/indexing.h"

#include <algorithm>
#include <numeric>

#include "support.h"

namespace emulator_test {
namespace {

class Indexing : public DeviceTest {};

constexpr aclDataType kTypes[] = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_DOUBLE, ACL_INT8,
                                  ACL_INT32, ACL_INT64,   ACL_BOOL, ACL_INT16,  ACL_UINT8};

Tensor values_of(aclDataType dtype, const Shape& dims, uint32_t seed, bool scattered) {
  const bool unsigned_type = dtype == ACL_BOOL || dtype == ACL_UINT8;
  return Tensor::random(dtype, dims, seed, scattered, unsigned_type ? 0 : -100,
                        dtype == ACL_BOOL ? 1 : 100);
}

TEST_F(Indexing, IndexSelectAlongEveryDimension) {
  for (const aclDataType dtype : kTypes) {
    for (const size_t dim : {0u, 1u, 2u}) {
      const bool scattered = dim != 1;
      SCOPED_TRACE(testing::Message() << dtype << " dim " << dim);
      const Tensor x = values_of(dtype, {3, 5, 4}, 1, scattered);
      const Tensor index(dim == 0 ? ACL_INT32 : ACL_INT64, {6}, {2, 0, 1, 1, 2, 0});
      Shape dims = x.dims();
      dims[dim] = 6;
      const Tensor y = Tensor::output(dtype, dims, scattered);
      RUN(aclnnIndexSelect, x, static_cast<int64_t>(dim) - 3, index, y);
      expect_values(
          y,
          [&](Shape at) {
            at[dim] = static_cast<int64_t>(index.at({at[dim]}));
            return x.at(at);
          },
          0);
    }
  }
}

TEST_F(Indexing, GatherTakesAnIndexOfAnyShape) {
  const Tensor x = Tensor::random(ACL_FLOAT16, {3, 7, 5}, 1, true);
  const Tensor index = Tensor::random(ACL_INT64, {2, 3, 4}, 2, true, 0, 6);
  const Tensor y = Tensor::output(ACL_FLOAT16, {3, 2, 3, 4, 5}, true);
  RUN(aclnnGatherV2, x, 1, index, y);
  expect_values(
      y,
      [&](const Shape& at) {
        return x.at({at[0], static_cast<int64_t>(index.at({at[1], at[2], at[3]})), at[4]});
      },
      0);
  const Tensor one(ACL_INT32, {}, {4}), z = Tensor::output(ACL_FLOAT16, {3, 5});
  RUN(aclnnGatherV2, x, 1, one, z);
  expect_values(z, [&](const Shape& at) { return x.at({at[0], 4, at[1]}); }, 0);
}

TEST_F(Indexing, EmbeddingTakesRows) {
  const Tensor weight = Tensor::random(ACL_BF16, {101, 37}, 1);
  const Tensor indices = Tensor::random(ACL_INT32, {4, 9}, 2, false, 0, 100);
  const Tensor y = Tensor::output(ACL_BF16, {4, 9, 37});
  RUN(aclnnEmbedding, weight, indices, y);
  expect_values(
      y,
      [&](const Shape& at) {
        return weight.at({static_cast<int64_t>(indices.at({at[0], at[1]})), at[2]});
      },
      0);
}

TEST_F(Indexing, IndexCopyWritesInOrder) {
  for (const bool scattered : {false, true}) {
    const Tensor x = Tensor::random(ACL_FLOAT, {4, 6, 3}, 1, scattered);
    const Tensor source = Tensor::random(ACL_FLOAT, {4, 4, 3}, 2, !scattered);
    const Tensor index(ACL_INT64, {4}, {5, 1, 3, 1});
    RUN(aclnnInplaceIndexCopy, x, 1, index, source);
    const std::vector<int64_t> from = {-1, 3, -1, 2, -1, 0};  // the later of equals wins
    expect_values(
        x,
        [&](const Shape& at) {
          const int64_t row = from[static_cast<size_t>(at[1])];
          return row < 0 ? x.at(at) : source.at({at[0], row, at[2]});
        },
        0);
  }
}

TEST_F(Indexing, IndicesOutsideAreFaultsOfTheStream) {
  const Tensor x = Tensor::random(ACL_FLOAT, {4, 6}, 1), y = Tensor::output(ACL_FLOAT, {2, 6});
  for (const double bad : {-1.0, 4.0}) {
    const Tensor index(ACL_INT64, {2}, {0, bad});
    aclrtStream stream = nullptr;
    ASSERT_EQ(aclrtCreateStream(&stream), 0);
    uint64_t size = 0;
    aclOpExecutor* executor = nullptr;
    ASSERT_EQ(aclnnIndexSelectGetWorkspaceSize(x, 0, index, y, &size, &executor), 0);
    ASSERT_EQ(aclnnIndexSelect(nullptr, 0, executor, stream), 0);
    EXPECT_EQ(aclrtSynchronizeStream(stream), 507035);
    EXPECT_THAT(recent_error(), testing::HasSubstr("dimension 0 of self FLOAT [4, 6] has 4"));
    aclrtDestroyStream(stream);
  }
}

// All positions along the last dimension in the order of the definition.
std::vector<size_t> sorted_positions(const std::vector<double>& row, bool largest) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](size_t a, size_t b) {
    if (row[a] == row[b]) return a < b;
    return largest ? row[a] > row[b] : row[a] < row[b];
  });
  return order;
}

TEST_F(Indexing, TopkTakesTheLowerIndexOfEquals) {
  for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16, ACL_INT32, ACL_INT64}) {
    for (const bool largest : {false, true}) {
      for (const bool scattered : {false, true}) {
        SCOPED_TRACE(testing::Message() << dtype << largest << scattered);
        // Whole numbers, so that many are equal.
        std::vector<double> numbers;
        for (int i = 0; i < 5 * 61; ++i) numbers.push_back(i * 7919 % 23 - 11);
        const Tensor x(dtype, {5, 61}, numbers);
        const Tensor values = Tensor::output(dtype, {5, 17}, scattered);
        const Tensor indices = Tensor::output(ACL_INT64, {5, 17}, scattered);
        RUN(aclnnTopk, x, 17, -1, largest, true, values, indices);
        std::vector<std::vector<size_t>> orders;
        for (int64_t r = 0; r < 5; ++r) {
          const auto first = numbers.begin() + r * 61;
          orders.push_back(sorted_positions({first, first + 61}, largest));
        }
        const auto position = [&](const Shape& at) {
          return orders[static_cast<size_t>(at[0])][static_cast<size_t>(at[1])];
        };
        expect_values(
            indices, [&](const Shape& at) { return static_cast<double>(position(at)); }, 0);
        expect_values(
            values,
            [&](const Shape& at) { return x.at({at[0], static_cast<int64_t>(position(at))}); }, 0);
      }
    }
  }
}

TEST_F(Indexing, TopkAlongTheFirstDimension) {
  const Tensor x(ACL_FLOAT, {3, 2}, {1, 9, 5, 2, 3, 9});
  const Tensor values = Tensor::output(ACL_FLOAT, {2, 2}), at = Tensor::output(ACL_INT64, {2, 2});
  RUN(aclnnTopk, x, 2, 0, true, true, values, at);
  EXPECT_THAT(values.fetch(), testing::ElementsAre(5, 9, 3, 9));
  EXPECT_THAT(at.fetch(), testing::ElementsAre(1, 0, 2, 2));
}

TEST_F(Indexing, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {4, 6}, 1), y = Tensor::output(ACL_FLOAT, {2, 6});
  const Tensor index(ACL_INT64, {2}, {0, 1}), real = Tensor::random(ACL_FLOAT, {2}, 1);
  const Tensor half = Tensor::output(ACL_FLOAT16, {2, 6}), at = Tensor::output(ACL_INT64, {2, 6});
  EXPECT_REFUSED(161002, "argument index: got FLOAT [2], but Ascend910B3 supports INT32, INT64",
                 aclnnIndexSelect, x, 0, real, y);
  EXPECT_REFUSED(161002, "argument out: got FLOAT16 [2, 6], expected FLOAT", aclnnIndexSelect, x, 0,
                 index, half);
  EXPECT_REFUSED(161002, "argument out: got FLOAT [2, 6], expected shape [4, 2]", aclnnGatherV2, x,
                 1, index, y);
  EXPECT_REFUSED(161002, "argument source: got FLOAT [4, 6], expected shape [2, 6]",
                 aclnnInplaceIndexCopy, x, 0, index, x);
  EXPECT_REFUSED(161002, "argument k: got 5, but dimension 0 of self FLOAT [4, 6] has 4 elements",
                 aclnnTopk, x, 5, 0, true, true, y, at);
}

}  // namespace
}  // namespace emulator_test
