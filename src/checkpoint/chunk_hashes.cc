#include "checkpoint/chunk_hashes.h"

#include <algorithm>

#include "base/checked.h"
#include "base/hash.h"

namespace lotse {

Result<std::vector<uint64_t>> read_chunk_hashes(const JsonFields& file) {
  std::vector<uint64_t> hashes;
  const auto found = file.json().find("xxh3");
  if (found == file.json().end()) return hashes;
  for (const Json& item : *found) {
    const std::string text = item.is_string() ? item.get<std::string>() : "";
    if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return fail(ErrorCode::invalid_input, "{}: field \"xxh3\": expected 16 hexadecimal digits",
                  file.origin());
    }
    hashes.push_back(std::stoull(text, nullptr, 16));
  }
  return hashes;
}

Result<std::map<std::string, std::vector<uint64_t>>> listed_chunk_hashes(
    const std::filesystem::path& directory) {
  std::map<std::string, std::vector<uint64_t>> listed;
  const std::filesystem::path path = directory / kManifestName;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return listed;
  const Json json = LOTSE_TRY(read_json_file(path.string()));
  const auto files = json.find("files");
  if (!json.is_object() || files == json.end() || !files->is_array()) {
    return fail(ErrorCode::invalid_input, "{}: field \"files\": expected an array", path.string());
  }
  for (size_t i = 0; i < files->size(); ++i) {
    const std::string origin = fmt::format("{}: files[{}]", path.string(), i);
    if (!(*files)[i].is_object()) {
      return fail(ErrorCode::invalid_input, "{}: expected an object", origin);
    }
    const JsonFields file((*files)[i], origin);
    const std::string name = LOTSE_TRY(file.string_or("name", ""));
    listed[name] = LOTSE_TRY(read_chunk_hashes(file));
  }
  return listed;
}

Result<std::shared_ptr<const CheckedChunks>> CheckedChunks::create(std::string file,
                                                                   std::span<const std::byte> bytes,
                                                                   std::vector<uint64_t> hashes) {
  const int64_t chunks = ceil_div(static_cast<int64_t>(bytes.size()), kChunkBytes);
  if (std::ssize(hashes) != chunks) {
    return fail(ErrorCode::invalid_input,
                "{}: {} bytes make {} chunks, but {} lists {}; it was changed or damaged: port "
                "again",
                file, bytes.size(), chunks, kManifestName, hashes.size());
  }
  return std::shared_ptr<const CheckedChunks>(
      new CheckedChunks(std::move(file), bytes, std::move(hashes)));
}

Result<void> CheckedChunks::check(std::span<const std::byte> part) const {
  if (part.empty()) return {};
  const auto chunk_bytes = static_cast<size_t>(kChunkBytes);
  const auto begin = static_cast<size_t>(part.data() - bytes_.data());
  for (size_t i = begin / chunk_bytes; i * chunk_bytes < begin + part.size(); ++i) {
    if (done_[i].load(std::memory_order_acquire)) continue;
    const size_t left = bytes_.size() - i * chunk_bytes;
    if (xxh3(bytes_.subspan(i * chunk_bytes, std::min(left, chunk_bytes))) != hashes_[i]) {
      return fail(ErrorCode::invalid_input,
                  "{}: chunk {} (bytes {} and on) is not what {} lists; the file was changed or "
                  "damaged: port again",
                  file_, i, i * chunk_bytes, kManifestName);
    }
    done_[i].store(true, std::memory_order_release);
  }
  return {};
}

}  // namespace lotse
