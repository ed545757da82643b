// Any bytes as a GGUF file: an error, or a model whose tensors can all be read.
#include "checkpoint/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto checkpoint = lotse::read_gguf(bytes, nullptr, "fuzz");
  if (!checkpoint) return 0;
  (void)checkpoint->config.dump();
  const auto source = lotse::make_weight_source(std::move(checkpoint->tensors));
  if (!source) return 0;
  for (const lotse::TensorInfo& info : (*source)->tensors()) {
    LOTSE_CHECK((*source)->read(info.name)->bytes.size() == static_cast<size_t>(info.bytes));
  }
  return 0;
}
