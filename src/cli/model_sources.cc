#include "cli/model_sources.h"

#include <algorithm>

#include "cli/find_model.h"
#include "engine/model_drafter.h"

namespace lotse::cli {
namespace {

namespace fs = std::filesystem;

struct NamedModel {
  std::string id;
  fs::path path;
  std::vector<AdapterSource> adapters = {};
  std::optional<fs::path> draft = {};
  std::string tool_format = {};
};

struct EngineAndDrafter {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Drafter> drafter;  // null without a draft model
};

Result<EngineAndDrafter> open_engine(const NamedModel& named, const EngineOptions& options,
                                     const ServingOptions& serving) {
  if (!named.draft) return EngineAndDrafter{LOTSE_TRY(Engine::open(named.path, options)), nullptr};
  TargetAndDraft models = LOTSE_TRY(open_with_draft(named.path, *named.draft, options));
  return EngineAndDrafter{
      std::move(models.target),
      make_model_drafter(std::move(models.draft), serving.draft_rule, serving.prefix_cache)};
}

Result<LoadedModel> load(const NamedModel& named, EngineOptions engine_options,
                         const ServingOptions& serving_options) {
  engine_options.max_sequences = serving_options.max_sequences;
  engine_options.adapters = named.adapters;
  auto [engine, drafter] = LOTSE_TRY(open_engine(named, engine_options, serving_options));
  if (engine->tokenizer() == nullptr) {
    return fail(ErrorCode::not_found, "{}: the model has no tokenizer.json, so it cannot read text",
                named.path.string());
  }
  LoadedModel loaded{ServingEngine::start(std::move(engine), serving_options, std::move(drafter)),
                     {}};
  loaded.models.push_back(served_model(named.id, *loaded.engine));
  if (!named.tool_format.empty()) {
    loaded.models.front().output_format.calls = find_call_format(named.tool_format);
  }
  for (const AdapterSource& adapter : named.adapters) {
    ServedModel model = loaded.models.front();
    model.id = adapter.name;
    model.adapter = static_cast<int32_t>(loaded.models.size());
    loaded.models.push_back(std::move(model));
  }
  return loaded;
}

// The last component of a path, or ORG/MODEL as it was given.
std::string default_name(const std::string& model, const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(model, ignored)) return model;
  const auto canonical = fs::weakly_canonical(path, ignored);
  return canonical.stem().empty() ? model : canonical.filename().string();
}

Result<NamedModel> find_named(const std::string& given) {
  const size_t equals = given.find('=');
  const bool is_named = equals != std::string::npos && equals < given.find('/');
  const std::string model = is_named ? given.substr(equals + 1) : given;
  fs::path path = LOTSE_TRY(find_model(model));
  return NamedModel{is_named ? given.substr(0, equals) : default_name(model, path), path};
}

Result<void> add_adapter_source(const std::string& given, std::vector<NamedModel>& models) {
  const size_t equals = given.find('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(ErrorCode::invalid_input, "--lora {}: expected NAME=DIRECTORY", given);
  }
  std::string name = given.substr(0, equals);
  NamedModel* base = &models.front();
  if (const size_t colon = name.find(':'); colon != std::string::npos) {
    const std::string wanted = name.substr(0, colon);
    const auto it = std::ranges::find(models, wanted, &NamedModel::id);
    if (it == models.end()) {
      return fail(ErrorCode::invalid_input, "--lora {}: no model has the name \"{}\"", given,
                  wanted);
    }
    base = &*it;
    name.erase(0, colon + 1);
  }
  base->adapters.push_back({name, given.substr(equals + 1)});
  return {};
}

Result<void> expect_distinct(const std::vector<ModelSource>& sources) {
  std::vector<std::string> names;
  for (const ModelSource& source : sources) {
    names.push_back(source.id);
    names.insert(names.end(), source.adapters.begin(), source.adapters.end());
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice == names.end()) return {};
  return fail(ErrorCode::invalid_input,
              "two models have the name \"{}\"; NAME=MODEL gives one another", *twice);
}

}  // namespace

Result<std::vector<ModelSource>> model_sources(const ModelChoice& choice,
                                               const EngineOptions& engine,
                                               const ServingOptions& serving) {
  std::vector<NamedModel> models;
  for (const std::string& given : choice.models) {
    models.push_back(LOTSE_TRY(find_named(given)));
    models.back().tool_format = choice.tool_format;
  }
  if (models.empty()) return fail(ErrorCode::invalid_input, "no model was given");
  if (!choice.draft_model.empty()) models.front().draft = LOTSE_TRY(find_model(choice.draft_model));
  for (const std::string& given : choice.adapters) LOTSE_TRY(add_adapter_source(given, models));
  for (const std::string& name : choice.pinned) {
    if (std::ranges::find(models, name, &NamedModel::id) != models.end()) continue;
    return fail(ErrorCode::invalid_input, "--pin {}: no model has this name", name);
  }
  std::vector<ModelSource> sources;
  for (const NamedModel& named : models) {
    const bool is_asked = std::ranges::find(choice.pinned, named.id) != choice.pinned.end();
    ModelSource source;
    source.id = named.id;
    for (const AdapterSource& adapter : named.adapters) source.adapters.push_back(adapter.name);
    source.is_pinned = is_asked || models.size() == 1;
    source.load = [named, engine, serving] { return load(named, engine, serving); };
    sources.push_back(std::move(source));
  }
  LOTSE_TRY(expect_distinct(sources));
  return sources;
}

}  // namespace lotse::cli
