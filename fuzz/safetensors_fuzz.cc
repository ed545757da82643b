// Any bytes as a safetensors file: an error or tensors that can all be read.
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto file = lotse::parse_safetensors(bytes, nullptr, "fuzz");
  if (!file) return 0;
  const auto source = lotse::make_weight_source(std::move(file->tensors));
  if (!source) return 0;
  for (const lotse::TensorInfo& info : (*source)->tensors()) {
    LOTSE_CHECK((*source)->read(info.name)->bytes.size() == static_cast<size_t>(info.bytes));
  }
  return 0;
}
