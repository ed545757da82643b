#include "runtime/handles.h"

#include <mutex>
#include <unordered_map>

#include "runtime/error.h"

namespace lotse::emulator {
namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_map<const void*, HandleKind> live;
};

// Never destroyed: programs destroy handles while the process ends.
Registry& registry() {
  static auto& instance = *new Registry;
  return instance;
}

const char* name_of(HandleKind kind) {
  switch (kind) {
    case HandleKind::stream:
      return "aclrtStream";
    case HandleKind::event:
      return "aclrtEvent";
    case HandleKind::graph:
      return "aclmdlRI";
    case HandleKind::task_group:
      return "aclrtTaskGrp";
    case HandleKind::physical_memory:
      return "aclrtDrvMemHandle";
    case HandleKind::tensor:
      return "aclTensor";
    case HandleKind::scalar:
      return "aclScalar";
    case HandleKind::int_array:
      return "aclIntArray";
    case HandleKind::float_array:
      return "aclFloatArray";
    case HandleKind::bool_array:
      return "aclBoolArray";
    case HandleKind::tensor_list:
      return "aclTensorList";
    case HandleKind::executor:
      return "aclOpExecutor";
    case HandleKind::communicator:
      return "HcclComm";
  }
  return "handle";
}

// The caller holds the registry's mutex.
auto find_live(const void* handle, HandleKind kind, const char* argument, int code) {
  auto& live = registry().live;
  const auto found = live.find(handle);
  if (found == live.end()) {
    const char* why = kind == HandleKind::executor
                          ? "used up by an earlier call, destroyed, or never made"
                          : "destroyed, or never created";
    fail(code, "argument {}: {} is no live {} ({})", argument, handle, name_of(kind), why);
  }
  if (found->second != kind) {
    fail(code, "argument {}: got a handle of type {}, expected {}", argument,
         name_of(found->second), name_of(kind));
  }
  return found;
}

}  // namespace

void register_handle(const void* handle, HandleKind kind) {
  const std::lock_guard lock(registry().mutex);
  registry().live[handle] = kind;
}

void check_handle(const void* handle, HandleKind kind, const char* argument, int code) {
  const std::lock_guard lock(registry().mutex);
  find_live(handle, kind, argument, code);
}

void unregister_handle(const void* handle, HandleKind kind, const char* argument, int code) {
  const std::lock_guard lock(registry().mutex);
  registry().live.erase(find_live(handle, kind, argument, code));
}

}  // namespace lotse::emulator
