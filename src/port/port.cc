#include "port/port.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/mmap.h"
#include "base/thread_pool.h"
#include "checkpoint/safetensors_writer.h"
#include "port/gguf_companions.h"
#include "port/tensor_writer.h"
#include "port/workspace.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

// Files beside the weights that an artifact takes over, byte for byte.
constexpr std::array<std::string_view, 18> kCompanions = {"tokenizer.json",
                                                          "tokenizer_config.json",
                                                          "tokenizer.model",
                                                          "vocab.json",
                                                          "merges.txt",
                                                          "vocab.txt",
                                                          "special_tokens_map.json",
                                                          "added_tokens.json",
                                                          "chat_template.jinja",
                                                          "chat_template.json",
                                                          "generation_config.json",
                                                          "modules.json",
                                                          "sentence_bert_config.json",
                                                          "config_sentence_transformers.json",
                                                          "1_Pooling/config.json",
                                                          "LICENSE",
                                                          "LICENSE.txt",
                                                          "NOTICE"};
constexpr const char* kTemplates = "additional_chat_templates";
constexpr int64_t kMaxCompanion = int64_t{256} << 20;

// Their names relative to the model's folder, sorted.
std::vector<std::string> companions(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const std::string_view name : kCompanions) {
    if (fs::is_regular_file(folder / name, ignored)) names.emplace_back(name);
  }
  for (const auto& entry : fs::directory_iterator(folder / kTemplates, ignored)) {
    if (entry.path().extension() == ".jinja") {
      names.push_back(fmt::format("{}/{}", kTemplates, entry.path().filename().string()));
    }
  }
  std::ranges::sort(names);
  return names;
}

std::vector<TensorInfo> outputs_of(const PlannedShard& shard) {
  std::vector<TensorInfo> infos;
  for (const PlannedTensor& tensor : shard.tensors) {
    infos.insert(infos.end(), tensor.outputs.begin(), tensor.outputs.end());
  }
  return infos;
}

Result<std::string> header_of(const PlannedShard& shard) {
  return write_safetensors_header(outputs_of(shard), {{"format", "pt"}});
}

// Digest of what decides the output's bytes, but for the source's bytes. `others` are the names of
// the files beside config and weights.
Result<std::string> plan_digest(const PortPlan& plan, const std::vector<std::string>& others) {
  std::string text =
      fmt::format("{} {} {} {} {}\n{}\n{}\n", LOTSE_VERSION, plan.target, name(plan.quant),
                  plan.group, name(plan.dtype), plan.config, fmt::join(others, "\n"));
  for (const PlannedShard& shard : plan.shards) {
    text += fmt::format("{}\n{}\n", shard.file, LOTSE_TRY(header_of(shard)));
    for (const PlannedTensor& tensor : shard.tensors) {
      text += fmt::format("{} {} {}\n", tensor.source.name,
                          fs::path(tensor.source.file).filename().string(),
                          tensor.format ? name(*tensor.format) : "copied");
    }
  }
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

class Porter {
 public:
  Porter(const PortRequest& request, const Checkpoint& checkpoint, PortPlan plan)
      : request_(request),
        checkpoint_(checkpoint),
        plan_(std::move(plan)),
        calls_(request.calls == nullptr ? FileCalls::system() : *request.calls),
        pool_(request.threads > 0 ? request.threads : available_cores()) {}

  Result<PortResult> run();

 private:
  Result<void> describe();
  Result<void> extract_companions();
  Result<bool> is_same_port(const Manifest& earlier);
  Result<PortResult> existing(const Workspace& workspace);
  Result<void> resume_or_start(Workspace& workspace);
  Result<bool> can_resume(const Workspace& workspace, const Manifest& earlier);
  Result<void> write_shards(Workspace& workspace);
  Result<void> write_shard(const Workspace& workspace, const PlannedShard& shard);
  Result<void> write_small_files(Workspace& workspace);
  Result<void> write_text(const Workspace& workspace, const std::string& name,
                          std::string_view text);
  Result<void> save_manifest(const Workspace& workspace);
  // The hashes of a source file, computed once.
  Result<const FileHashes*> hash_source(const std::string& path);
  Result<void> hash_sources_of(const PlannedShard& shard);
  Result<void> hash_all_sources();
  bool is_finished(const std::string& name) const;
  void advance(int64_t bytes, std::string_view what);

  const PortRequest& request_;
  const Checkpoint& checkpoint_;
  PortPlan plan_;
  FileCalls& calls_;
  ThreadPool pool_;
  fs::path folder_;  // that holds the model's files
  std::vector<std::string> companions_;
  std::vector<Companion> extracted_;  // from a GGUF file without them
  Manifest manifest_;
  int64_t resumed_ = 0;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

void Porter::advance(int64_t bytes, std::string_view what) {
  done_ += bytes;
  if (request_.progress) request_.progress(std::min(done_, total_), total_, what);
}

bool Porter::is_finished(const std::string& name) const {
  return std::ranges::any_of(manifest_.files,
                             [&](const ArtifactFile& file) { return file.name == name; });
}

// Each source file is hashed right before its first tensor is used, so that it is read from the
// disk once where memory allows.
Result<const FileHashes*> Porter::hash_source(const std::string& path) {
  const std::string name = fs::path(path).lexically_relative(folder_).generic_string();
  const auto known = std::ranges::find(manifest_.source_files, name, &ArtifactFile::name);
  if (known != manifest_.source_files.end()) return &known->hashes;
  FileHashes hashes =
      LOTSE_TRY(hash_file(path, [&](int64_t bytes) { advance(bytes, "hashing " + name); }));
  hashes.chunks.clear();
  manifest_.source_files.push_back({name, std::move(hashes)});
  return &manifest_.source_files.back().hashes;
}

Result<void> Porter::hash_sources_of(const PlannedShard& shard) {
  for (const PlannedTensor& tensor : shard.tensors) {
    LOTSE_TRY(hash_source(tensor.source.file));
    if (!tensor.source.is_quantised()) continue;
    LOTSE_TRY(hash_source(checkpoint_.weights->find(tensor.source.scales)->file));
  }
  return {};
}

Result<void> Porter::hash_all_sources() {
  for (const TensorInfo& info : checkpoint_.weights->tensors()) LOTSE_TRY(hash_source(info.file));
  std::error_code ignored;
  if (fs::is_regular_file(checkpoint_.config_origin, ignored)) {
    LOTSE_TRY(hash_source(checkpoint_.config_origin));
  }
  for (const std::string& name : companions_) LOTSE_TRY(hash_source((folder_ / name).string()));
  std::ranges::sort(manifest_.source_files, {}, &ArtifactFile::name);
  return {};
}

// Fills the manifest's head and the total of the work.
Result<void> Porter::describe() {
  manifest_.lotse = LOTSE_VERSION;
  manifest_.target = plan_.target;
  manifest_.quant = name(plan_.quant);
  manifest_.group = plan_.group;
  manifest_.dtype = name(plan_.dtype);
  std::error_code error;
  const fs::path model = fs::weakly_canonical(request_.model, error);
  folder_ = fs::is_directory(request_.model, error) ? request_.model : request_.model.parent_path();
  manifest_.source = model.filename().string();
  companions_ = companions(folder_);
  LOTSE_TRY(extract_companions());
  std::vector<std::string> names = companions_;
  for (const Companion& companion : extracted_) names.push_back(companion.name);
  manifest_.plan = LOTSE_TRY(plan_digest(plan_, names));
  for (const TensorInfo& info : checkpoint_.weights->tensors()) total_ += 2 * info.bytes;
  return {};
}

// A GGUF file holds its tokenizer; the files of a tokenizer that stand beside it go before.
Result<void> Porter::extract_companions() {
  const auto is_beside = [&](std::string_view name) {
    return std::ranges::find(companions_, name) != companions_.end();
  };
  if (!checkpoint_.gguf_vocab || is_beside("tokenizer.json")) return {};
  extracted_ = LOTSE_TRY(gguf_companions(*checkpoint_.gguf_vocab));
  std::erase_if(extracted_, [&](const Companion& companion) { return is_beside(companion.name); });
  return {};
}

// Whether every source file that `earlier` names has the content it had then.
Result<bool> Porter::is_same_port(const Manifest& earlier) {
  if (earlier.plan != manifest_.plan) return false;
  for (const ArtifactFile& file : earlier.source_files) {
    const fs::path path = folder_ / file.name;
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return false;
    const FileHashes* current = LOTSE_TRY(hash_source(path.string()));
    if (current->sha256 != file.hashes.sha256) return false;
  }
  return true;
}

Result<PortResult> Porter::existing(const Workspace& workspace) {
  const auto earlier = check_artifact(workspace.out());
  if (earlier && LOTSE_TRY(is_same_port(*earlier))) return PortResult{*earlier, true, 0};
  const std::string why = earlier ? "is another port or a port of other files"
                                  : "is not a valid artifact (" + earlier.error().message + ")";
  return fail(ErrorCode::invalid_input,
              "{}: exists and {}; it is left as it is: remove it or name another folder",
              workspace.out().string(), why);
}

Result<bool> Porter::can_resume(const Workspace& workspace, const Manifest& earlier) {
  if (!LOTSE_TRY(is_same_port(earlier))) return false;
  for (const ArtifactFile& file : earlier.files) {
    const auto hashes = hash_file(workspace.directory() / file.name,
                                  [&](int64_t) { advance(0, "checking " + file.name); });
    if (!hashes || *hashes != file.hashes) return false;
  }
  return true;
}

Result<void> Porter::resume_or_start(Workspace& workspace) {
  const auto earlier = LOTSE_TRY(workspace.interrupted());
  if (earlier && LOTSE_TRY(can_resume(workspace, *earlier))) {
    LOTSE_TRY(workspace.remove_unfinished(*earlier));
    manifest_.files = earlier->files;
    manifest_.tensors = earlier->tensors;
    resumed_ = std::ranges::count_if(manifest_.files, [](const ArtifactFile& file) {
      return file.name.ends_with(".safetensors");
    });
    return {};
  }
  LOTSE_TRY(workspace.start_afresh());
  return save_manifest(workspace);
}

Result<void> Porter::save_manifest(const Workspace& workspace) {
  return write_file_atomically(workspace.directory() / kManifestName, render_manifest(manifest_),
                               calls_);
}

Result<void> Porter::write_shard(const Workspace& workspace, const PlannedShard& shard) {
  LOTSE_TRY(hash_sources_of(shard));
  HashedFile file = LOTSE_TRY(HashedFile::create(workspace.directory() / shard.file, calls_));
  LOTSE_TRY(file.write(LOTSE_TRY(header_of(shard))));
  std::vector<TensorReport> reports;
  for (const PlannedTensor& tensor : shard.tensors) {
    reports.push_back(
        LOTSE_TRY(write_tensor(*checkpoint_.weights, tensor, plan_.group, pool_, file,
                               [&](int64_t bytes) { advance(bytes, tensor.source.name); })));
  }
  manifest_.files.push_back({shard.file, LOTSE_TRY(file.commit())});
  manifest_.tensors.insert(manifest_.tensors.end(), reports.begin(), reports.end());
  return {};
}

Result<void> Porter::write_shards(Workspace& workspace) {
  for (const PlannedShard& shard : plan_.shards) {
    if (is_finished(shard.file)) {
      for (const PlannedTensor& tensor : shard.tensors) done_ += tensor.source.bytes;
      continue;
    }
    LOTSE_TRY(write_shard(workspace, shard));
    LOTSE_TRY(save_manifest(workspace));
  }
  return {};
}

Result<void> Porter::write_text(const Workspace& workspace, const std::string& name,
                                std::string_view text) {
  if (is_finished(name)) return {};
  HashedFile file = LOTSE_TRY(HashedFile::create(workspace.directory() / name, calls_));
  LOTSE_TRY(file.write(text));
  manifest_.files.push_back({name, LOTSE_TRY(file.commit())});
  return {};
}

Result<void> Porter::write_small_files(Workspace& workspace) {
  LOTSE_TRY(write_text(workspace, "config.json", plan_.config));
  if (!plan_.index.empty()) {
    LOTSE_TRY(write_text(workspace, "model.safetensors.index.json", plan_.index));
  }
  for (const std::string& name : companions_) {
    const std::string folder = fs::path(name).parent_path().string();
    if (!folder.empty()) LOTSE_TRY(workspace.make_folder(folder));
    const std::string text = LOTSE_TRY(read_text_file(folder_ / name, kMaxCompanion));
    LOTSE_TRY(write_text(workspace, name, text));
  }
  for (const auto& [name, text] : extracted_) LOTSE_TRY(write_text(workspace, name, text));
  return {};
}

Result<PortResult> Porter::run() {
  LOTSE_TRY(describe());
  Workspace workspace = LOTSE_TRY(Workspace::lock(request_.out, request_.model, calls_));
  if (workspace.out_exists()) return existing(workspace);
  LOTSE_TRY(resume_or_start(workspace));
  LOTSE_TRY(write_shards(workspace));
  LOTSE_TRY(write_small_files(workspace));
  LOTSE_TRY(hash_all_sources());
  manifest_.is_complete = true;
  LOTSE_TRY(save_manifest(workspace));
  LOTSE_TRY(check_artifact(workspace.directory(), CheckDepth::sizes));
  LOTSE_TRY(workspace.publish());
  return PortResult{std::move(manifest_), false, resumed_};
}

}  // namespace

Result<PortResult> port_model(const PortRequest& request, const ChipProfile& chip) {
  const Checkpoint checkpoint = LOTSE_TRY(open_checkpoint(request.model));
  PortPlan plan = LOTSE_TRY(plan_port(checkpoint, chip, request.options));
  return Porter(request, checkpoint, std::move(plan)).run();
}

}  // namespace lotse
