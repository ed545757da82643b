#include "port/artifact.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/mmap.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;
constexpr int64_t kMaxManifest = int64_t{64} << 20;
constexpr int64_t kMaxSize = int64_t{1} << 60;

Json json_of(const ArtifactFile& file, bool has_chunks) {
  Json json = {{"name", file.name}, {"bytes", file.hashes.bytes}, {"sha256", file.hashes.sha256}};
  if (!has_chunks) return json;
  Json chunks = Json::array();
  for (const uint64_t hash : file.hashes.chunks) chunks.push_back(fmt::format("{:016x}", hash));
  json["xxh3"] = std::move(chunks);
  return json;
}

Json json_of(const std::vector<ArtifactFile>& files, bool has_chunks) {
  Json json = Json::array();
  for (const ArtifactFile& file : files) json.push_back(json_of(file, has_chunks));
  return json;
}

Json json_of(const TensorReport& tensor) {
  Json json = {{"name", tensor.name},
               {"from", tensor.from},
               {"to", tensor.to},
               {"bytes_in", tensor.bytes_in},
               {"bytes_out", tensor.bytes_out},
               {"relative_error", tensor.error.relative_rms},
               {"cosine", tensor.error.cosine},
               {"max_error", tensor.error.max_abs}};
  if (!tensor.note.empty()) json["note"] = tensor.note;
  return json;
}

Json json_of(const Manifest& manifest, bool has_chunks) {
  Json tensors = Json::array();
  for (const TensorReport& tensor : manifest.tensors) tensors.push_back(json_of(tensor));
  return {{"format", kFormat},
          {"lotse", manifest.lotse},
          {"complete", manifest.is_complete},
          {"target", manifest.target},
          {"quant", manifest.quant},
          {"group", manifest.group},
          {"dtype", manifest.dtype},
          {"plan", manifest.plan},
          {"chunk_bytes", kChunkBytes},
          {"source", {{"name", manifest.source}, {"files", json_of(manifest.source_files, false)}}},
          {"files", json_of(manifest.files, has_chunks)},
          {"tensors", std::move(tensors)}};
}

std::string manifest_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// The entries of an array field, each as fields whose errors say which it is.
Result<std::vector<JsonFields>> objects(const JsonFields& fields, const char* key) {
  const auto found = fields.json().find(key);
  if (found == fields.json().end() || !found->is_array()) {
    return fail(ErrorCode::invalid_input, "{}: field \"{}\": expected an array", fields.origin(),
                key);
  }
  std::vector<JsonFields> all;
  for (size_t i = 0; i < found->size(); ++i) {
    const std::string origin = fmt::format("{}: {}[{}]", fields.origin(), key, i);
    if (!(*found)[i].is_object()) {
      return fail(ErrorCode::invalid_input, "{}: expected an object", origin);
    }
    all.emplace_back((*found)[i], origin);
  }
  return all;
}

// A name that stays inside the artifact's directory.
bool is_inside(const std::string& name) {
  const fs::path path(name);
  return !name.empty() && path.is_relative() && name.find('\0') == std::string::npos &&
         std::ranges::none_of(path, [](const fs::path& part) {
           return part == ".." || part == "." || part.empty();
         });
}

Result<std::vector<ArtifactFile>> read_files(const JsonFields& fields) {
  std::vector<ArtifactFile> files;
  for (const JsonFields& entry : LOTSE_TRY(objects(fields, "files"))) {
    ArtifactFile file;
    file.name = LOTSE_TRY(entry.string_or("name", ""));
    if (!is_inside(file.name)) {
      return fail(ErrorCode::invalid_input,
                  "{}: field \"name\": expected a path inside the directory", entry.origin());
    }
    file.hashes.bytes = LOTSE_TRY(entry.required_integer("bytes", 0, kMaxSize));
    file.hashes.sha256 = LOTSE_TRY(entry.string_or("sha256", ""));
    file.hashes.chunks = LOTSE_TRY(read_chunk_hashes(entry));
    files.push_back(std::move(file));
  }
  return files;
}

Result<std::vector<TensorReport>> read_tensors(const JsonFields& fields) {
  std::vector<TensorReport> tensors;
  for (const JsonFields& entry : LOTSE_TRY(objects(fields, "tensors"))) {
    TensorReport tensor;
    tensor.name = LOTSE_TRY(entry.string_or("name", ""));
    tensor.from = LOTSE_TRY(entry.string_or("from", ""));
    tensor.to = LOTSE_TRY(entry.string_or("to", ""));
    tensor.bytes_in = LOTSE_TRY(entry.required_integer("bytes_in", 0, kMaxSize));
    tensor.bytes_out = LOTSE_TRY(entry.required_integer("bytes_out", 0, kMaxSize));
    tensor.error.relative_rms = LOTSE_TRY(entry.required_number("relative_error"));
    tensor.error.cosine = LOTSE_TRY(entry.required_number("cosine"));
    tensor.error.max_abs = LOTSE_TRY(entry.required_number("max_error"));
    tensor.note = LOTSE_TRY(entry.string_or("note", ""));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<Manifest> read_fields(const JsonFields& fields) {
  const int64_t format = LOTSE_TRY(fields.required_integer("format", 0, kMaxSize));
  if (format != kFormat) {
    return fail(ErrorCode::unsupported, "{}: format {}, but this Lotse reads {}: port again",
                fields.origin(), format, kFormat);
  }
  Manifest manifest;
  manifest.lotse = LOTSE_TRY(fields.string_or("lotse", ""));
  manifest.is_complete = LOTSE_TRY(fields.boolean_or("complete", false));
  manifest.target = LOTSE_TRY(fields.string_or("target", ""));
  manifest.quant = LOTSE_TRY(fields.string_or("quant", ""));
  manifest.group = LOTSE_TRY(fields.integer_or("group", 0, 0, kMaxSize));
  manifest.dtype = LOTSE_TRY(fields.string_or("dtype", ""));
  manifest.plan = LOTSE_TRY(fields.string_or("plan", ""));
  const auto source = LOTSE_TRY(fields.object("source"));
  if (!source) return fail(ErrorCode::invalid_input, "{}: source is missing", fields.origin());
  manifest.source = LOTSE_TRY(source->string_or("name", ""));
  manifest.source_files = LOTSE_TRY(read_files(*source));
  manifest.files = LOTSE_TRY(read_files(fields));
  manifest.tensors = LOTSE_TRY(read_tensors(fields));
  return manifest;
}

Result<void> check_file(const fs::path& directory, const ArtifactFile& file, CheckDepth depth) {
  const std::string path = (directory / file.name).string();
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_input, "{}: missing: {} lists it; port again", path,
                kManifestName);
  }
  if (status.st_size != file.hashes.bytes) {
    return fail(ErrorCode::invalid_input, "{}: {} bytes, but {} says {}; port again", path,
                static_cast<int64_t>(status.st_size), kManifestName, file.hashes.bytes);
  }
  if (depth == CheckDepth::sizes) return {};
  const FileHashes actual = LOTSE_TRY(hash_file(path));
  if (actual == file.hashes) return {};
  return fail(
      ErrorCode::invalid_input,
      "{}: its content has SHA-256 {}, but {} says {}; it was changed or damaged: port again", path,
      actual.sha256, kManifestName, file.hashes.sha256);
}

// Files that a reader would take for part of the model.
Result<void> check_strangers(const fs::path& directory, const Manifest& manifest) {
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const std::string extension = it->path().extension().string();
    const bool is_model_file =
        extension == ".safetensors" || extension == ".json" || extension == ".jinja";
    const bool is_listed =
        name == kManifestName || std::ranges::any_of(manifest.files, [&](const ArtifactFile& file) {
          return file.name == name;
        });
    if (is_model_file && !is_listed) {
      return fail(ErrorCode::invalid_input, "{}: not listed in {}; move it elsewhere",
                  it->path().string(), kManifestName);
    }
  }
  if (error) return fail(ErrorCode::io, "{}: {}", directory.string(), error.message());
  return {};
}

}  // namespace

std::string render_manifest(const Manifest& manifest) {
  Json json = json_of(manifest, true);
  const std::string text = manifest_text(json);
  json["sha256"] = sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
  return manifest_text(json);
}

Result<Manifest> parse_manifest(std::string_view text, const std::string& origin) {
  const Json json = LOTSE_TRY(parse_json(text, origin));
  if (!json.is_object()) return fail(ErrorCode::invalid_input, "{}: expected an object", origin);
  Manifest manifest = LOTSE_TRY(read_fields(JsonFields(json, origin)));
  if (render_manifest(manifest) == text) return manifest;
  return fail(ErrorCode::invalid_input,
              "{}: field \"sha256\" does not fit its content: it was changed; port again", origin);
}

Result<Manifest> read_manifest(const fs::path& directory) {
  const fs::path path = directory / kManifestName;
  const std::string text = LOTSE_TRY(read_text_file(path, kMaxManifest));
  return parse_manifest(text, path.string());
}

Json manifest_report(const Manifest& manifest) {
  Json json = json_of(manifest, false);
  int64_t in = 0;
  int64_t out = 0;
  for (const TensorReport& tensor : manifest.tensors) {
    in += tensor.bytes_in;
    out += tensor.bytes_out;
  }
  json["bytes_in"] = in;
  json["bytes_out"] = out;
  json["ratio"] = in > 0 ? static_cast<double>(out) / static_cast<double>(in) : 1;
  return json;
}

Result<Manifest> check_artifact(const fs::path& directory, CheckDepth depth) {
  Manifest manifest = LOTSE_TRY(read_manifest(directory));
  if (!manifest.is_complete) {
    return fail(ErrorCode::invalid_input,
                "{}: a port that was not finished; run `lotse port` again to finish it",
                directory.string());
  }
  for (const ArtifactFile& file : manifest.files) {
    LOTSE_TRY(check_file(directory, file, depth));
  }
  LOTSE_TRY(check_strangers(directory, manifest));
  return manifest;
}

}  // namespace lotse
