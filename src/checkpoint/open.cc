// Chooses the format of a path and puts config and tensors together.
#include <algorithm>
#include <functional>

#include "base/mmap.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf.h"
#include "checkpoint/llama2c.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/torch_zip.h"

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

// One or all shards of a format whose config is a config.json in the same folder.
Result<Checkpoint> open_with_config(
    const fs::path& path, std::string_view format,
    const std::function<Result<std::vector<StoredTensor>>(const fs::path&, Checkpoint&)>& read) {
  Checkpoint checkpoint = new_checkpoint(path, format);
  LOTSE_TRY(read_config(checkpoint, path.parent_path() / "config.json"));
  const auto open_one = [&](const fs::path& shard) { return read(shard, checkpoint); };
  const bool sharded = path.string().ends_with(kIndexSuffix);
  std::vector<StoredTensor> tensors =
      LOTSE_TRY(sharded ? open_shards(path, open_one) : open_one(path));
  checkpoint.weights = LOTSE_TRY(make_weight_source(std::move(tensors)));
  return checkpoint;
}

using HashesByFile = std::map<std::string, std::vector<uint64_t>>;

Result<std::vector<StoredTensor>> read_safetensors(const fs::path& path, const HashesByFile& listed,
                                                   Checkpoint& checkpoint) {
  const auto mapped = LOTSE_TRY(MappedFile::open(path));
  SafetensorsFile file = LOTSE_TRY(parse_safetensors(mapped->bytes(), mapped, path.string()));
  checkpoint.metadata.merge(file.metadata);
  if (const auto hashes = listed.find(path.filename().string()); hashes != listed.end()) {
    const auto chunks =
        LOTSE_TRY(CheckedChunks::create(path.string(), mapped->bytes(), hashes->second));
    for (StoredTensor& tensor : file.tensors) tensor.hashes = chunks;
  }
  return std::move(file.tensors);
}

Result<Checkpoint> open_safetensors_checkpoint(const fs::path& path) {
  const HashesByFile listed = LOTSE_TRY(listed_chunk_hashes(path.parent_path()));
  return open_with_config(path, "safetensors", [&](const fs::path& shard, Checkpoint& checkpoint) {
    return read_safetensors(shard, listed, checkpoint);
  });
}

Result<std::vector<StoredTensor>> read_torch_zip(const fs::path& path, Checkpoint&) {
  const auto file = LOTSE_TRY(MappedFile::open(path));
  return parse_torch_zip(file->bytes(), file, path.string());
}

Result<Checkpoint> open_gguf_checkpoint(const std::shared_ptr<const MappedFile>& file) {
  Checkpoint checkpoint = new_checkpoint(file->path(), "gguf");
  const std::string origin = file->path().string();
  GgufCheckpoint gguf = LOTSE_TRY(read_gguf(file->bytes(), file, origin));
  checkpoint.config = std::move(gguf.config);
  checkpoint.config_origin = origin;
  checkpoint.gguf_vocab = std::move(gguf.vocab);
  checkpoint.weights = LOTSE_TRY(make_weight_source(std::move(gguf.tensors)));
  return checkpoint;
}

Result<Checkpoint> open_llama2c_checkpoint(const std::shared_ptr<const MappedFile>& file) {
  Checkpoint checkpoint = new_checkpoint(file->path(), "llama2.c");
  const std::string origin = file->path().string();
  Llama2cCheckpoint llama2c = LOTSE_TRY(read_llama2c(file->bytes(), file, origin));
  checkpoint.config = std::move(llama2c.config);
  checkpoint.config_origin = origin;
  checkpoint.weights = LOTSE_TRY(make_weight_source(std::move(llama2c.tensors)));
  return checkpoint;
}

Result<Checkpoint> open_config(const fs::path& path) {
  Checkpoint checkpoint = new_checkpoint(path, "config");
  LOTSE_TRY(read_config(checkpoint, path));
  return checkpoint;
}

bool is_torch_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".bin" || extension == ".pt" || extension == ".pth";
}

// By name, and where a name can stand for several formats, by the file's first bytes.
Result<Checkpoint> open_file(const fs::path& path) {
  const std::string name = path.filename().string();
  if (name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
    return open_safetensors_checkpoint(path);
  }
  if (name.ends_with(".bin.index.json")) return open_with_config(path, "pytorch", read_torch_zip);
  if (name.ends_with(".json")) return open_config(path);
  const auto file = LOTSE_TRY(MappedFile::open(path));
  if (name.ends_with(".gguf") || file->text().starts_with("GGUF")) {
    return open_gguf_checkpoint(file);
  }
  if (!is_torch_file(path)) {
    return fail(ErrorCode::unsupported,
                "{}: not a checkpoint; expected a model directory, or a .safetensors, .gguf, .bin, "
                ".pt, .pth or config.json file",
                path.string());
  }
  const bool is_torch = file->text().starts_with("PK") || file->text().starts_with("\x80\x02");
  if (name.ends_with(".bin") && !is_torch) return open_llama2c_checkpoint(file);
  return open_with_config(path, "pytorch", read_torch_zip);
}

// The only file of a directory with this extension; nothing when there is none, an error when
// there are several.
Result<std::optional<fs::path>> only_file(const fs::path& directory, std::string_view extension) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == extension) found.push_back(it->path());
  }
  if (error) return fail(ErrorCode::io, "{}: {}", directory.string(), error.message());
  if (found.empty()) return std::optional<fs::path>();
  if (found.size() == 1) return std::optional(found.front());
  std::sort(found.begin(), found.end());
  return fail(ErrorCode::invalid_input,
              "{}: holds {} {} files and no index; name one of them, for example {}",
              directory.string(), found.size(), extension, found.front().string());
}

// The weight files of a directory in the order of preference, at last a config.json alone.
Result<Checkpoint> open_directory(const fs::path& directory) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    if (is_present(directory / name)) return open_file(directory / name);
  }
  for (const char* extension : {".safetensors", ".gguf"}) {
    const auto file = LOTSE_TRY(only_file(directory, extension));
    if (file) return open_file(*file);
  }
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "config.json"}) {
    if (is_present(directory / name)) return open_file(directory / name);
  }
  return fail(ErrorCode::not_found,
              "{}: holds no model: no *.safetensors, no *.gguf, no pytorch_model.bin and no "
              "config.json",
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
