#include "checkpoint/torch_zip.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "checkpoint/pickle.h"
#include "checkpoint/zip_reader.h"

namespace lotse {
namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_contiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.sizes.size(); i-- > 0;) {
    if (tensor.sizes[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.sizes[i];
  }
  return true;
}

// The first element beyond those that the tensor touches, from its offset; nothing on overflow or
// for a negative stride. The sizes are positive.
std::optional<int64_t> extent(const PickledTensor& tensor) {
  std::optional<int64_t> end = 1;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    const auto span =
        tensor.strides[i] < 0 ? std::nullopt : checked_mul(tensor.sizes[i] - 1, tensor.strides[i]);
    end = end && span ? checked_add(*end, *span) : std::nullopt;
  }
  return end;
}

// The strides with those that are never stepped along, whose value means nothing, set to 0.
std::vector<int64_t> used_strides(const PickledTensor& tensor) {
  std::vector<int64_t> strides = tensor.strides;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (tensor.sizes[i] == 1) strides[i] = 0;
  }
  return strides;
}

// Copies a tensor with any strides into row-major order; its extent has been checked.
Result<Tensor> gather(const Tensor& stored, const std::vector<int64_t>& strides) {
  OwnedTensor dense = allocate_tensor(stored.dtype, stored.shape);
  const auto width = static_cast<size_t>(info(stored.dtype).block_bytes);
  std::vector<int64_t> index(strides.size(), 0);
  int64_t source = 0;
  for (size_t at = 0; at < dense.bytes.size(); at += width) {
    std::memcpy(dense.bytes.data() + at, stored.bytes.data() + static_cast<size_t>(source) * width,
                width);
    for (size_t axis = strides.size(); axis-- > 0;) {
      source += strides[axis];
      if (++index[axis] < stored.shape[static_cast<int>(axis)]) break;
      source -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
  return std::move(dense.tensor);
}

class TorchZip {
 public:
  TorchZip(ZipEntries entries, std::shared_ptr<const void> owner, std::string_view origin)
      : entries_(std::move(entries)), owner_(std::move(owner)), origin_(origin) {}

  Result<std::vector<StoredTensor>> read() {
    const auto pickle = std::find_if(entries_.begin(), entries_.end(), [](const auto& entry) {
      return entry.first == "data.pkl" || entry.first.ends_with("/data.pkl");
    });
    if (pickle == entries_.end()) {
      return fail(ErrorCode::invalid_input, "{}: a zip file without data.pkl, not from PyTorch",
                  origin_);
    }
    prefix_ = pickle->first.substr(0, pickle->first.size() - std::string_view("data.pkl").size());
    LOTSE_TRY(check_byte_order());
    std::vector<StoredTensor> tensors;
    for (const PickledTensor& tensor :
         LOTSE_TRY(read_pickled_state_dict(text_of(pickle->second), origin_))) {
      tensors.push_back(LOTSE_TRY(locate(tensor)));
    }
    return tensors;
  }

 private:
  template <class... Args>
  std::unexpected<Error> bad(const PickledTensor& tensor, fmt::format_string<Args...> format,
                             Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}: tensor {}: {}", origin_, printable(tensor.name),
                fmt::format(format, std::forward<Args>(args)...));
  }

  Result<void> check_byte_order() const {
    const auto order = entries_.find(fmt::format("{}byteorder", prefix_));
    if (order == entries_.end() || text_of(order->second) == "little") return {};
    return fail(ErrorCode::unsupported, "{}: byteorder: expected \"little\", got \"{}\"", origin_,
                printable(text_of(order->second)));
  }

  Result<StoredTensor> locate(const PickledTensor& tensor) const {
    const auto entry = entries_.find(fmt::format("{}data/{}", prefix_, tensor.storage));
    if (entry == entries_.end()) {
      return bad(tensor, "its storage data/{} is missing", printable(tensor.storage));
    }
    const std::span<const std::byte> storage = entry->second;
    const std::optional<int64_t> stated = byte_size(tensor.dtype, tensor.storage_elements);
    if (!stated || *stated > static_cast<int64_t>(storage.size())) {
      return bad(tensor, "its storage data/{} has {} bytes, expected {} elements of {}",
                 printable(tensor.storage), storage.size(), tensor.storage_elements,
                 lotse::name(tensor.dtype));
    }
    TensorInfo info =
        LOTSE_TRY(checked_tensor_info(origin_, tensor.name, tensor.dtype, tensor.sizes));
    if (info.bytes == 0) return StoredTensor{std::move(info), {}, owner_, {}};
    LOTSE_TRY(check_extent(tensor, info));
    const auto begin = static_cast<size_t>(tensor.offset * lotse::info(tensor.dtype).block_bytes);
    const auto rest = storage.first(static_cast<size_t>(*stated)).subspan(begin);
    if (is_contiguous(tensor)) {
      const auto bytes = rest.first(static_cast<size_t>(info.bytes));
      return StoredTensor{std::move(info), bytes, owner_, {}};
    }
    return StoredTensor{
        std::move(info), rest, owner_,
        [strides = used_strides(tensor)](const Tensor& stored) { return gather(stored, strides); }};
  }

  // The elements lie inside the storage, and there are no more of them than it holds: so reading
  // never allocates more than the file's own size.
  Result<void> check_extent(const PickledTensor& tensor, const TensorInfo& info) const {
    const std::optional<int64_t> span = extent(tensor);
    const std::optional<int64_t> end =
        span && tensor.offset >= 0 ? checked_add(tensor.offset, *span) : std::nullopt;
    if (!end || *end > tensor.storage_elements) {
      return bad(tensor, "shape {} at offset {} exceeds its storage of {} elements",
                 to_string(info.shape), tensor.offset, tensor.storage_elements);
    }
    if (info.shape.elements().value() > tensor.storage_elements) {
      return bad(tensor, "strides that repeat elements are not supported");
    }
    return {};
  }

  ZipEntries entries_;
  std::shared_ptr<const void> owner_;
  std::string_view origin_;
  std::string_view prefix_;
};

}  // namespace

Result<std::vector<StoredTensor>> parse_torch_zip(std::span<const std::byte> bytes,
                                                  std::shared_ptr<const void> owner,
                                                  std::string_view origin) {
  if (text_of(bytes).starts_with("\x80\x02")) {
    return fail(ErrorCode::unsupported,
                "{}: PyTorch's format from before version 1.6; load and save it again with a newer "
                "PyTorch, or convert it to safetensors",
                origin);
  }
  return TorchZip(LOTSE_TRY(read_zip(bytes, origin)), std::move(owner), origin).read();
}

}  // namespace lotse
