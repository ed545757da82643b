#include "device/device.h"

#include "base/machine.h"

namespace lotse {

int64_t Device::available_bytes() const { return read_memory().usable(); }

int64_t embed_index(EmbedBy by, const Batch& batch, int64_t t) {
  switch (by) {
    case EmbedBy::token:
      return batch.tokens[static_cast<size_t>(t)];
    case EmbedBy::position:
      return batch.positions[static_cast<size_t>(t)];
    case EmbedBy::nothing:
      return 0;
  }
  return 0;
}

Error no_logits() {
  return {
      ErrorCode::unsupported,
      "the model makes embeddings and no text: `lotse embed`, or /v1/embeddings of `lotse serve`"};
}

Result<TopLogits> Executable::run_top(const Batch&, const TopRequest&) {
  return fail(ErrorCode::unsupported, "the device chooses no logits");
}

Result<std::span<const float>> Executable::last_logits() {
  return fail(ErrorCode::unsupported, "the device chooses no logits");
}

}  // namespace lotse
