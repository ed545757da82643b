// Chooses the format of a path and puts config and tensors together.
#include <algorithm>
#include <array>

#include "base/mmap.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".index.json";

bool is_present(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Checkpoint new_checkpoint(const fs::path& path, std::string_view format) {
  Checkpoint checkpoint;
  checkpoint.path = path;
  checkpoint.format = format;
  return checkpoint;
}

// Fills config from `file`, or leaves it null when the file does not exist.
Result<void> read_config(Checkpoint& checkpoint, const fs::path& file) {
  checkpoint.config_origin = file.string();
  if (!is_present(file)) return {};
  checkpoint.config = LOTSE_TRY(read_json_file(file.string()));
  if (!checkpoint.config.is_object()) {
    return fail(ErrorCode::invalid_input, "{}: expected a JSON object", file.string());
  }
  return {};
}

Result<std::vector<StoredTensor>> safetensors_of(const fs::path& path, Checkpoint& checkpoint) {
  SafetensorsFile file = LOTSE_TRY(open_safetensors(path));
  checkpoint.metadata.merge(file.metadata);
  return std::move(file.tensors);
}

Result<Checkpoint> open_safetensors_checkpoint(const fs::path& path) {
  Checkpoint checkpoint = new_checkpoint(path, "safetensors");
  LOTSE_TRY(read_config(checkpoint, path.parent_path() / "config.json"));
  const auto open_one = [&](const fs::path& shard) { return safetensors_of(shard, checkpoint); };
  const bool sharded = path.string().ends_with(kIndexSuffix);
  std::vector<StoredTensor> tensors =
      LOTSE_TRY(sharded ? open_shards(path, open_one) : open_one(path));
  checkpoint.weights = LOTSE_TRY(make_weight_source(std::move(tensors)));
  return checkpoint;
}

Result<Checkpoint> open_config(const fs::path& path) {
  Checkpoint checkpoint = new_checkpoint(path, "config");
  LOTSE_TRY(read_config(checkpoint, path));
  return checkpoint;
}

Result<Checkpoint> open_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
    return open_safetensors_checkpoint(path);
  }
  if (name.ends_with(".json")) return open_config(path);
  return fail(ErrorCode::unsupported,
              "{}: not a checkpoint; expected a model directory, or a .safetensors, .gguf, .bin, "
              ".pt or config.json file",
              path.string());
}

// The weight files of a directory in the order of preference.
Result<Checkpoint> open_directory(const fs::path& directory) {
  constexpr std::array<const char*, 3> kNames = {"model.safetensors",
                                                 "model.safetensors.index.json", "config.json"};
  for (const char* name : kNames) {
    if (is_present(directory / name)) return open_file(directory / name);
  }
  return fail(ErrorCode::not_found,
              "{}: holds no model: no *.safetensors, no *.gguf, no "
              "pytorch_model.bin and no config.json",
              directory.string());
}

}  // namespace

Result<Checkpoint> open_checkpoint(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return fail(ErrorCode::not_found, "{}: no such file or directory", path.string());
  }
  if (error) return fail(ErrorCode::io, "{}: {}", path.string(), error.message());
  Result<Checkpoint> opened = fs::is_directory(status) ? open_directory(path) : open_file(path);
  if (opened) opened->path = path;
  return opened;
}

}  // namespace lotse
