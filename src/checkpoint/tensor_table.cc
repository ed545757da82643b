#include "checkpoint/tensor_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/utf8.h"

namespace lotse {
namespace {

size_t alignment(DType dtype) {
  if (is_gguf_block(dtype)) return 2;  // blocks begin with or contain fp16 scales
  const DTypeInfo& type = info(dtype);
  return type.block_elements == 1 ? static_cast<size_t>(type.block_bytes) : 1;
}

bool is_aligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.bytes.data()) % alignment(tensor.dtype) == 0;
}

Tensor copy_of(const Tensor& tensor) {
  OwnedTensor copy = allocate_tensor(tensor.dtype, tensor.shape);
  std::copy(tensor.bytes.begin(), tensor.bytes.end(), copy.bytes.begin());
  return std::move(copy.tensor);
}

class TensorTable : public WeightSource {
 public:
  TensorTable(std::vector<TensorInfo> infos, std::vector<StoredTensor> stored)
      : infos_(std::move(infos)), stored_(std::move(stored)) {}

  const std::vector<TensorInfo>& tensors() const override { return infos_; }

  Result<Tensor> read(std::string_view name) const override {
    const TensorInfo* found = find(name);
    if (found == nullptr) return missing(name);
    const StoredTensor& stored = stored_[static_cast<size_t>(found - infos_.data())];
    if (stored.hashes) LOTSE_TRY(stored.hashes->check(stored.bytes));
    Tensor tensor{found->dtype, found->shape, stored.bytes, stored.owner};
    if (stored.prepare) return stored.prepare(tensor);
    return is_aligned(tensor) ? tensor : copy_of(tensor);
  }

 private:
  std::unexpected<Error> missing(std::string_view name) const;

  std::vector<TensorInfo> infos_;
  std::vector<StoredTensor> stored_;  // parallel to infos_, its own `info` emptied
};

// How much of two names agrees at both ends: tensor names are paths that differ in the middle.
size_t similarity(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t front = 0;
  while (front < limit && a[front] == b[front]) ++front;
  size_t back = 0;
  while (back < limit - front && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  return 2 * (front + back) + limit;
}

std::unexpected<Error> TensorTable::missing(std::string_view name) const {
  if (infos_.empty()) {
    return fail(ErrorCode::not_found, "no tensor {}: the checkpoint holds none", printable(name));
  }
  const auto closest =
      std::max_element(infos_.begin(), infos_.end(), [&](const TensorInfo& a, const TensorInfo& b) {
        const auto rank = [&](const std::string& other) {
          return static_cast<int64_t>(similarity(name, other)) -
                 static_cast<int64_t>(std::max(name.size(), other.size()));
        };
        return rank(a.name) < rank(b.name);
      });
  return fail(ErrorCode::not_found, "{}: no tensor {}; the closest name is {}", closest->file,
              printable(name), printable(closest->name));
}

}  // namespace

namespace {

// An encoder by itself, or within a model that was trained on words left out; the first ones call
// the norms' weight and bias gamma and beta.
std::vector<std::string> encoder_names(std::string_view name) {
  std::vector<std::string> names = {std::string(name)};
  if (name.ends_with("LayerNorm.weight")) {
    names.push_back(fmt::format("{}gamma", name.substr(0, name.size() - 6)));
  }
  if (name.ends_with("LayerNorm.bias")) {
    names.push_back(fmt::format("{}beta", name.substr(0, name.size() - 4)));
  }
  for (size_t i = names.size(); i > 0; --i) {
    for (const char* prefix : {"bert", "roberta"}) {
      names.push_back(fmt::format("{}.{}", prefix, names[i - 1]));
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> stored_names(std::string_view name) {
  if (name.starts_with("embeddings.") || name.starts_with("encoder.")) return encoder_names(name);
  std::vector<std::string> names = {std::string(name), fmt::format("language_model.{}", name)};
  if (name.starts_with("model.")) {
    names.push_back(fmt::format("model.language_model.{}", name.substr(6)));
    names.emplace_back(name.substr(6));  // a checkpoint for embeddings
  }
  return names;
}

const TensorInfo* WeightSource::find(std::string_view name) const {
  const std::vector<TensorInfo>& all = tensors();
  const auto it = std::lower_bound(
      all.begin(), all.end(), name,
      [](const TensorInfo& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return it == all.end() || it->name != name ? nullptr : &*it;
}

Result<std::unique_ptr<WeightSource>> make_weight_source(std::vector<StoredTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const StoredTensor& a, const StoredTensor& b) { return a.info.name < b.info.name; });
  std::vector<TensorInfo> infos;
  infos.reserve(tensors.size());
  for (StoredTensor& tensor : tensors) {
    if (!infos.empty() && infos.back().name == tensor.info.name) {
      return fail(ErrorCode::invalid_input,
                  "{}: tensor {} is also in {}; a tensor may be stored only once", tensor.info.file,
                  printable(tensor.info.name), infos.back().file);
    }
    infos.push_back(std::move(tensor.info));
  }
  return std::make_unique<TensorTable>(std::move(infos), std::move(tensors));
}

OwnedTensor allocate_tensor(DType dtype, const Shape& shape) {
  const size_t size = static_cast<size_t>(byte_size(dtype, shape.elements().value()).value());
  // make_shared of an array aligns for std::max_align_t, enough for every element type.
  std::shared_ptr<std::byte[]> storage = std::make_shared<std::byte[]>(std::max<size_t>(size, 1));
  const std::span<std::byte> bytes(storage.get(), size);
  return {Tensor{dtype, shape, bytes, std::move(storage)}, bytes};
}

Result<TensorInfo> checked_tensor_info(std::string_view where, std::string_view name, DType dtype,
                                       std::span<const int64_t> dims) {
  if (dims.size() > Shape::kMaxRank) {
    return fail(ErrorCode::unsupported, "{}: tensor {} has {} dimensions, at most {} are supported",
                where, printable(name), dims.size(), Shape::kMaxRank);
  }
  const auto shown = [&] { return fmt::format("[{}]", fmt::join(dims.begin(), dims.end(), ", ")); };
  if (std::any_of(dims.begin(), dims.end(), [](int64_t dim) { return dim < 0; })) {
    return fail(ErrorCode::invalid_input, "{}: tensor {}: shape {} has a negative dimension", where,
                printable(name), shown());
  }
  const Shape shape(dims);
  const std::optional<int64_t> elements = shape.elements();
  const std::optional<int64_t> bytes = elements ? byte_size(dtype, *elements) : std::nullopt;
  if (!bytes) {
    return fail(ErrorCode::invalid_input,
                "{}: tensor {}: shape {} of {} overflows or is not a whole number of bytes", where,
                printable(name), shown(), lotse::name(dtype));
  }
  if (is_gguf_block(dtype) && (dims.empty() || dims.back() % info(dtype).block_elements != 0)) {
    return fail(ErrorCode::invalid_input,
                "{}: tensor {}: rows of shape {} are not a multiple of {}'s block of {}", where,
                printable(name), shown(), lotse::name(dtype), info(dtype).block_elements);
  }
  return TensorInfo{std::string(name), dtype, shape, *bytes, std::string(where)};
}

std::string printable(std::string_view text) {
  constexpr size_t kLongest = 100;
  std::string out;
  for (const char c : sanitize_utf8(text.substr(0, kLongest))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (text.size() > kLongest) out += "...";
  return out;
}

}  // namespace lotse
