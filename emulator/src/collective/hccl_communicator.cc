// Hccl* functions that make, ask and destroy communicators.
#include <unistd.h>

#include <cstdio>
#include <set>
#include <vector>

#include "collective/communicator.h"
#include "collective/hccl_error.h"
#include "collective/rendezvous.h"
#include "runtime/device.h"
#include "runtime/handles.h"

using namespace lotse::emulator;

namespace {

class SegmentFile {
 public:
  explicit SegmentFile(int number) : number_(number) {}
  ~SegmentFile() { close(number_); }
  SegmentFile(const SegmentFile&) = delete;
  SegmentFile& operator=(const SegmentFile&) = delete;
  int get() const { return number_; }

 private:
  const int number_;
};

void require_ranks(uint32_t ranks, const char* argument) {
  if (ranks == 0 || ranks > kMaxRanks) {
    fail(HCCL_E_PARA, "argument {}: got {}, expected 1 to {}", argument, ranks, kMaxRanks);
  }
}

HcclComm hand_out_communicator(int file, uint32_t rank, int32_t device_id) {
  auto communicator = std::make_shared<Communicator>(file, rank, device_id);
  add_group(communicator);
  return hand_out(std::make_unique<CommunicatorHandle>(std::move(communicator)),
                  HandleKind::communicator);
}

}  // namespace

LOTSE_C_API HcclResult HcclGetRootInfo(HcclRootInfo* rootInfo) {
  return hccl_guarded("HcclGetRootInfo", [&] {
    require_hccl_pointer(rootInfo, "rootInfo");
    *rootInfo = open_rendezvous();
  });
}

LOTSE_C_API HcclResult HcclCommInitRootInfo(uint32_t nRanks, const HcclRootInfo* rootInfo,
                                            uint32_t rank, HcclComm* comm) {
  return hccl_guarded("HcclCommInitRootInfo", [&] {
    require_hccl_pointer(rootInfo, "rootInfo");
    require_hccl_pointer(comm, "comm");
    require_ranks(nRanks, "nRanks");
    if (rank >= nRanks) {
      fail(HCCL_E_PARA, "argument rank: got {}, expected 0 to {}", rank, nRanks - 1);
    }
    const int32_t device_id = current_device().id();
    const SegmentFile file(join_rendezvous(*rootInfo, nRanks, rank));
    *comm = hand_out_communicator(file.get(), rank, device_id);
  });
}

LOTSE_C_API HcclResult HcclCommInitAll(uint32_t ndev, int32_t* devices, HcclComm* comms) {
  return hccl_guarded("HcclCommInitAll", [&] {
    require_hccl_pointer(devices, "devices");
    require_hccl_pointer(comms, "comms");
    require_ranks(ndev, "ndev");
    std::set<int32_t> seen;
    for (uint32_t rank = 0; rank < ndev; ++rank) {
      if (!seen.insert(device(devices[rank]).id()).second) {
        fail(HCCL_E_PARA, "argument devices: device {} is named twice", devices[rank]);
      }
    }
    const SegmentFile file(Segment::create(ndev, new_communicator_name()));
    for (uint32_t rank = 0; rank < ndev; ++rank) {
      comms[rank] = hand_out_communicator(file.get(), rank, devices[rank]);
    }
  });
}

// Tasks that were enqueued before still run.
LOTSE_C_API HcclResult HcclCommDestroy(HcclComm comm) {
  return hccl_guarded("HcclCommDestroy", [&] {
    require_hccl_pointer(comm, "comm");
    remove_group(*communicator_of(comm));
    take_back(static_cast<CommunicatorHandle*>(comm), HandleKind::communicator, "comm",
              HCCL_E_PARA);
  });
}

LOTSE_C_API HcclResult HcclGetRankSize(HcclComm comm, uint32_t* rankSize) {
  return hccl_guarded("HcclGetRankSize", [&] {
    require_hccl_pointer(rankSize, "rankSize");
    *rankSize = communicator_of(comm)->ranks();
  });
}

LOTSE_C_API HcclResult HcclGetRankId(HcclComm comm, uint32_t* rank) {
  return hccl_guarded("HcclGetRankId", [&] {
    require_hccl_pointer(rank, "rank");
    *rank = communicator_of(comm)->rank();
  });
}

LOTSE_C_API HcclResult HcclGetCommName(HcclComm comm, char* commName) {
  return hccl_guarded("HcclGetCommName", [&] {
    require_hccl_pointer(commName, "commName");
    std::snprintf(commName, COMM_NAME_MAX_LENGTH, "%s", communicator_of(comm)->name());
  });
}

LOTSE_C_API HcclResult HcclGetCommAsyncError(HcclComm comm, HcclResult* asyncError) {
  return hccl_guarded("HcclGetCommAsyncError", [&] {
    require_hccl_pointer(asyncError, "asyncError");
    *asyncError = communicator_of(comm)->whole() ? HCCL_SUCCESS : HCCL_E_REMOTE;
  });
}

LOTSE_C_API const char* HcclGetErrorString(HcclResult code) {
  switch (code) {
    case HCCL_SUCCESS:
      return "no error";
    case HCCL_E_PARA:
      return "invalid argument";
    case HCCL_E_PTR:
      return "null pointer";
    case HCCL_E_MEMORY:
      return "out of memory";
    case HCCL_E_INTERNAL:
      return "internal error";
    case HCCL_E_NOT_SUPPORT:
      return "not supported";
    case HCCL_E_SYSCALL:
      return "a system call failed";
    case HCCL_E_TIMEOUT:
      return "timed out waiting for another rank";
    case HCCL_E_RUNTIME:
      return "a call of the runtime failed";
    case HCCL_E_REMOTE:
      return "an operation failed on this or another rank";
    default:
      return "unknown code";
  }
}
