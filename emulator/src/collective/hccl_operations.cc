// Hccl* functions that move data.
#include <algorithm>
#include <vector>

#include "collective/collective_arithmetic.h"
#include "collective/collective_calls.h"
#include "collective/communicator.h"
#include "collective/hccl_error.h"

using namespace lotse::emulator;

namespace {

constexpr uint64_t kMostElements = uint64_t{1} << 40;

using Offsets = std::vector<int64_t>;

void require_count(uint64_t count, const char* argument) {
  if (count > kMostElements) {
    fail(HCCL_E_PARA, "argument {}: got {}, expected at most {}", argument, count, kMostElements);
  }
}

int64_t checked_bytes(uint64_t count, HcclDataType type, const char* argument) {
  require_type(type);
  require_count(count, argument);
  return static_cast<int64_t>(count) * size_of(type);
}

void require_rank(uint32_t rank, const Communicator& communicator, const char* argument) {
  if (rank >= communicator.ranks()) {
    fail(HCCL_E_PARA, "argument {}: got {}, expected 0 to {}", argument, rank,
         communicator.ranks() - 1);
  }
}

// Multiples of `bytes`, one a rank.
Offsets evenly(const Communicator& communicator, int64_t bytes) {
  Offsets offsets(communicator.ranks());
  for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<int64_t>(i) * bytes;
  return offsets;
}

Offsets all_at_zero(const Communicator& communicator) { return evenly(communicator, 0); }

// Fills in what a function's name says, checks the buffers and enqueues.
void submit(const CommunicatorHandle& communicator, const char* name, Exchange exchange,
            aclrtStream stream) {
  exchange.name = name;
  if (exchange.send_bytes > 0) require_hccl_pointer(exchange.send, "sendBuf");
  if (exchange.receive_bytes > 0) require_hccl_pointer(exchange.receive, "recvBuf");
  enqueue_exchanges(communicator, name, {{&communicator->collective(), std::move(exchange)}},
                    stream);
}

// What AlltoAllV's arrays say of one side.
struct Spread {
  Offsets offsets;
  int64_t bytes = 0;  // that the buffer must have
};

Spread spread_of(const Communicator& communicator, const void* counts, const void* displacements,
                 HcclDataType type, uint64_t* counts_out, const char* argument) {
  const auto* count = static_cast<const uint64_t*>(counts);
  const auto* displacement = static_cast<const uint64_t*>(displacements);
  Spread spread;
  for (uint32_t rank = 0; rank < communicator.ranks(); ++rank) {
    require_count(displacement[rank], argument);
    const int64_t bytes = checked_bytes(count[rank], type, argument);
    spread.offsets.push_back(static_cast<int64_t>(displacement[rank]) * size_of(type));
    if (bytes > 0) spread.bytes = std::max(spread.bytes, spread.offsets.back() + bytes);
    counts_out[rank] = count[rank];
  }
  return spread;
}

PlacedExchange transfer(Communicator& communicator, bool sends, void* buffer, uint64_t count,
                        HcclDataType type, uint32_t peer) {
  const int64_t bytes = checked_bytes(count, type, "count");
  require_rank(peer, communicator, sends ? "destRank" : "srcRank");
  if (peer == communicator.rank()) {
    fail(HCCL_E_PARA, "rank {} cannot send to and receive from itself", peer);
  }
  if (bytes > 0) require_hccl_pointer(buffer, sends ? "sendBuf" : "recvBuf");
  Exchange exchange{.name = sends ? "HcclSend" : "HcclRecv",
                    .call = {.operation = Operation::transfer, .type = type, .count = count},
                    .send_offsets = {0, 0},
                    .receive_offsets = {0, 0}};
  if (sends) {
    exchange.send = buffer;
    exchange.send_bytes = bytes;
  } else {
    exchange.receive = buffer;
    exchange.receive_bytes = bytes;
  }
  const uint32_t self = communicator.rank();
  Place& place = sends ? communicator.pair(self, peer) : communicator.pair(peer, self);
  return {&place, std::move(exchange)};
}

}  // namespace

LOTSE_C_API HcclResult HcclAllReduce(void* sendBuf, void* recvBuf, uint64_t count,
                                     HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                     aclrtStream stream) {
  return hccl_guarded("HcclAllReduce", [&] {
    const auto& self = communicator_of(comm);
    require_reduction(dataType, op);
    const int64_t bytes = checked_bytes(count, dataType, "count");
    submit(self, "HcclAllReduce",
           {.call = {.operation = Operation::all_reduce,
                     .type = dataType,
                     .reduce_op = op,
                     .count = count},
            .send = sendBuf,
            .receive = recvBuf,
            .send_offsets = {0},
            .receive_offsets = all_at_zero(*self),
            .send_bytes = bytes,
            .receive_bytes = bytes},
           stream);
  });
}

LOTSE_C_API HcclResult HcclReduce(void* sendBuf, void* recvBuf, uint64_t count,
                                  HcclDataType dataType, HcclReduceOp op, uint32_t root,
                                  HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclReduce", [&] {
    const auto& self = communicator_of(comm);
    require_reduction(dataType, op);
    require_rank(root, *self, "root");
    const int64_t bytes = checked_bytes(count, dataType, "count");
    submit(self, "HcclReduce",
           {.call = {.operation = Operation::reduce,
                     .type = dataType,
                     .reduce_op = op,
                     .root = root,
                     .count = count},
            .send = sendBuf,
            .receive = recvBuf,
            .send_offsets = {0},
            .receive_offsets = all_at_zero(*self),
            .send_bytes = bytes,
            .receive_bytes = self->rank() == root ? bytes : 0},
           stream);
  });
}

LOTSE_C_API HcclResult HcclReduceScatter(void* sendBuf, void* recvBuf, uint64_t recvCount,
                                         HcclDataType dataType, HcclReduceOp op, HcclComm comm,
                                         aclrtStream stream) {
  return hccl_guarded("HcclReduceScatter", [&] {
    const auto& self = communicator_of(comm);
    require_reduction(dataType, op);
    const int64_t bytes = checked_bytes(recvCount, dataType, "recvCount");
    submit(self, "HcclReduceScatter",
           {.call = {.operation = Operation::reduce_scatter,
                     .type = dataType,
                     .reduce_op = op,
                     .count = recvCount},
            .send = sendBuf,
            .receive = recvBuf,
            .send_offsets = evenly(*self, bytes),
            .receive_offsets = all_at_zero(*self),
            .send_bytes = bytes * self->ranks(),
            .receive_bytes = bytes},
           stream);
  });
}

LOTSE_C_API HcclResult HcclAllGather(void* sendBuf, void* recvBuf, uint64_t sendCount,
                                     HcclDataType dataType, HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclAllGather", [&] {
    const auto& self = communicator_of(comm);
    const int64_t bytes = checked_bytes(sendCount, dataType, "sendCount");
    submit(self, "HcclAllGather",
           {.call = {.operation = Operation::all_gather, .type = dataType, .count = sendCount},
            .send = sendBuf,
            .receive = recvBuf,
            .send_offsets = {0},
            .receive_offsets = evenly(*self, bytes),
            .send_bytes = bytes,
            .receive_bytes = bytes * self->ranks()},
           stream);
  });
}

LOTSE_C_API HcclResult HcclBroadcast(void* buf, uint64_t count, HcclDataType dataType,
                                     uint32_t root, HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclBroadcast", [&] {
    const auto& self = communicator_of(comm);
    require_rank(root, *self, "root");
    const int64_t bytes = checked_bytes(count, dataType, "count");
    if (bytes > 0) require_hccl_pointer(buf, "buf");
    submit(self, "HcclBroadcast",
           {.call =
                {.operation = Operation::broadcast, .type = dataType, .root = root, .count = count},
            .send = buf,
            .receive = buf,
            .send_offsets = {0},
            .receive_offsets = all_at_zero(*self),
            .send_bytes = self->rank() == root ? bytes : 0,
            .receive_bytes = self->rank() == root ? 0 : bytes},
           stream);
  });
}

LOTSE_C_API HcclResult HcclScatter(void* sendBuf, void* recvBuf, uint64_t recvCount,
                                   HcclDataType dataType, uint32_t root, HcclComm comm,
                                   aclrtStream stream) {
  return hccl_guarded("HcclScatter", [&] {
    const auto& self = communicator_of(comm);
    require_rank(root, *self, "root");
    const int64_t bytes = checked_bytes(recvCount, dataType, "recvCount");
    submit(self, "HcclScatter",
           {.call = {.operation = Operation::scatter,
                     .type = dataType,
                     .root = root,
                     .count = recvCount},
            .send = sendBuf,
            .receive = recvBuf,
            .send_offsets = evenly(*self, bytes),
            .receive_offsets = all_at_zero(*self),
            .send_bytes = self->rank() == root ? bytes * self->ranks() : 0,
            .receive_bytes = bytes},
           stream);
  });
}

LOTSE_C_API HcclResult HcclAlltoAll(const void* sendBuf, uint64_t sendCount, HcclDataType sendType,
                                    const void* recvBuf, uint64_t recvCount, HcclDataType recvType,
                                    HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclAlltoAll", [&] {
    const auto& self = communicator_of(comm);
    const int64_t bytes = checked_bytes(sendCount, sendType, "sendCount");
    if (sendCount != recvCount || sendType != recvType) {
      fail(HCCL_E_PARA, "argument recvCount: got {} and type {}, but {} and type {} are sent",
           recvCount, static_cast<int>(recvType), sendCount, static_cast<int>(sendType));
    }
    submit(self, "HcclAlltoAll",
           {.call = {.operation = Operation::all_to_all, .type = sendType, .count = sendCount},
            .send = sendBuf,
            .receive = const_cast<void*>(recvBuf),
            .send_offsets = evenly(*self, bytes),
            .receive_offsets = evenly(*self, bytes),
            .send_bytes = bytes * self->ranks(),
            .receive_bytes = bytes * self->ranks()},
           stream);
  });
}

LOTSE_C_API HcclResult HcclAlltoAllV(const void* sendBuf, const void* sendCounts,
                                     const void* sdispls, HcclDataType sendType,
                                     const void* recvBuf, const void* recvCounts,
                                     const void* rdispls, HcclDataType recvType, HcclComm comm,
                                     aclrtStream stream) {
  return hccl_guarded("HcclAlltoAllV", [&] {
    const auto& self = communicator_of(comm);
    require_hccl_pointer(sendCounts, "sendCounts");
    require_hccl_pointer(sdispls, "sdispls");
    require_hccl_pointer(recvCounts, "recvCounts");
    require_hccl_pointer(rdispls, "rdispls");
    if (sendType != recvType) {
      fail(HCCL_E_PARA, "argument recvType: got {}, expected sendType, {}",
           static_cast<int>(recvType), static_cast<int>(sendType));
    }
    Exchange exchange{.call = {.operation = Operation::all_to_all_v, .type = sendType},
                      .send = sendBuf,
                      .receive = const_cast<void*>(recvBuf)};
    Spread sent = spread_of(*self, sendCounts, sdispls, sendType, exchange.call.send_counts,
                            "sendCounts or sdispls");
    Spread received = spread_of(*self, recvCounts, rdispls, recvType, exchange.call.receive_counts,
                                "recvCounts or rdispls");
    exchange.send_offsets = std::move(sent.offsets);
    exchange.send_bytes = sent.bytes;
    exchange.receive_offsets = std::move(received.offsets);
    exchange.receive_bytes = received.bytes;
    submit(self, "HcclAlltoAllV", std::move(exchange), stream);
  });
}

LOTSE_C_API HcclResult HcclBarrier(HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclBarrier", [&] {
    const auto& self = communicator_of(comm);
    submit(self, "HcclBarrier",
           {.call = {.operation = Operation::barrier},
            .send_offsets = {0},
            .receive_offsets = all_at_zero(*self)},
           stream);
  });
}

LOTSE_C_API HcclResult HcclSend(void* sendBuf, uint64_t count, HcclDataType dataType,
                                uint32_t destRank, HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclSend", [&] {
    const auto& self = communicator_of(comm);
    enqueue_exchanges(self, "HcclSend", {transfer(*self, true, sendBuf, count, dataType, destRank)},
                      stream);
  });
}

LOTSE_C_API HcclResult HcclRecv(void* recvBuf, uint64_t count, HcclDataType dataType,
                                uint32_t srcRank, HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclRecv", [&] {
    const auto& self = communicator_of(comm);
    enqueue_exchanges(self, "HcclRecv", {transfer(*self, false, recvBuf, count, dataType, srcRank)},
                      stream);
  });
}

LOTSE_C_API HcclResult HcclBatchSendRecv(HcclSendRecvItem* sendRecvInfo, uint32_t itemNum,
                                         HcclComm comm, aclrtStream stream) {
  return hccl_guarded("HcclBatchSendRecv", [&] {
    const auto& self = communicator_of(comm);
    require_hccl_pointer(sendRecvInfo, "sendRecvInfo");
    if (itemNum == 0) fail(HCCL_E_PARA, "argument itemNum: got 0, expected at least 1");
    std::vector<PlacedExchange> operations;
    for (uint32_t i = 0; i < itemNum; ++i) {
      const HcclSendRecvItem& item = sendRecvInfo[i];
      if (item.sendRecvType != HCCL_SEND && item.sendRecvType != HCCL_RECV) {
        fail(HCCL_E_PARA, "argument sendRecvInfo[{}].sendRecvType: got {}, expected 0 or 1", i,
             static_cast<int>(item.sendRecvType));
      }
      operations.push_back(transfer(*self, item.sendRecvType == HCCL_SEND, item.buf, item.count,
                                    item.dataType, item.remoteRank));
    }
    enqueue_exchanges(self, "HcclBatchSendRecv", std::move(operations), stream);
  });
}
