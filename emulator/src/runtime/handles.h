// Every object behind an opaque handle is registered here, so that a destroyed or foreign handle is
// found without touching what it points at. Thread-safe.
#pragma once

#include <memory>

#include "runtime/api.h"

namespace lotse::emulator {

enum class HandleKind {
  stream,
  event,
  graph,
  task_group,
  physical_memory,
  tensor,
  scalar,
  int_array,
  float_array,
  bool_array,
  tensor_list,
  executor,
  communicator,
};

LOTSE_EMULATOR_API void register_handle(const void* handle, HandleKind kind);

// Throws `code` with a text that names `argument` unless `handle` is a live object of this kind.
LOTSE_EMULATOR_API void check_handle(const void* handle, HandleKind kind, const char* argument,
                                     int code);

// As check_handle, and forgets the handle.
LOTSE_EMULATOR_API void unregister_handle(const void* handle, HandleKind kind, const char* argument,
                                          int code);

// Hands an object out as a live handle.
template <class T>
T* hand_out(std::unique_ptr<T> object, HandleKind kind) {
  register_handle(object.get(), kind);
  return object.release();
}

// Takes a handed-out object back, after which the handle is dead.
template <class T>
std::unique_ptr<T> take_back(const T* handle, HandleKind kind, const char* argument, int code) {
  unregister_handle(handle, kind, argument, code);
  return std::unique_ptr<T>(const_cast<T*>(handle));
}

}  // namespace lotse::emulator
