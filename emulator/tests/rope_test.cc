// Rotary position embedding against double.
#include "aclnnop/rope.h"

#include "support.h"

namespace emulator_test {
namespace {

class Rope : public DeviceTest {};

// Where the two terms of an output element come from, and the second one's sign: written from the
// definition by halves, pairs, quarters, and pairs put into halves.
struct Terms {
  int64_t straight, turned;
  double sign;
};

Terms terms(int64_t mode, int64_t i, int64_t size) {
  const int64_t half = size / 2, quarter = size / 4;
  switch (mode) {
    case 0:
      return i < half ? Terms{i, i + half, -1} : Terms{i, i - half, 1};
    case 1:
      return i % 2 == 0 ? Terms{i, i + 1, -1} : Terms{i, i - 1, 1};
    case 2:
      return i / quarter % 2 == 0 ? Terms{i, i + quarter, -1} : Terms{i, i - quarter, 1};
    default:
      return i < half ? Terms{2 * i, 2 * i + 1, -1} : Terms{2 * (i - half) + 1, 2 * (i - half), 1};
  }
}

TEST_F(Rope, ModesTypesStridesAndBroadcasts) {
  const Shape tables[] = {{1, 5, 1, 12}, {3, 5, 1, 12}, {1, 1, 1, 12}, {3, 5, 2, 12}};
  for (int64_t mode = 0; mode < 4; ++mode) {
    for (const aclDataType dtype : {ACL_FLOAT, ACL_FLOAT16, ACL_BF16}) {
      for (size_t t = 0; t < 4; ++t) {
        const bool scattered = t % 2 == 1;
        SCOPED_TRACE(testing::Message() << "mode " << mode << " dtype " << dtype << " table " << t);
        const Tensor x = Tensor::random(dtype, {3, 5, 2, 12}, 1, scattered);
        const Tensor cos = Tensor::random(dtype, tables[t], 2, scattered, -1, 1);
        const Tensor sin = Tensor::random(dtype, tables[t], 3, scattered, -1, 1);
        const Tensor y = Tensor::output(dtype, x.dims(), !scattered);
        RUN(aclnnRotaryPositionEmbedding, x, cos, sin, mode, y);
        expect_values(
            y,
            [&](const Shape& at) {
              const Terms from = terms(mode, at[3], 12);
              Shape straight = at, turned = at;
              straight[3] = from.straight;
              turned[3] = from.turned;
              return x.at(straight) * cos.at(at) + from.sign * x.at(turned) * sin.at(at);
            },
            1.02, 3e-7);
      }
    }
  }
}

TEST_F(Rope, Refusals) {
  const Tensor x = Tensor::random(ACL_FLOAT, {1, 2, 3, 6}, 1);
  const Tensor table = Tensor::random(ACL_FLOAT, {1, 2, 1, 6}, 1);
  const Tensor short_table = Tensor::random(ACL_FLOAT, {1, 2, 1, 1}, 1);
  const Tensor half = Tensor::random(ACL_FLOAT16, {1, 2, 1, 6}, 1);
  const Tensor y = Tensor::output(ACL_FLOAT, x.dims()),
               three = Tensor::output(ACL_FLOAT, {2, 3, 6});
  EXPECT_REFUSED(161002, "argument mode: got 4, expected 0 (half)", aclnnRotaryPositionEmbedding, x,
                 table, table, 4, y);
  EXPECT_REFUSED(161002, "whose last dimension is no multiple of 4", aclnnRotaryPositionEmbedding,
                 x, table, table, 2, y);
  EXPECT_REFUSED(161002, "argument cos: got FLOAT [1, 2, 1, 1], which does not broadcast to x",
                 aclnnRotaryPositionEmbedding, x, short_table, table, 0, y);
  EXPECT_REFUSED(161002, "argument sin: got FLOAT16 [1, 2, 1, 6], expected FLOAT",
                 aclnnRotaryPositionEmbedding, x, table, half, 0, y);
  EXPECT_REFUSED(161002, "argument x: got FLOAT [2, 3, 6], expected 4 to 4 dimensions",
                 aclnnRotaryPositionEmbedding, three, table, table, 0, y);
}

}  // namespace
}  // namespace emulator_test
