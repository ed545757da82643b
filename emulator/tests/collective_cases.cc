#include "collective_cases.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support.h"

namespace emulator_test {
namespace {

struct Type {
  HcclDataType hccl;
  aclDataType acl;
};

constexpr Type kReducible[] = {
    {HCCL_DATA_TYPE_INT8, ACL_INT8},    {HCCL_DATA_TYPE_INT16, ACL_INT16},
    {HCCL_DATA_TYPE_INT32, ACL_INT32},  {HCCL_DATA_TYPE_INT64, ACL_INT64},
    {HCCL_DATA_TYPE_FP16, ACL_FLOAT16}, {HCCL_DATA_TYPE_FP32, ACL_FLOAT},
    {HCCL_DATA_TYPE_BFP16, ACL_BF16}};
constexpr Type kMovable[] = {{HCCL_DATA_TYPE_INT8, ACL_INT8},
                             {HCCL_DATA_TYPE_UINT8, ACL_UINT8},
                             {HCCL_DATA_TYPE_FP16, ACL_FLOAT16},
                             {HCCL_DATA_TYPE_INT32, ACL_INT32},
                             {HCCL_DATA_TYPE_FP64, ACL_DOUBLE}};
constexpr Type kFloat = {HCCL_DATA_TYPE_FP32, ACL_FLOAT};

// Small whole numbers that every type holds, different for ranks and positions.
double value_of(uint32_t rank, int64_t i) {
  return static_cast<double>(((rank + 1) * 7 + static_cast<uint64_t>(i) * 3) % 5);
}

using Values = std::vector<double>;

Values values_of(uint32_t rank, int64_t count, int64_t first = 0) {
  Values values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = value_of(rank, first + i);
  return values;
}

double reduced(HcclReduceOp op, uint32_t ranks, int64_t i) {
  double total = value_of(0, i);
  for (uint32_t rank = 1; rank < ranks; ++rank) {
    const double next = value_of(rank, i);
    total = op == HCCL_REDUCE_SUM    ? total + next
            : op == HCCL_REDUCE_PROD ? total * next
            : op == HCCL_REDUCE_MAX  ? std::max(total, next)
                                     : std::min(total, next);
  }
  return total;
}

// The first position at which they differ is enough.
void expect_equal(const Rank& self, const Values& actual, const Values& expected,
                  const char* what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(actual[i], expected[i]) << what << " rank " << self.rank << " element " << i;
  }
}

void synchronize(const Rank& self) {
  ASSERT_EQ(aclrtSynchronizeStream(self.stream), 0) << recent_error();
}

void* at(const Tensor& tensor, int64_t byte) { return static_cast<char*>(tensor.data()) + byte; }

Values expected_reduction(Type type, HcclReduceOp op, uint32_t ranks, int64_t count,
                          int64_t first = 0) {
  Values expected(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const double exact = reduced(op, ranks, first + i);
    expected[static_cast<size_t>(i)] = type.acl == ACL_INT8
                                           ? static_cast<int8_t>(static_cast<int64_t>(exact))
                                           : rounded(type.acl, exact);
  }
  return expected;
}

void check_reductions(const Rank& self, Type type, HcclReduceOp op, int64_t count) {
  const int64_t whole = count * self.ranks;
  const Tensor x(type.acl, {count}, values_of(self.rank, count));
  const Tensor y = Tensor::output(type.acl, {count});
  const Values expected = expected_reduction(type, op, self.ranks, count);
  const auto elements = static_cast<uint64_t>(count);
  ASSERT_EQ(HcclAllReduce(x.data(), y.data(), elements, type.hccl, op, self.comm, self.stream), 0)
      << recent_error();
  synchronize(self);
  expect_equal(self, y.fetch(), expected, "all-reduce");

  const uint32_t root = self.ranks - 1;
  const Tensor z = Tensor::output(type.acl, {count});
  const Values before = z.fetch();
  ASSERT_EQ(HcclReduce(x.data(), z.data(), elements, type.hccl, op, root, self.comm, self.stream),
            0);
  synchronize(self);
  expect_equal(self, z.fetch(), self.rank == root ? expected : before, "reduce");

  const Tensor wide(type.acl, {whole}, values_of(self.rank, whole));
  ASSERT_EQ(
      HcclReduceScatter(wide.data(), y.data(), elements, type.hccl, op, self.comm, self.stream), 0);
  ASSERT_EQ(HcclAllReduce(x.data(), x.data(), elements, type.hccl, op, self.comm, self.stream), 0);
  synchronize(self);
  const Values own = expected_reduction(type, op, self.ranks, count, count * self.rank);
  expect_equal(self, y.fetch(), own, "reduce-scatter");
  expect_equal(self, x.fetch(), expected, "all-reduce in place");
}

void check_gathers(const Rank& self, Type type, int64_t count, int64_t size) {
  const int64_t whole = count * self.ranks;
  const auto elements = static_cast<uint64_t>(count);
  Values all;
  for (uint32_t rank = 0; rank < self.ranks; ++rank) {
    const Values part = values_of(rank, count);
    all.insert(all.end(), part.begin(), part.end());
  }
  const Tensor x(type.acl, {count}, values_of(self.rank, count));
  const Tensor y = Tensor::output(type.acl, {whole});
  ASSERT_EQ(HcclAllGather(x.data(), y.data(), elements, type.hccl, self.comm, self.stream), 0);
  synchronize(self);
  expect_equal(self, y.fetch(), all, "all-gather");

  Values own_only(static_cast<size_t>(whole), 1);
  const Values part = values_of(self.rank, count);
  std::copy(part.begin(), part.end(), own_only.begin() + count * self.rank);
  const Tensor in_place(type.acl, {whole}, own_only);
  ASSERT_EQ(HcclAllGather(at(in_place, count * self.rank * size), in_place.data(), elements,
                          type.hccl, self.comm, self.stream),
            0);
  synchronize(self);
  expect_equal(self, in_place.fetch(), all, "all-gather in place");

  const uint32_t root = self.ranks / 2;
  const Tensor sent(type.acl, {whole}, values_of(self.rank, whole));
  const Tensor got = Tensor::output(type.acl, {count});
  ASSERT_EQ(HcclScatter(self.rank == root ? sent.data() : nullptr, got.data(), elements, type.hccl,
                        root, self.comm, self.stream),
            0);
  ASSERT_EQ(HcclBroadcast(sent.data(), static_cast<uint64_t>(whole), type.hccl, root, self.comm,
                          self.stream),
            0);
  synchronize(self);
  expect_equal(self, got.fetch(), values_of(root, count, count * self.rank), "scatter");
  expect_equal(self, sent.fetch(), values_of(root, whole), "broadcast");
}

void check_all_to_all(const Rank& self, Type type, int64_t count) {
  const int64_t whole = count * self.ranks;
  const auto elements = static_cast<uint64_t>(count);
  Values expected;
  for (uint32_t from = 0; from < self.ranks; ++from) {
    const Values part = values_of(from, count, count * self.rank);
    expected.insert(expected.end(), part.begin(), part.end());
  }
  const Tensor x(type.acl, {whole}, values_of(self.rank, whole));
  const Tensor y = Tensor::output(type.acl, {whole});
  for (void* target : {y.data(), x.data()}) {
    ASSERT_EQ(HcclAlltoAll(x.data(), elements, type.hccl, target, elements, type.hccl, self.comm,
                           self.stream),
              0);
  }
  synchronize(self);
  expect_equal(self, y.fetch(), expected, "all-to-all");
  expect_equal(self, x.fetch(), expected, "all-to-all in place");
}

// Rank i sends (i + 2·j) · unit elements to rank j; parts lie in reverse order in both buffers.
void check_uneven(const Rank& self, int64_t unit) {
  const auto amount = [&](uint32_t from, uint32_t to) {
    return static_cast<uint64_t>((from + 2 * to) * static_cast<uint64_t>(unit));
  };
  std::vector<uint64_t> send(self.ranks), receive(self.ranks), send_at(self.ranks),
      receive_at(self.ranks);
  uint64_t sent = 0, received = 0;
  for (uint32_t i = self.ranks; i-- > 0;) {
    send[i] = amount(self.rank, i);
    receive[i] = amount(i, self.rank);
    send_at[i] = sent;
    receive_at[i] = received;
    sent += send[i];
    received += receive[i];
  }
  const auto length = static_cast<int64_t>(std::max<uint64_t>(sent, 1));
  const Tensor x(ACL_FLOAT, {length}, values_of(self.rank, length));
  const Tensor y =
      Tensor::output(ACL_FLOAT, {static_cast<int64_t>(std::max<uint64_t>(received, 1))});
  ASSERT_EQ(
      HcclAlltoAllV(x.data(), send.data(), send_at.data(), HCCL_DATA_TYPE_FP32, y.data(),
                    receive.data(), receive_at.data(), HCCL_DATA_TYPE_FP32, self.comm, self.stream),
      0)
      << recent_error();
  synchronize(self);
  const Values actual = y.fetch();
  for (uint32_t from = 0; from < self.ranks; ++from) {
    uint64_t there = 0;  // where the sender's part for this rank begins
    for (uint32_t to = self.ranks; --to > self.rank;) there += amount(from, to);
    const Values part =
        values_of(from, static_cast<int64_t>(receive[from]), static_cast<int64_t>(there));
    for (size_t i = 0; i < part.size(); ++i) {
      ASSERT_EQ(actual[receive_at[from] + i], part[i]) << "from " << from << " element " << i;
    }
  }
}

// Around the ring with plain sends, even ranks first, then with one batch.
void check_transfers(const Rank& self, int64_t count) {
  if (self.ranks == 1) return;
  const uint32_t next = (self.rank + 1) % self.ranks;
  const uint32_t previous = (self.rank + self.ranks - 1) % self.ranks;
  const auto elements = static_cast<uint64_t>(count);
  const Tensor x(ACL_FLOAT, {count}, values_of(self.rank, count));
  const Tensor y = Tensor::output(ACL_FLOAT, {count}), z = Tensor::output(ACL_FLOAT, {count});
  for (int turn = 0; turn < 2; ++turn) {
    const bool sends = (self.rank % 2 == 0) == (turn == 0);
    const int code =
        sends ? HcclSend(x.data(), elements, HCCL_DATA_TYPE_FP32, next, self.comm, self.stream)
              : HcclRecv(y.data(), elements, HCCL_DATA_TYPE_FP32, previous, self.comm, self.stream);
    ASSERT_EQ(code, 0) << recent_error();
  }
  HcclSendRecvItem items[] = {{HCCL_SEND, x.data(), elements, HCCL_DATA_TYPE_FP32, next},
                              {HCCL_RECV, z.data(), elements, HCCL_DATA_TYPE_FP32, previous}};
  ASSERT_EQ(HcclBatchSendRecv(items, 2, self.comm, self.stream), 0) << recent_error();
  synchronize(self);
  expect_equal(self, y.fetch(), values_of(previous, count), "send and receive");
  expect_equal(self, z.fetch(), values_of(previous, count), "batch");
}

// 2048 + 1 + 1 + …: each FP16 sum would stay at 2048; one rounding at the end does not.
void check_one_rounding(const Rank& self) {
  const Tensor x(ACL_FLOAT16, {1}, {self.rank == 0 ? 2048.0 : 1.0});
  ASSERT_EQ(HcclAllReduce(x.data(), x.data(), 1, HCCL_DATA_TYPE_FP16, HCCL_REDUCE_SUM, self.comm,
                          self.stream),
            0);
  synchronize(self);
  EXPECT_EQ(x.fetch()[0], rounded(ACL_FLOAT16, 2048.0 + self.ranks - 1));
}

}  // namespace

void check_all_operations(const Rank& self) {
  for (const Type type : kReducible) {
    for (const HcclReduceOp op :
         {HCCL_REDUCE_SUM, HCCL_REDUCE_PROD, HCCL_REDUCE_MAX, HCCL_REDUCE_MIN}) {
      check_reductions(self, type, op, 37);
    }
  }
  constexpr int64_t kSeveralSteps = 300'007;  // floats: more than a step's megabyte
  check_reductions(self, kFloat, HCCL_REDUCE_SUM, kSeveralSteps);
  for (const Type type : kMovable) check_all_to_all(self, type, 13);
  check_gathers(self, {HCCL_DATA_TYPE_INT8, ACL_INT8}, 5, 1);
  check_gathers(self, {HCCL_DATA_TYPE_FP64, ACL_DOUBLE}, 7, 8);
  check_gathers(self, kFloat, kSeveralSteps, 4);
  check_all_to_all(self, kFloat, kSeveralSteps);
  check_uneven(self, 3);
  check_uneven(self, 70'001);
  check_transfers(self, 10);
  check_transfers(self, kSeveralSteps);
  check_one_rounding(self);
  EXPECT_EQ(HcclBarrier(self.comm, self.stream), 0);
  synchronize(self);
}

int sum_ones(const Rank& self, int64_t count) {
  const Tensor x(ACL_FLOAT, {count}, Values(static_cast<size_t>(count), 1.0));
  EXPECT_EQ(HcclAllReduce(x.data(), x.data(), static_cast<uint64_t>(count), HCCL_DATA_TYPE_FP32,
                          HCCL_REDUCE_SUM, self.comm, self.stream),
            0)
      << recent_error();
  const int code = aclrtSynchronizeStream(self.stream);
  if (code == 0) {
    EXPECT_EQ(x.fetch().back(), self.ranks);
  }
  return code;
}

}  // namespace emulator_test
