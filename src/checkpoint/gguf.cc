#include "checkpoint/gguf.h"

#include <cstring>

#include "checkpoint/gguf_config.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/gguf_reader.h"
#include "checkpoint/rotary_rows.h"

namespace lotse {
namespace {

Result<Tensor> subtract_one(const Tensor& stored) {
  OwnedTensor restored = allocate_tensor(stored.dtype, stored.shape);
  for (size_t at = 0; at < stored.bytes.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, stored.bytes.data() + at, sizeof value);
    value -= 1.0f;
    std::memcpy(restored.bytes.data() + at, &value, sizeof value);
  }
  return std::move(restored.tensor);
}

class Mapper {
 public:
  Mapper(const GgufFile& file, const GgufModel& model)
      : file_(file), model_(model), origin_(file.metadata.origin()) {}

  Result<std::vector<StoredTensor>> map() {
    for (const GgufTensor& tensor : file_.tensors) {
      const auto place = place_gguf_tensor(model_.family, model_.layers, tensor.name);
      if (!place) {
        return fail(ErrorCode::unsupported, "{}: tensor {} has no place in a {} of {} layers",
                    origin_, printable(tensor.name), model_.config["model_type"].get<std::string>(),
                    model_.layers);
      }
      LOTSE_TRY(add(tensor, *place));
    }
    return std::move(tensors_);
  }

 private:
  std::unexpected<Error> unexpected_shape(const GgufTensor& tensor,
                                          std::string_view expected) const {
    return fail(ErrorCode::invalid_input, "{}: tensor {}: expected {}, got {} of shape {}", origin_,
                printable(tensor.name), expected, name(tensor.dtype), to_string(tensor.shape));
  }

  Result<void> add(const GgufTensor& tensor, const GgufPlace& place) {
    switch (place.layout) {
      case GgufLayout::plain:
        return add_one(tensor, place, {});
      case GgufLayout::query:
        return add_rotary(tensor, place, model_.heads);
      case GgufLayout::key:
        return add_rotary(tensor, place, model_.kv_heads);
      case GgufLayout::norm:
        return add_norm(tensor, place);
      case GgufLayout::experts:
        return add_experts(tensor, place);
      case GgufLayout::rope_table:
        return {};
    }
    return {};
  }

  Result<void> add_one(const GgufTensor& tensor, const GgufPlace& place,
                       std::function<Result<Tensor>(const Tensor&)> prepare) {
    TensorInfo info{place.hf_name(), tensor.dtype, tensor.shape,
                    static_cast<int64_t>(tensor.bytes.size()), origin_};
    tensors_.push_back({std::move(info), tensor.bytes, file_.owner, std::move(prepare)});
    return {};
  }

  Result<void> add_rotary(const GgufTensor& tensor, const GgufPlace& place, int64_t heads) {
    const bool divides = tensor.shape.rank() >= 1 && tensor.shape[0] > 0 &&
                         tensor.shape[0] % (2 * heads) == 0 &&
                         !(tensor.shape.rank() == 1 && is_gguf_block(tensor.dtype));
    if (!divides) {
      return unexpected_shape(tensor, fmt::format("rows in a multiple of 2 x {} heads", heads));
    }
    return add_one(tensor, place,
                   [heads](const Tensor& stored) { return restore_rotary_rows(stored, heads); });
  }

  Result<void> add_norm(const GgufTensor& tensor, const GgufPlace& place) {
    if (tensor.dtype != DType::f32) return unexpected_shape(tensor, "a norm in f32");
    return add_one(tensor, place, subtract_one);
  }

  Result<void> add_experts(const GgufTensor& tensor, const GgufPlace& place) {
    if (tensor.shape.rank() != 3 || tensor.shape[0] != model_.experts) {
      return unexpected_shape(tensor, fmt::format("[{}, rows, columns]", model_.experts));
    }
    const Shape shape({tensor.shape[1], tensor.shape[2]});
    const size_t size = tensor.bytes.size() / static_cast<size_t>(model_.experts);
    for (int64_t expert = 0; expert < model_.experts; ++expert) {
      TensorInfo info{place.hf_name(expert), tensor.dtype, shape, static_cast<int64_t>(size),
                      origin_};
      const auto bytes = tensor.bytes.subspan(static_cast<size_t>(expert) * size, size);
      tensors_.push_back({std::move(info), bytes, file_.owner, {}});
    }
    return {};
  }

  const GgufFile& file_;
  const GgufModel& model_;
  std::string origin_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace

Result<GgufCheckpoint> read_gguf(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner, std::string_view origin) {
  const GgufFile file = LOTSE_TRY(parse_gguf(bytes, std::move(owner), origin));
  const auto parts = LOTSE_TRY(file.metadata.integer("split.count", 0, 65535));
  if (parts.value_or(1) > 1) {
    return fail(ErrorCode::unsupported,
                "{}: metadata split.count: a GGUF in {} parts is not supported; join them with "
                "llama-gguf-split --merge",
                origin, *parts);
  }
  GgufCheckpoint checkpoint;
  checkpoint.vocab = LOTSE_TRY(read_gguf_vocab(file.metadata));
  if (file.tensors.empty()) return checkpoint;
  GgufModel model = LOTSE_TRY(read_gguf_model(file));
  checkpoint.tensors = LOTSE_TRY(Mapper(file, model).map());
  checkpoint.config = std::move(model.config);
  return checkpoint;
}

}  // namespace lotse
