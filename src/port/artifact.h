// The artifact that a port writes: an ordinary Hugging Face directory and lotse.json, which lists
// every file with its hashes and reports on every tensor. docs/artifact.md specifies it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/chunk_hashes.h"
#include "port/hashed_file.h"
#include "port/quantise.h"

namespace lotse {

struct ArtifactFile {
  std::string name;  // relative, "/" between folder and file
  FileHashes hashes;
};

struct TensorReport {
  std::string name;
  std::string from, to;  // "bf16" → "w8a8"
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  TensorError error;
  std::string note;
};

struct Manifest {
  std::string lotse;  // version that wrote it
  std::string target;
  std::string quant;
  int64_t group = 0;
  std::string dtype;  // of the weights that are not quantised
  std::string plan;   // digest of everything that decides the output, but for the source's bytes
  bool is_complete = false;
  std::string source;  // name of the model's directory or file
  std::vector<ArtifactFile> source_files;
  std::vector<ArtifactFile> files;  // all of the artifact but lotse.json itself
  std::vector<TensorReport> tensors;
};

// One text for each manifest, with a checksum of itself.
std::string render_manifest(const Manifest& manifest);
// Error: invalid_input unless `text` is exactly what render_manifest() gives.
Result<Manifest> parse_manifest(std::string_view text, const std::string& origin);
// lotse.json of a directory; not_found when there is none.
Result<Manifest> read_manifest(const std::filesystem::path& directory);

// The manifest as `--json` shows it: with totals, without the hashes of chunks.
Json manifest_report(const Manifest& manifest);

enum class CheckDepth {
  sizes,   // the manifest itself, and that its files are there with their sizes
  hashes,  // and the SHA-256 of each: any changed byte is found
};

// Whether `directory` is a complete artifact as it was written. A file that readers would take for
// part of the model but that the manifest does not list is an error too. Errors: not_found without
// lotse.json; invalid_input names the file that differs and how.
Result<Manifest> check_artifact(const std::filesystem::path& directory,
                                CheckDepth depth = CheckDepth::hashes);

}  // namespace lotse
