#include "checkpoint/safetensors_writer.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_set>

#include "base/checked.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checkpoint/safetensors.h"

namespace lotse {
namespace {

Result<void> check_tensor(const TensorInfo& tensor) {
  if (tensor.name == "__metadata__" || !is_valid_utf8(tensor.name)) {
    return fail(ErrorCode::invalid_input,
                "tensor {}: safetensors reserves this name or it is not UTF-8",
                printable(tensor.name));
  }
  if (safetensors_dtype(tensor.dtype).empty()) {
    return fail(ErrorCode::unsupported, "tensor {}: safetensors cannot hold dtype {}",
                printable(tensor.name), name(tensor.dtype));
  }
  const std::optional<int64_t> elements = tensor.shape.elements();
  if (!elements || byte_size(tensor.dtype, *elements) != tensor.bytes) {
    return fail(ErrorCode::invalid_input, "tensor {}: {} bytes contradict {} of shape {}",
                printable(tensor.name), tensor.bytes, name(tensor.dtype), to_string(tensor.shape));
  }
  return {};
}

std::string json_string(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Result<std::string> write_safetensors_header(const std::vector<TensorInfo>& tensors,
                                             const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty())
    json += fmt::format("\"__metadata__\":{}",
                        Json(metadata).dump(-1, ' ', false, Json::error_handler_t::replace));
  std::unordered_set<std::string_view> names;
  std::optional<int64_t> begin = 0;
  for (const TensorInfo& tensor : tensors) {
    LOTSE_TRY(check_tensor(tensor));
    const std::optional<int64_t> end = checked_add(*begin, tensor.bytes);
    if (!names.insert(tensor.name).second || !end) {
      return fail(ErrorCode::invalid_input,
                  "tensor {}: its name is used twice or the sizes overflow",
                  printable(tensor.name));
    }
    const std::span<const int64_t> dims = tensor.shape.dims();
    json += fmt::format(R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        json.size() > 1 ? "," : "", json_string(tensor.name),
                        safetensors_dtype(tensor.dtype), fmt::join(dims.begin(), dims.end(), ","),
                        *begin, *end);
    begin = end;
  }
  json += '}';
  json.resize(static_cast<size_t>(round_up(static_cast<int64_t>(json.size()), 8)), ' ');
  if (static_cast<int64_t>(json.size()) > kMaxSafetensorsHeader) {
    return fail(ErrorCode::limit, "a safetensors header of {} bytes exceeds the format's {}",
                json.size(), kMaxSafetensorsHeader);
  }
  const uint64_t length = json.size();
  std::string header(sizeof length, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  return header + json;
}

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::filesystem::path& path, std::vector<TensorInfo> tensors,
    const std::map<std::string, std::string>& metadata) {
  Result<std::string> header = write_safetensors_header(tensors, metadata);
  if (!header) return fail(header.error().code, "{}: {}", path.string(), header.error().message);
  AtomicFile file = LOTSE_TRY(AtomicFile::create(path));
  LOTSE_TRY(file.write(*header));
  return SafetensorsWriter(std::move(file), std::move(tensors));
}

void SafetensorsWriter::begin(std::string_view name) {
  LOTSE_CHECK(remaining_ == 0);
  LOTSE_CHECK(next_ < tensors_.size() && tensors_[next_].name == name);
  remaining_ = tensors_[next_++].bytes;
}

Result<void> SafetensorsWriter::append(std::span<const std::byte> bytes) {
  LOTSE_CHECK(static_cast<int64_t>(bytes.size()) <= remaining_);
  remaining_ -= static_cast<int64_t>(bytes.size());
  return file_.write(bytes);
}

Result<void> SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  begin(name);
  return append(bytes);
}

Result<void> SafetensorsWriter::finish() {
  LOTSE_CHECK(next_ == tensors_.size() && remaining_ == 0);
  return file_.commit();
}

}  // namespace lotse
