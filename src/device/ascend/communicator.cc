#include "device/ascend/communicator.h"

#include <array>
#include <cstring>

namespace lotse::ascend {
namespace {

// HCCL's own numbers, from its public documentation.
struct RootInfo {
  std::byte bytes[4108];
};
using HcclComm = void*;
enum class HcclType : int { f16 = 3, f32 = 4, bf16 = 11 };
constexpr int kSum = 0;

HcclType hccl_type(AclType type) {
  return type == AclType::f32   ? HcclType::f32
         : type == AclType::f16 ? HcclType::f16
                                : HcclType::bf16;
}

// Loaded when a group is joined: a single device does without.
struct CollectiveLibrary {
  explicit CollectiveLibrary(Symbols found) : symbols(std::move(found)) {}

  Symbols symbols;
  Function<AclStatus(RootInfo*)> get_root{symbols, "HcclGetRootInfo"};
  Function<AclStatus(uint32_t, const RootInfo*, uint32_t, HcclComm*)> join{symbols,
                                                                           "HcclCommInitRootInfo"};
  Function<AclStatus(HcclComm)> leave{symbols, "HcclCommDestroy"};
  Function<AclStatus(void*, void*, uint64_t, HcclType, int, HcclComm, AclStream)> all_reduce{
      symbols, "HcclAllReduce"};
  Function<AclStatus(void*, void*, uint64_t, HcclType, HcclComm, AclStream)> all_gather{
      symbols, "HcclAllGather"};
};

class HcclCommunicator final : public Communicator {
 public:
  HcclCommunicator(std::unique_ptr<CollectiveLibrary> hccl, const Queue& queue, HcclComm comm,
                   int32_t size)
      : hccl_(std::move(hccl)), queue_(queue), comm_(comm), size_(size) {}
  HcclCommunicator(const HcclCommunicator&) = delete;
  HcclCommunicator& operator=(const HcclCommunicator&) = delete;
  ~HcclCommunicator() override { hccl_->leave(comm_); }

  int32_t size() const override { return size_; }

  Result<void> all_reduce(const View& values) override {
    std::byte* data = address(values);
    return check("HcclAllReduce",
                 hccl_->all_reduce(data, data, elements(values), hccl_type(values.type), kSum,
                                   comm_, queue_.stream()));
  }

  Result<void> all_gather(const View& mine, const View& all) override {
    return check("HcclAllGather", hccl_->all_gather(address(mine), address(all), elements(mine),
                                                    hccl_type(mine.type), comm_, queue_.stream()));
  }

 private:
  static std::byte* address(const View& view) {
    return view.data + bytes_of(view.type, view.offset);
  }
  static uint64_t elements(const View& view) { return static_cast<uint64_t>(view.elements()); }

  Result<void> check(const char* call, AclStatus status) const {
    if (status == 0) return {};
    return std::unexpected(call_error(queue_.library(), call, status));
  }

  std::unique_ptr<CollectiveLibrary> hccl_;
  const Queue& queue_;
  HcclComm comm_;
  int32_t size_;
};

}  // namespace

Result<std::unique_ptr<Communicator>> Communicator::join(const Queue& queue, Group& group) {
  const Library& library = queue.library();
  auto hccl = std::make_unique<CollectiveLibrary>(
      LOTSE_TRY(Symbols::load(library.folder, std::array{"libhccl.so"})));
  LOTSE_TRY(hccl->symbols.expect_all(library.folder));
  const auto check = [&](const char* call, AclStatus status) -> Result<void> {
    if (status == 0) return {};
    Error error = call_error(library, call, status);
    error.code = ErrorCode::io;
    return std::unexpected(std::move(error));
  };
  // A rank that failed on the way here would be missed by the others until a time-out.
  float arrived = 1;
  LOTSE_TRY(group.all_reduce({&arrived, 1}));
  RootInfo root{};
  if (group.rank() == 0) LOTSE_TRY(check("HcclGetRootInfo", hccl->get_root(&root)));
  const auto shared = LOTSE_TRY(group.broadcast({root.bytes, root.bytes + sizeof root.bytes}));
  LOTSE_CHECK(shared.size() == sizeof root.bytes);
  std::memcpy(root.bytes, shared.data(), shared.size());
  HcclComm comm = nullptr;
  LOTSE_TRY(check("HcclCommInitRootInfo", hccl->join(static_cast<uint32_t>(group.size()), &root,
                                                     static_cast<uint32_t>(group.rank()), &comm)));
  return std::make_unique<HcclCommunicator>(std::move(hccl), queue, comm, group.size());
}

}  // namespace lotse::ascend
