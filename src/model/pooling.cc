#include "model/pooling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxTokens = int64_t{1} << 28;

// 1_Pooling/config.json: `pooling_mode` in words, or one flag a mode.
Result<Pooling> read_pooling(const fs::path& path) {
  const Json json = LOTSE_TRY(read_json_file(path.string()));
  const JsonFields fields(json, path.string());
  std::optional<Pooling> chosen;
  constexpr std::array<std::pair<const char*, Pooling>, 3> kModes = {{
      {"pooling_mode_cls_token", Pooling::cls},
      {"pooling_mode_mean_tokens", Pooling::mean},
      {"pooling_mode_lasttoken", Pooling::last},
  }};
  if (const auto mode = LOTSE_TRY(fields.string("pooling_mode"))) {
    chosen = pooling_from_name(*mode == "lasttoken" ? "last" : *mode);
    if (chosen) return *chosen;
  } else {
    bool is_single = true;
    for (const auto& [key, value] : json.items()) {
      if (!key.starts_with("pooling_mode_") || value != true) continue;
      const auto known =
          std::ranges::find(kModes, key, [](const auto& entry) { return entry.first; });
      is_single = is_single && !chosen && known != kModes.end();
      if (known != kModes.end()) chosen = known->second;
    }
    if (chosen && is_single) return *chosen;
  }
  return fail(ErrorCode::unsupported,
              "{}: expected one pooling of cls, mean and last token; others, and several at once, "
              "are not supported",
              path.string());
}

// The last part of a module's type: "sentence_transformers.models.Pooling".
std::string kind_of(const std::string& type) { return type.substr(type.rfind('.') + 1); }

Result<void> read_module(const JsonFields& module, const fs::path& directory,
                         EmbeddingConfig& config) {
  const std::string type = LOTSE_TRY(module.string_or("type", ""));
  const std::string kind = kind_of(type);
  if (kind == "Transformer") return {};
  if (kind == "Normalize") {
    config.normalise = true;
    return {};
  }
  if (kind == "Pooling") {
    const std::string folder = LOTSE_TRY(module.string_or("path", "1_Pooling"));
    const fs::path relative = fs::path(folder).lexically_normal();
    if (relative.is_absolute() || *relative.begin() == "..") {
      return fail(ErrorCode::invalid_input, "{}: field \"path\": expected a folder beside the file",
                  module.origin());
    }
    config.pooling = LOTSE_TRY(read_pooling(directory / relative / "config.json"));
    return {};
  }
  return fail(ErrorCode::unsupported,
              "{}: field \"type\": \"{}\" is not supported; known are Transformer, Pooling and "
              "Normalize",
              module.origin(), type.substr(0, 80));
}

}  // namespace

const char* name(Pooling pooling) {
  switch (pooling) {
    case Pooling::last:
      return "last";
    case Pooling::mean:
      return "mean";
    case Pooling::cls:
      return "cls";
  }
  return "unknown";
}

std::optional<Pooling> pooling_from_name(std::string_view name) {
  for (const Pooling pooling : {Pooling::last, Pooling::mean, Pooling::cls}) {
    if (name == lotse::name(pooling)) return pooling;
  }
  return std::nullopt;
}

Result<std::optional<EmbeddingConfig>> read_embedding_config(const fs::path& directory) {
  const fs::path modules = directory / "modules.json";
  if (!fs::exists(modules)) return std::optional<EmbeddingConfig>();
  const Json list = LOTSE_TRY(read_json_file(modules.string()));
  if (!list.is_array()) {
    return fail(ErrorCode::invalid_input, "{}: expected a list of modules", modules.string());
  }
  EmbeddingConfig config{Pooling::mean, false, 0};
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string origin = fmt::format("{}: [{}]", modules.string(), i);
    if (!list[i].is_object())
      return fail(ErrorCode::invalid_input, "{}: expected an object", origin);
    LOTSE_TRY(read_module(JsonFields(list[i], origin), directory, config));
  }
  const fs::path limits = directory / "sentence_bert_config.json";
  if (fs::exists(limits)) {
    const Json json = LOTSE_TRY(read_json_file(limits.string()));
    const JsonFields fields(json, limits.string());
    config.max_tokens = LOTSE_TRY(fields.integer_or("max_seq_length", 0, 1, kMaxTokens));
  }
  return config;
}

}  // namespace lotse
