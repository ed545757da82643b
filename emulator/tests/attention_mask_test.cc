// Which keys a query of attention sees, and what attention refuses.
#include "attention_support.h"

namespace emulator_test {
namespace {

class AttentionMask : public DeviceTest {};

TEST_F(AttentionMask, TriangularModes) {
  const Tensor mask = triangle(ACL_BOOL);
  const Sizes sizes[] = {{1, 70, 70, 4, 2, 16}, {2, 5, 150, 6, 3, 32}, {1, 9, 4, 1, 1, 16}};
  for (const Sizes& s : sizes) {
    const Problem p(s, "BNSD", ACL_BF16);
    const Tensor out = Tensor::output(ACL_BF16, p.q.dims());
    const int64_t shift = s.keys - s.queries;
    for (const int64_t sparse : {2, 3, 4}) {
      SCOPED_TRACE(testing::Message() << "sparse " << sparse << " keys " << s.keys);
      Call call = p.call(out);
      call.sparse = sparse;
      call.mask = mask;
      call.pre = 3;
      call.next = 2;
      ASSERT_EQ(call(), 0) << recent_error();
      Reference reference = p.reference();
      reference.visible = [&](int64_t, int64_t q, int64_t k) {
        if (sparse == 2) return k <= q;
        if (sparse == 3) return k <= q + shift;
        return k >= q + shift - 3 && k <= q + shift + 2;
      };
      expect_attention(out, "BNSD", reference);
    }
  }
}

TEST_F(AttentionMask, RightDownFollowsTheActualLengths) {
  const Tensor mask = triangle(ACL_INT8);
  const Problem p({2, 6, 90, 2, 2, 16}, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  Call call = p.call(out);
  call.sparse = 3;
  call.mask = mask;
  call.query_lengths = {6, 3};
  call.key_lengths = {71, 65};
  ASSERT_EQ(call(), 0) << recent_error();
  Reference reference = p.reference();
  reference.keys = [&](int64_t b) { return call.key_lengths[static_cast<size_t>(b)]; };
  reference.visible = [&](int64_t b, int64_t q, int64_t k) {
    const auto i = static_cast<size_t>(b);
    return q < call.query_lengths[i] && k <= q + call.key_lengths[i] - call.query_lengths[i];
  };
  expect_attention(out, "BSND", reference);
}

TEST_F(AttentionMask, ExplicitMasksOfEveryShape) {
  const Sizes s{3, 4, 33, 2, 1, 16};
  const Problem p(s, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  const Shape shapes[] = {{4, 33}, {3, 4, 33}, {1, 4, 33}, {3, 1, 4, 40}, {1, 1, 7, 33}};
  for (const aclDataType dtype : {ACL_BOOL, ACL_INT8, ACL_UINT8}) {
    for (const Shape& shape : shapes) {
      for (const int64_t sparse : {0, 1}) {
        SCOPED_TRACE(testing::Message() << testing::PrintToString(shape) << dtype << sparse);
        const Tensor mask = Tensor::random(dtype, shape, 8, shape.size() == 3, 0, 1);
        Call call = p.call(out);
        call.mask = mask;
        call.sparse = sparse;
        call.pre = 20;
        call.next = 11;
        ASSERT_EQ(call(), 0) << recent_error();
        Reference reference = p.reference();
        reference.visible = [&](int64_t b, int64_t q, int64_t k) {
          if (sparse == 0 && (k < q - 20 || k > q + 11)) return false;
          Shape at = {b, q, k};
          if (shape.size() == 2) at = {q, k};
          if (shape.size() == 4) at = {b, 0, q, k};
          return mask.at(at) == 0;
        };
        expect_attention(out, "BSND", reference);
      }
    }
  }
}

TEST_F(AttentionMask, OneQueryTakesAMaskByBatchOfTwoDimensions) {
  const Problem p({3, 1, 33, 2, 1, 16}, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  const Tensor mask = Tensor::random(ACL_BOOL, {3, 33}, 8, false, 0, 1);
  Call call = p.call(out);
  call.mask = mask;
  ASSERT_EQ(call(), 0) << recent_error();
  Reference reference = p.reference();
  reference.visible = [&](int64_t b, int64_t, int64_t k) { return mask.at({b, k}) == 0; };
  expect_attention(out, "BSND", reference);
}

TEST_F(AttentionMask, PreTokensHideNothingWithoutAMask) {
  const Problem p({1, 4, 20, 1, 1, 16}, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  Call call = p.call(out);
  call.pre = 0;
  call.next = 0;
  ASSERT_EQ(call(), 0) << recent_error();
  expect_attention(out, "BSND", p.reference());
}

TEST_F(AttentionMask, MasksOfTriangularModesAreTriangles) {
  const Problem p({1, 3, 9, 1, 1, 16}, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  const Tensor mask(ACL_BOOL, {2048, 2048}, std::vector<double>(2048 * 2048, 0));
  Call call = p.call(out);
  call.sparse = 3;
  call.mask = mask;
  EXPECT_NE(call.fault(), 0);
  EXPECT_THAT(recent_error(), testing::HasSubstr("argument attenMask: row 0 is not 0 up to the "
                                                 "diagonal and 1 above it, which sparseMode 3"));
}

TEST_F(AttentionMask, Refusals) {
  const Problem p({2, 3, 9, 4, 2, 16}, "BSND", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  const Tensor small(ACL_BOOL, {3, 9}, std::vector<double>(27, 0));
  const Tensor table(ACL_INT32, {2, 1}, {0, 1}),
      odd = Tensor::random(ACL_FLOAT16, {2, 3, 4, 20}, 1);
  const auto expect = [&](const std::string& text, const std::function<void(Call&)>& change) {
    Call call = p.call(out);
    change(call);
    EXPECT_EQ(call(), 161002) << text;
    EXPECT_THAT(recent_error(), testing::HasSubstr(text));
  };
  expect("argument numHeads: got 257, expected 1 to 256", [](Call& c) { c.heads = 257; });
  expect("argument numKeyValueHeads: got 3, expected a divisor", [](Call& c) { c.kv_heads = 3; });
  expect("argument inputLayout: got TND, expected BSH", [](Call& c) { c.layout = "TND"; });
  expect("argument query: got FLOAT16 [2, 3, 4, 16], expected 3 to 3",
         [](Call& c) { c.layout = "BSH"; });
  expect("argument sparseMode: got 5, expected 0 to 4", [](Call& c) { c.sparse = 5; });
  expect("argument attenMask is null, but sparseMode 3 needs [2048, 2048]",
         [](Call& c) { c.sparse = 3; });
  expect("expected shape [2048, 2048] for sparseMode 2", [&](Call& c) {
    c.sparse = 2;
    c.mask = small;
  });
  expect("argument actualSeqLengthsKv: got 10 for batch 1, expected 0 to 9",
         [](Call& c) { c.key_lengths = {9, 10}; });
  expect("argument blockSize: got 64, expected a multiple of 128", [&](Call& c) {
    c.blocks = table;
    c.block_size = 64;
  });
  expect("argument key[0]: got FLOAT16 [2, 9, 2, 16], expected 3 to 3 dimensions", [&](Call& c) {
    c.blocks = table;
    c.block_size = 128;
  });
  expect("argument queryPaddingSize: it is not emulated; pass null",
         [&](Call& c) { c.padding = table; });
  expect("but scales for INT8 are given", [&](Call& c) { c.key_scale = odd; });
  const Problem uneven({1, 2, 3, 1, 1, 20}, "BSND", ACL_FLOAT16);
  const Tensor uneven_out = Tensor::output(ACL_FLOAT16, uneven.q.dims());
  EXPECT_EQ(uneven.call(uneven_out)(), 161002);
  EXPECT_THAT(recent_error(),
              testing::HasSubstr("heads of 20 elements, expected a multiple of 16"));
}

}  // namespace
}  // namespace emulator_test
