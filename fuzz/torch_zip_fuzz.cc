// Bytes that begin like a zip file as a PyTorch checkpoint, all others as its pickle.
#include "checkpoint/pickle.h"
#include "checkpoint/torch_zip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!text.starts_with("PK")) {
    (void)lotse::read_pickled_state_dict(text, "fuzz");
    return 0;
  }
  auto tensors = lotse::parse_torch_zip(std::as_bytes(std::span(data, size)), nullptr, "fuzz");
  if (!tensors) return 0;
  const auto source = lotse::make_weight_source(std::move(*tensors));
  if (!source) return 0;
  for (const lotse::TensorInfo& info : (*source)->tensors()) {
    LOTSE_CHECK((*source)->read(info.name)->bytes.size() == static_cast<size_t>(info.bytes));
  }
  return 0;
}
