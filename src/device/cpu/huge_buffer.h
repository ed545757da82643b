// Zeroed memory for weights, cache and activations, on 2 MiB pages where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"

namespace lotse::cpu {

// Owns its memory; movable. Page-aligned, 2 MiB-aligned from 2 MiB on.
class HugeBuffer {
 public:
  HugeBuffer() = default;
  // `what` names the memory in the error: "the weights".
  static Result<HugeBuffer> allocate(int64_t bytes, const char* what);
  HugeBuffer(HugeBuffer&& other) noexcept { swap(other); }
  HugeBuffer& operator=(HugeBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~HugeBuffer();

  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  int64_t size() const { return size_; }

 private:
  void swap(HugeBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(mapping_, other.mapping_);
    std::swap(mapped_, other.mapped_);
  }

  std::byte* data_ = nullptr;
  int64_t size_ = 0;
  void* mapping_ = nullptr;
  size_t mapped_ = 0;
};

}  // namespace lotse::cpu
