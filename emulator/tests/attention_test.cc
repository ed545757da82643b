// Attention against double: layouts, lists, lengths, paging, INT8 caches.
#include <numeric>
#include <random>

#include "attention_support.h"

namespace emulator_test {
namespace {

class Attention : public DeviceTest {};

constexpr Sizes kSizes[] = {{1, 1, 1, 1, 1, 16},   {2, 1, 131, 6, 2, 48},   {1, 37, 37, 4, 4, 32},
                            {2, 5, 70, 14, 2, 80}, {1, 21, 200, 2, 1, 128}, {3, 2, 65, 3, 3, 16}};

TEST_F(Attention, LayoutsTypesAndStrides) {
  for (const Sizes& sizes : kSizes) {
    for (const char* layout : {"BSH", "BSND", "BNSD"}) {
      for (const aclDataType dtype : {ACL_FLOAT16, ACL_BF16}) {
        const bool scattered = dtype == ACL_BF16;
        SCOPED_TRACE(testing::Message() << layout << dtype << " keys " << sizes.keys);
        const Problem p(sizes, layout, dtype, scattered);
        const Tensor out = Tensor::output(dtype, p.q.dims(), scattered);
        ASSERT_EQ(p.call(out)(), 0) << recent_error();
        expect_attention(out, layout, p.reference());
      }
    }
  }
}

TEST_F(Attention, OutputMayHaveTokensBeforeHeads) {
  const Problem p({2, 3, 9, 4, 2, 16}, "BNSD", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, shape_of("BSND", 2, 3, 4, 16));
  Call call = p.call(out);
  call.layout = "BNSD_BSND";
  ASSERT_EQ(call(), 0) << recent_error();
  expect_attention(out, "BSND", p.reference());
}

TEST_F(Attention, ListsOfKeysOfDifferentLengths) {
  std::vector<Tensor> keys, values;
  for (const int64_t length : {3, 70, 1}) {
    keys.push_back(Tensor::random(ACL_BF16, {1, length, 2, 16}, 5));
    values.push_back(Tensor::random(ACL_BF16, {1, length, 2, 16}, 6));
  }
  const Problem p({3, 1, 1, 4, 2, 16}, "BSND", ACL_BF16);
  const Tensor out = Tensor::output(ACL_BF16, p.q.dims());
  Call call = p.call(out);
  call.keys = {&keys[0], &keys[1], &keys[2]};
  call.values = {&values[0], &values[1], &values[2]};
  ASSERT_EQ(call(), 0) << recent_error();
  Reference reference = p.reference();
  reference.keys = [&](int64_t b) { return keys[static_cast<size_t>(b)].dims()[1]; };
  reference.key = [&](int64_t b, int64_t t, int64_t h, int64_t i) {
    return keys[static_cast<size_t>(b)].at({0, t, h, i});
  };
  reference.value = [&](int64_t b, int64_t t, int64_t h, int64_t i) {
    return values[static_cast<size_t>(b)].at({0, t, h, i});
  };
  expect_attention(out, "BSND", reference);
}

TEST_F(Attention, LengthsCutQueriesAndKeysAndLseIsGiven) {
  const Problem p({3, 5, 20, 2, 1, 16}, "BSH", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims(), true);
  const Tensor lse = Tensor::output(ACL_FLOAT, {3, 2, 5, 1}, true);
  Call call = p.call(out);
  call.query_lengths = {5, 2, 0};
  call.key_lengths = {20, 0, 7};
  call.with_lse = true;
  call.lse = lse;
  ASSERT_EQ(call(), 0) << recent_error();
  Reference reference = p.reference();
  reference.keys = [&](int64_t b) { return call.key_lengths[static_cast<size_t>(b)]; };
  reference.visible = [&](int64_t b, int64_t q, int64_t) {
    return q < call.query_lengths[static_cast<size_t>(b)];
  };
  expect_attention(out, "BSH", reference);
  expect_values(
      lse, [&](const Shape& at) { return reference.row(at[0], at[2], at[1]).lse; }, 1, 3e-6);
}

TEST_F(Attention, ShiftsAreAddedAfterTheScale) {
  const Problem p({2, 3, 67, 4, 2, 16}, "BNSD", ACL_FLOAT16);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  for (const int64_t outer : {1, 2}) {
    const Tensor pse = Tensor::random(ACL_FLOAT16, {outer, 4, 3, 67}, 9, outer == 2);
    Call call = p.call(out);
    call.pse = pse;
    ASSERT_EQ(call(), 0) << recent_error();
    Reference reference = p.reference();
    reference.shift = [&](int64_t b, int64_t h, int64_t q, int64_t k) {
      return pse.at({b, h, q, k});
    };
    expect_attention(out, "BNSD", reference);
  }
}

// Blocks in a mixed order; `form` is the cache's.
TEST_F(Attention, PagedCaches) {
  const int64_t block = 128, blocks = 9, heads = 4, kv_heads = 2, size = 32;
  std::vector<double> order(8);
  std::iota(order.begin(), order.end(), 1);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  const Tensor table(ACL_INT32, {2, 4}, order);
  const Tensor mask = triangle(ACL_BOOL);
  const std::pair<const char*, const char*> forms[] = {
      {"BSH", "BSH"}, {"BSND", "BSH"}, {"BNSD", "BSH"}, {"BNSD", "BNSD"}};
  for (const auto& [layout, form] : forms) {
    for (const int64_t queries : {1, 6}) {
      SCOPED_TRACE(testing::Message() << layout << " over " << form << " queries " << queries);
      const Tensor q = Tensor::random(ACL_BF16, shape_of(layout, 2, queries, heads, size), 1);
      const Tensor k = Tensor::random(ACL_BF16, shape_of(form, blocks, block, kv_heads, size), 2);
      const Tensor v = Tensor::random(ACL_BF16, shape_of(form, blocks, block, kv_heads, size), 3);
      const Tensor out = Tensor::output(ACL_BF16, q.dims());
      Call call;
      call.query = q;
      call.keys = {&k};
      call.values = {&v};
      call.blocks = table;
      call.block_size = block;
      call.key_lengths = {300, 128};
      call.heads = heads;
      call.kv_heads = kv_heads;
      call.layout = layout;
      call.scale = 0.25;
      call.out = out;
      if (queries > 1) call.sparse = 3;
      if (queries > 1) call.mask = mask;
      ASSERT_EQ(call(), 0) << recent_error();
      const auto paged = [&](const Tensor& cache) {
        return [&, cache_form = form](int64_t b, int64_t t, int64_t h, int64_t i) {
          const auto at = static_cast<int64_t>(table.at({b, t / block}));
          return element(cache, cache_form, at, t % block, h, i, size);
        };
      };
      Reference reference{heads, kv_heads, size, 0.25, {}, paged(k), paged(v), {}, {}, {}};
      reference.query = [&](int64_t b, int64_t t, int64_t h, int64_t i) {
        return element(q, layout, b, t, h, i, size);
      };
      reference.keys = [&](int64_t b) { return call.key_lengths[static_cast<size_t>(b)]; };
      reference.visible = [&](int64_t b, int64_t t, int64_t key) {
        return key <= t + call.key_lengths[static_cast<size_t>(b)] - queries;
      };
      expect_attention(out, layout, reference);
    }
  }
}

TEST_F(Attention, Int8CachesByChannelAndByToken) {
  const Sizes s{2, 3, 70, 4, 2, 32};
  const Problem p(s, "BSND", ACL_FLOAT16);
  const Tensor k = Tensor::random(ACL_INT8, {2, 70, 2, 32}, 4, false, -127, 127);
  const Tensor v = Tensor::random(ACL_INT8, {2, 70, 2, 32}, 5, false, -127, 127);
  const Tensor out = Tensor::output(ACL_FLOAT16, p.q.dims());
  const auto dequantised = [](const Tensor& cache, const Tensor& scale, const Tensor& offset,
                              bool by_token, int64_t part) {
    return [&, by_token, part](int64_t b, int64_t t, int64_t h, int64_t i) {
      Shape at = by_token ? Shape{b, t} : Shape{h, i};
      if (part >= 0) at.insert(at.begin(), part);
      const float whole =
          static_cast<float>(cache.at({b, t, h, i})) + static_cast<float>(offset.at(at));
      return rounded(ACL_FLOAT16, static_cast<double>(whole * static_cast<float>(scale.at(at))));
    };
  };
  for (const bool by_token : {false, true}) {
    for (const bool apart : {false, true}) {
      SCOPED_TRACE(testing::Message() << by_token << apart);
      Shape shape = by_token ? Shape{2, 70} : Shape{2, 32};
      if (!apart) shape.insert(shape.begin(), 2);
      const aclDataType type = by_token ? ACL_FLOAT : ACL_FLOAT16;
      const Tensor scale = Tensor::random(type, shape, 6, false, 0.01, 0.02);
      const Tensor offset = Tensor::random(type, shape, 7, false, -3, 3);
      Call call = p.call(out);
      call.keys = {&k};
      call.values = {&v};
      call.mode = by_token ? 1 : 0;
      if (apart) {
        call.key_scale = scale;
        call.key_offset = offset;
        call.value_scale = scale;
        call.value_offset = offset;
      } else {
        call.both_scale = scale;
        call.both_offset = offset;
      }
      ASSERT_EQ(call(), 0) << recent_error();
      Reference reference = p.reference();
      reference.key = dequantised(k, scale, offset, by_token, apart ? -1 : 0);
      reference.value = dequantised(v, scale, offset, by_token, apart ? -1 : 1);
      expect_attention(out, "BSND", reference);
    }
  }
}

// The same query gives the same bits alone and among others.
TEST_F(Attention, ResultsDoNotDependOnTheBatch) {
  const Tensor mask = triangle(ACL_BOOL);
  const Problem p({1, 9, 200, 4, 2, 32}, "BSND", ACL_BF16);
  const Tensor all = Tensor::output(ACL_BF16, p.q.dims());
  Call call = p.call(all);
  call.sparse = 3;
  call.mask = mask;
  ASSERT_EQ(call(), 0) << recent_error();
  const auto together = all.fetch();
  for (int64_t q = 0; q < 9; ++q) {
    const auto first = p.q.values().begin() + q * 128;
    const Tensor one(ACL_BF16, {1, 1, 4, 32}, {first, first + 128});
    const Tensor out = Tensor::output(ACL_BF16, one.dims());
    Call alone = p.call(out);
    alone.query = one;
    alone.key_lengths = {192 + q};
    ASSERT_EQ(alone(), 0) << recent_error();
    const auto expected = together.begin() + q * 128;
    EXPECT_EQ(out.fetch(), std::vector<double>(expected, expected + 128));
  }
}

TEST_F(Attention, PagedCachesNeedLengthsAndTheirOwnBlocks) {
  const Tensor q = Tensor::random(ACL_FLOAT16, {1, 1, 16}, 1);
  const Tensor cache = Tensor::random(ACL_FLOAT16, {2, 128, 16}, 2);
  const Tensor table(ACL_INT32, {1, 2}, {1, 2}), out = Tensor::output(ACL_FLOAT16, q.dims());
  Call call;
  call.query = q;
  call.keys = {&cache};
  call.values = {&cache};
  call.blocks = table;
  call.block_size = 128;
  call.layout = "BSH";
  call.out = out;
  EXPECT_EQ(call(), 161002);
  EXPECT_THAT(recent_error(),
              testing::HasSubstr("argument actualSeqLengthsKv is null, but blockTable needs it"));
  call.key_lengths = {128};  // the second block is not looked at
  EXPECT_EQ(call(), 0) << recent_error();
  call.key_lengths = {129};
  EXPECT_NE(call.fault(), 0);
  EXPECT_THAT(recent_error(),
              testing::HasSubstr("argument blockTable: batch 0 has block 2 at 1, but "
                                 "key[0] FLOAT16 [2, 128, 16] has 2"));
}

}  // namespace
}  // namespace emulator_test
