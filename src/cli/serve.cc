// lotse serve: a model behind an OpenAI-compatible API.
#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>

#include "base/mmap.h"
#include "base/toml.h"
#include "cli/cli.h"
#include "cli/kv_option.h"
#include "cli/model_sources.h"
#include "server/api.h"

namespace lotse::cli {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;
constexpr int kExitAtOnce = 130;  // as a shell reports an interrupt

struct ServeOptions {
  ModelChoice choice;
  int64_t idle_unload = 0;  // seconds
  int64_t max_loaded = 0;
  std::string config;
  HttpOptions http;
  ServingOptions serving;
  EngineOptions engine;
  std::string api_key_file;
  bool allow_unauthenticated = false;
  std::vector<std::string> cors_origins;
  std::vector<std::string> allowed_hosts;
  bool vllm_metrics = false;
  std::string otlp_endpoint;
  bool no_prefix_cache = false;
  int64_t request_timeout = 0;  // seconds
};

// Every connection needs a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<ApiOptions> api_options(const ServeOptions& options) {
  ApiOptions api;
  api.version = LOTSE_VERSION;
  if (!options.api_key_file.empty()) api.keys = LOTSE_TRY(ApiKeys::load(options.api_key_file));
  if (api.keys.empty() && !options.allow_unauthenticated && !is_loopback_host(options.http.host)) {
    return fail(ErrorCode::invalid_input,
                "--host {} can be reached from other machines: give --api-key-file, or "
                "--allow-unauthenticated if everyone there may ask",
                options.http.host);
  }
  api.cors_origins = options.cors_origins;
  api.allowed_hosts = options.allowed_hosts;
  // Keys, where there are any, are the better guard; beyond this machine names cannot be known.
  api.checks_host =
      api.keys.empty() && (is_loopback_host(options.http.host) || !options.allowed_hosts.empty());
  api.vllm_metrics = options.vllm_metrics;
  api.request_timeout = std::chrono::seconds(options.request_timeout);
  api.log = [](const std::string& line) {
    // One call, so that lines of several threads do not mix.
    fmt::print(stderr, "{}\n", line);
  };
  return api;
}

// Null when no collector was named. Secrets of its headers come by the environment.
Result<std::unique_ptr<SpanExporter>> span_exporter(const ServeOptions& options) {
  if (options.otlp_endpoint.empty()) return std::unique_ptr<SpanExporter>();
  SpanExporterOptions exporter;
  exporter.endpoint = options.otlp_endpoint;
  exporter.version = LOTSE_VERSION;
  if (const char* name = std::getenv("OTEL_SERVICE_NAME"); name != nullptr && *name != '\0') {
    exporter.service = name;
  }
  if (const char* headers = std::getenv("OTEL_EXPORTER_OTLP_HEADERS")) {
    exporter.headers = LOTSE_TRY(parse_otlp_headers(headers));
  }
  return SpanExporter::start(std::move(exporter));
}

std::string shown_url(const ServeOptions& options, int port) {
  const bool is_v6 = options.http.host.find(':') != std::string::npos;
  return fmt::format("{}://{}:{}", options.http.tls_certificate.empty() ? "http" : "https",
                     is_v6 ? '[' + options.http.host + ']' : options.http.host, port);
}

int kernel_threads(const ServeOptions& options) {
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return options.engine.threads > 0 ? options.engine.threads : std::max(cores, 1);
}

void announce(const ServeOptions& options, const ServedModel& model, int port) {
  const Engine& engine = model.engine.engine();
  fmt::print(
      "serving {} on {}: {} ({}); {}; {} sequences at once, context {}; threads: {} for "
      "kernels, 1 for the schedule, 1 for HTTP, 1 to prepare requests\n",
      model.id, shown_url(options, port), engine.device().name(), engine.device().description(),
      engine.memory_plan().text(), options.serving.max_sequences, model.context,
      kernel_threads(options));
  std::fflush(stdout);
}

void announce_models(const ServeOptions& options, const ModelRegistry& models, int port) {
  std::string names;
  for (const auto& model : models.status()) {
    names += fmt::format("{}{}{}", names.empty() ? "" : ", ", model.id,
                         model.is_pinned ? "" : " (when asked for)");
  }
  fmt::print("serving {} on {}: threads: {} for the kernels of each\n", names,
             shown_url(options, port), kernel_threads(options));
  std::fflush(stdout);
}

bool is_pinned(const ModelRegistry& models, const std::string& id) {
  const auto all = models.status();
  const auto it = std::ranges::find(all, id, &ModelRegistry::Status::id);
  return it != all.end() && it->is_pinned;
}

void stop_on_signals(HttpServer& server, Api& api, const ModelRegistry& models) {
  server.on_signal([&](int count) {
    if (count > 1) ::_exit(kExitAtOnce);
    if (!models.is_ready()) ::_exit(kOk);  // nothing was accepted yet
    api.log("info", "draining", OrderedJson::object());
    api.drain();
    server.drain();
  });
}

// A pinned model that cannot be loaded ends the server, and is its error.
ModelEvents model_events(const ServeOptions& options, const ModelRegistry& models, Api& api,
                         HttpServer& server, std::optional<Error>& failure) {
  ModelEvents events;
  events.loaded = [&](const ServedModel& model, double seconds) {
    api.log("info", "loaded", {{"model", model.id}, {"seconds", seconds}});
    if (options.choice.models.size() == 1) {
      announce(options, model, server.port());
    } else if (is_pinned(models, model.id) && models.is_ready()) {
      announce_models(options, models, server.port());
    }
  };
  events.unloaded = [&](const std::string& id) { api.log("info", "unloaded", {{"model", id}}); };
  events.failed = [&](const std::string& id, const Error& error) {
    api.log("error", "not_loaded", {{"model", id}, {"error", error.message}});
    if (!is_pinned(models, id)) return;
    failure = error;
    server.stop();
  };
  return events;
}

Result<int> serve(const ServeOptions& options) {
  ModelRegistry models(
      LOTSE_TRY(model_sources(options.choice, options.engine, options.serving)),
      {.idle_unload = std::chrono::seconds(options.idle_unload), .max_loaded = options.max_loaded});
  ApiOptions wanted = LOTSE_TRY(api_options(options));
  const auto spans = LOTSE_TRY(span_exporter(options));
  wanted.spans = spans.get();
  Api api(std::move(wanted), models);
  raise_descriptor_limit();
  const auto server = LOTSE_TRY(HttpServer::listen(options.http, api));
  stop_on_signals(*server, api, models);
  std::optional<Error> failure;
  models.start(model_events(options, models, api, *server, failure));
  if (models.is_ready()) announce_models(options, models, server->port());
  server->run();
  models.drain();
  if (failure) return std::unexpected(*failure);
  api.log("info", "stopped", OrderedJson::object());
  return kOk;
}

// Options of a TOML file, where neither flag nor environment gave them.
Result<void> read_config(CLI::App& app, const std::string& path) {
  const std::string text = LOTSE_TRY(read_text_file(path, kMaxConfigBytes));
  const toml::table table = LOTSE_TRY(parse_toml(text, path));
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    CLI::Option* option = app.get_option_no_throw("--" + name);
    if (option == nullptr || name == "config" || name == "help") {
      return fail(ErrorCode::invalid_input, "{}: there is no option \"{}\"", path, name);
    }
    if (option->count() > 0) continue;
    const auto add = [&](const toml::node& value) {
      if (const auto string = value.value<std::string>()) {
        option->add_result(*string);
      } else if (const auto flag = value.as_boolean()) {
        option->add_result(flag->get() ? "true" : "false");
      } else if (const auto integer = value.as_integer()) {
        option->add_result(std::to_string(integer->get()));
      }
    };
    if (const toml::array* array = node.as_array()) {
      for (const toml::node& item : *array) add(item);
    } else {
      add(node);
    }
    try {
      option->run_callback();
    } catch (const CLI::Error& error) {
      return fail(ErrorCode::invalid_input, "{}: {}: {}", path, name, error.what());
    }
  }
  return {};
}

// LOTSE_SERVE_API_KEY_FILE for --api-key-file.
void name_environment(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames().front() == "help") continue;
    std::string name = "LOTSE_SERVE_" + option->get_lnames().front();
    for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    option->envname(name);
  }
}

void add_network_options(CLI::App& app, ServeOptions& o) {
  app.add_option("--host", o.http.host, "IP address to listen on")->capture_default_str();
  app.add_option("--port", o.http.port, "Port; 0: any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--api-key-file", o.api_key_file, "File of API keys, one a line");
  app.add_flag("--allow-unauthenticated", o.allow_unauthenticated,
               "Listen beyond this machine without a key");
  app.add_option("--tls-cert", o.http.tls_certificate, "Certificate chain (PEM): serve HTTPS");
  app.add_option("--tls-key", o.http.tls_key, "Its private key (PEM)");
  app.add_option("--cors-origin", o.cors_origins, "Origin whose pages may ask; * for all");
  app.add_option("--allowed-host", o.allowed_hosts,
                 "Name by which a server without keys may be asked, besides localhost");
  app.add_option("--max-body-bytes", o.http.max_body_bytes, "Largest request")
      ->check(CLI::Range(int64_t{1024}, int64_t{1} << 30))
      ->capture_default_str();
  app.add_option("--max-connections", o.http.max_connections, "Connections at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option_function<int64_t>(
         "--write-timeout",
         [&o](int64_t seconds) { o.http.write_timeout = std::chrono::seconds(seconds); },
         "Seconds until a client that does not read is dropped; default 30")
      ->check(CLI::Range(1, 3600));
  app.add_option("--request-timeout", o.request_timeout, "Most seconds for an answer; 0: no limit")
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->capture_default_str();
  app.add_flag("--vllm-metrics", o.vllm_metrics, "Metrics under vLLM's names, too");
  app.add_option("--otlp-endpoint", o.otlp_endpoint,
                 "OpenTelemetry collector (OTLP/HTTP) that gets a trace of each request");
}

void add_engine_options(CLI::App& app, ServeOptions& o) {
  app.add_option("--device", o.engine.device, "Device to run on")->capture_default_str();
  app.add_option("--tp", o.engine.ranks,
                 "Processes that divide the model, each on a device of its own")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--threads", o.engine.threads, "Threads of kernels; 0: one a core")
      ->check(CLI::Range(0, 1024));
  app.add_option("--context", o.engine.context,
                 "Positions of one sequence; default: the model's, or what fits")
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 24));
  app.add_option("--cache-tokens", o.engine.cache_tokens,
                 "Positions of all sequences together; default: what fits")
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 32));
  add_kv_dtype(app, o.engine.cache_type);
  app.add_option("--max-sequences", o.serving.max_sequences, "Sequences that run at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  app.add_option("--max-queued", o.serving.max_queued, "Requests that may wait; then 429")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option("--max-queued-tokens", o.serving.max_queued_tokens,
                 "Tokens of prompts that may wait; then 429")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32))
      ->capture_default_str();
  app.add_option("--step-tokens", o.serving.step_tokens, "Most tokens in one step")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--pooling", [&o](const std::string& name) { o.engine.pooling = pooling_from_name(name); },
         "Which hidden states make embeddings; default: the checkpoint's, else the last")
      ->check(CLI::IsMember({"last", "mean", "cls"}));
  app.add_option("--draft-tokens", o.serving.draft_tokens,
                 "Tokens guessed ahead and checked in one step; 0: none. Default 4 with "
                 "--draft-model, else 0; without one, from the sequence's own past")
      ->check(CLI::Range(int64_t{0}, int64_t{64}));
  app.add_option("--draft-model", o.choice.draft_model,
                 "Smaller model with the same tokens that guesses what this one will say");
  app.add_option_function<std::string>(
         "--draft-rule",
         [&o](const std::string& name) {
           o.serving.draft_rule = name == "rejection" ? DraftRule::rejection : DraftRule::seeded;
         },
         "Which guesses hold above temperature 0. seeded: those that leave the answer as it "
         "is without them; rejection: more, the distribution of answers being the same")
      ->check(CLI::IsMember({"seeded", "rejection"}))
      ->default_str("seeded");
  app.add_flag("--no-prefix-cache", o.no_prefix_cache, "Compute every prompt anew");
  std::vector<std::string> formats;
  for (const std::string_view name : call_format_names()) formats.emplace_back(name);
  app.add_option("--tool-format", o.choice.tool_format,
                 "How the model writes calls of tools; default: as its chat template shows")
      ->check(CLI::IsMember(formats));
}

}  // namespace

void add_serve(Commands& commands) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* app = commands.add(
      "serve", "Serve a model to OpenAI's clients over HTTP",
      "  lotse serve lotse-nano\n"
      "  lotse serve small=Qwen/Qwen3-0.6B large=Qwen/Qwen3-8B --pin small --idle-unload 600\n"
      "  lotse serve Qwen/Qwen3-0.6B --host 0.0.0.0 --api-key-file keys.txt\n"
      "  LOTSE_SERVE_PORT=9000 lotse serve lotse-nano --config serve.toml\n"
      "Each option may be given as LOTSE_SERVE_OPTION_NAME or, by its name, in a TOML file.\n");
  app->add_option("MODEL,--model", options->choice.models,
                  "Path, name in the models directory, or ORG/MODEL; NAME=MODEL to give the name "
                  "by which requests ask for it");
  app->add_option("--pin", options->choice.pinned,
                  "Of several models, one that is loaded at the start and stays; the others are "
                  "loaded when they are asked for");
  app->add_option(
      "--lora", options->choice.adapters,
      "[MODEL:]NAME=DIRECTORY: a LoRA adapter as PEFT saves one; requests ask for it by "
      "its name, in place of the model's (default: the first)");
  app->add_option("--idle-unload", options->idle_unload,
                  "Seconds without a request until a model is unloaded; 0: never")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->capture_default_str();
  app->add_option("--max-loaded", options->max_loaded,
                  "Models loaded at once; 0: as many as fit. Idle ones make room for others")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  app->add_option("--config", options->config, "TOML file with options");
  add_network_options(*app, *options);
  add_engine_options(*app, *options);
  name_environment(*app);
  app->callback([&commands, app, options] {
    commands.action = [app, options]() -> Result<int> {
      if (!options->config.empty()) LOTSE_TRY(read_config(*app, options->config));
      if (options->choice.models.empty()) {
        return fail(ErrorCode::invalid_input,
                    "no MODEL was given; `lotse serve lotse-nano` serves "
                    "the bundled one");
      }
      if (options->choice.models.size() > 1 && !options->choice.draft_model.empty()) {
        return fail(ErrorCode::invalid_input, "--draft-model goes with one MODEL; {} were given",
                    options->choice.models.size());
      }
      if (options->http.host == "localhost") options->http.host = "127.0.0.1";
      options->serving.prefix_cache = !options->no_prefix_cache;
      const bool is_open = app->get_option("--draft-tokens")->count() == 0;
      if (!options->choice.draft_model.empty() && is_open) options->serving.draft_tokens = 4;
      return serve(*options);
    };
  });
}

}  // namespace lotse::cli
