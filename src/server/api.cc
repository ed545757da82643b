#include "server/api.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/anthropic_format.h"
#include "server/api_call.h"
#include "server/json_text.h"
#include "server/page.h"

namespace lotse {
namespace {

constexpr size_t kMaxIdBytes = 128;
constexpr int kRetryWhileLoading = 5;
constexpr std::string_view kBearer = "Bearer ";

ApiError unavailable(std::string message, std::string code) {
  return {503, std::move(message), {}, std::move(code), kRetryWhileLoading};
}

// A client's own id, where it can do no harm in headers and logs.
bool is_plain_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

bool allows(std::string_view allowed, const std::string& method) {
  return method == allowed || (method == "HEAD" && allowed == "GET");
}

ApiError not_allowed(std::string_view path, std::string_view method) {
  return {405, fmt::format("{} takes {}", path, method), {}, "method_not_allowed"};
}

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(ms.count() / 1000),
                     ms.count() % 1000);
}

std::string span_metrics(const SpanExporter* spans) {
  if (spans == nullptr) return "";
  return fmt::format(
      "# TYPE lotse:trace_spans_total counter\n"
      "lotse:trace_spans_total{{outcome=\"exported\"}} {}\n"
      "lotse:trace_spans_total{{outcome=\"dropped\"}} {}\n",
      spans->exported(), spans->dropped());
}

bool is_json(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  while (type.ends_with(' ')) type.pop_back();
  return type == "application/json";
}

}  // namespace

Api::Api(ApiOptions options, ModelRegistry& models)
    : options_(std::move(options)),
      origin_rules_{options_.checks_host, options_.allowed_hosts, options_.keys.empty(),
                    options_.cors_origins},
      openapi_(openapi_document(options_.version)),
      models_(models) {}

void Api::log(const char* level, const char* event, const OrderedJson& fields) {
  if (!options_.log) return;
  OrderedJson line = {{"time", timestamp()}, {"level", level}, {"event", event}};
  line.update(fields);
  options_.log(to_text(line));
}

std::optional<size_t> Api::key_of(const HttpHead& head) const {
  const std::string_view authorization = head.header("authorization");
  if (authorization.starts_with(kBearer)) {
    return options_.keys.find(authorization.substr(kBearer.size()));
  }
  const std::string_view key = head.header("x-api-key");
  return key.empty() ? std::nullopt : options_.keys.find(key);
}

HttpHeaders Api::common_headers(const HttpHead& head, const std::string& id) const {
  HttpHeaders headers = {{"X-Request-Id", id}, {"X-Content-Type-Options", "nosniff"}};
  const std::string origin(head.header("origin"));
  const auto& allowed = options_.cors_origins;
  if (origin.empty() || allowed.empty()) return headers;
  const bool all = std::ranges::find(allowed, "*") != allowed.end();
  if (all || std::ranges::find(allowed, origin) != allowed.end()) {
    headers.emplace_back("Access-Control-Allow-Origin", all ? "*" : origin);
    headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  }
  if (!all) headers.emplace_back("Vary", "Origin");
  return headers;
}

// OPTIONS: what a browser asks before it sends, and who may send what.
HttpResponse Api::preflight(const HttpHead& head) const {
  HttpResponse response{204, "", "", {{"Allow", "GET, HEAD, POST, OPTIONS"}}};
  for (auto& header : common_headers(head, "preflight")) {
    if (header.first == "X-Request-Id") continue;
    if (header.first == "Access-Control-Allow-Origin") {
      response.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
      response.headers.emplace_back("Access-Control-Allow-Headers",
                                    "Authorization, Content-Type, X-Api-Key, X-Request-Id");
      response.headers.emplace_back("Access-Control-Max-Age", "600");
    }
    response.headers.push_back(std::move(header));
  }
  return response;
}

std::optional<ApiError> Api::refusal(const HttpHead& head) const {
  if (const PageFile* file = find_page_file(head.path)) {
    if (allows("GET", head.method)) return std::nullopt;
    return not_allowed(file->path, "GET");
  }
  const Endpoint* endpoint = find_endpoint(head.path);
  const bool is_open = endpoint != nullptr && endpoint->is_open;
  if (!is_open && !options_.keys.empty() && !key_of(head)) {
    return ApiError{
        401, "a valid API key is needed: Authorization: Bearer KEY", {}, "invalid_api_key"};
  }
  if (endpoint == nullptr) {
    return ApiError{404, "there is no such path; GET /openapi.json lists all", {}, "not_found"};
  }
  if (!allows(endpoint->method, head.method)) return not_allowed(endpoint->path, endpoint->method);
  if (!endpoint->is_prepared) return std::nullopt;
  if (!is_json(head.header("content-type"))) {
    return ApiError{415, "expected Content-Type: application/json", {}, "unsupported_media_type"};
  }
  if (is_draining_) return unavailable("the server is shutting down", "shutting_down");
  if (!models_.is_ready()) return unavailable("the model is being loaded", "loading");
  return std::nullopt;
}

std::optional<HttpResponse> Api::refuse(const HttpHead& head) {
  auto error = refuse_origin(origin_rules_, head);
  if (!error && head.method == "OPTIONS") return preflight(head);
  if (!error) error = refusal(head);
  if (!error) return std::nullopt;
  const Call call = make_call(head);
  HttpResponse response = error_for(call, *error);
  const HttpHeaders headers = common_headers(head, call.id);
  response.headers.insert(response.headers.end(), headers.begin(), headers.end());
  response.headers.insert(response.headers.end(), call.headers.begin(), call.headers.end());
  if (error->status == 405) {
    const Endpoint* endpoint = find_endpoint(head.path);
    response.headers.emplace_back("Allow", endpoint == nullptr ? "GET" : endpoint->method);
  }
  log_call(call, {.status = error->status});
  return response;
}

HttpResponse Api::malformed(int status, std::string_view reason) {
  log("info", "malformed", {{"status", status}, {"reason", reason}});
  return error_response({status, std::string(reason), {}, {}, status == 503 ? 1 : 0});
}

Api::Call Api::make_call(const HttpHead& head) {
  Call call;
  call.method = head.method;
  call.endpoint = find_endpoint(head.path);
  call.key = key_of(head);
  call.id = head.header("x-request-id");
  if (!is_plain_id(call.id)) {
    call.id = fmt::format("{:08x}-{}", instance_, next_request_++);
  }
  join_trace(call, head);
  return call;
}

// Of requests that do work; a probe is no part of a trace unless its client says so.
void Api::join_trace(Call& call, const HttpHead& head) {
  call.parent = parse_traceparent(head.header("traceparent"));
  const bool does_work = call.endpoint != nullptr && call.endpoint->is_prepared;
  if (!call.parent && !(options_.spans != nullptr && does_work)) return;
  call.span = new_span(call.parent, span_random_);
  call.headers.emplace_back("traceparent", traceparent(*call.span));
}

void Api::handle(std::shared_ptr<Exchange> exchange) {
  if (const PageFile* file = find_page_file(exchange->head().path)) {
    return exchange->respond(page_response(*file, exchange->head()));
  }
  const auto call = std::make_shared<Call>(make_call(exchange->head()));
  call->exchange = exchange;
  const HttpHeaders headers = common_headers(exchange->head(), call->id);
  call->headers.insert(call->headers.end(), headers.begin(), headers.end());
  if (!call->endpoint->is_prepared) return respond(call, answer_at_once(*call));
  exchange->on_disconnect([call] { call->is_gone = true; });
  worker_.push([this, call] { prepare(call); });
}

HttpResponse Api::error_for(const Call& call, const ApiError& error) {
  HttpResponse response = error_response(error);
  if (call.endpoint != nullptr && call.endpoint->route == Route::messages) {
    response.body = anthropic_error(error);
  }
  return response;
}

void Api::respond(const CallPointer& call, HttpResponse response) {
  response.headers.insert(response.headers.end(), call->headers.begin(), call->headers.end());
  const int status = response.status;
  call->exchange->respond(std::move(response));
  log_call(*call, {.status = status});
}

void Api::log_call(const Call& call, const GenerationSummary& summary) {
  const bool is_probe = call.endpoint != nullptr && !call.endpoint->is_prepared;
  if (is_probe && summary.status < 400) return;
  trace_call(call, summary);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - call.start).count();
  OrderedJson fields = {{"id", call.id},
                        {"method", call.method.substr(0, 16)},
                        {"path", call.endpoint == nullptr ? "" : call.endpoint->path},
                        {"status", summary.status},
                        {"seconds", seconds}};
  if (call.span) {
    fields["trace_id"] = call.span->trace_hex();
    fields["span_id"] = call.span->span_hex();
  }
  if (call.key) fields["key"] = *call.key;
  if (!summary.finish.empty()) {
    fields["finish"] = summary.finish;
    fields["prompt_tokens"] = summary.usage.prompt_tokens;
    fields["cached_tokens"] = summary.usage.cached_tokens.value_or(0);
    fields["completion_tokens"] = summary.usage.completion_tokens;
    fields["first_token_seconds"] = summary.first_token_seconds;
  }
  log(summary.status >= 500 ? "error" : "info", "request", fields);
}

HttpResponse Api::health() const {
  if (is_ready()) return {200, "application/json", R"({"status":"ready"})", {}};
  const char* status = is_draining_ ? R"({"status":"draining"})" : R"({"status":"loading"})";
  return {503, "application/json", status, {{"Retry-After", std::to_string(kRetryWhileLoading)}}};
}

HttpResponse Api::models() const {
  OrderedJson data = OrderedJson::array();
  for (const auto& model : models_.status()) data.push_back(model_json(model));
  return {200, "application/json", to_text({{"object", "list"}, {"data", std::move(data)}}), {}};
}

HttpResponse Api::model(const std::string& id) const {
  const auto all = models_.status();
  const auto it = std::ranges::find(all, id, &ModelRegistry::Status::id);
  if (it == all.end()) return error_response(no_such_model(id));
  return {200, "application/json", to_text(model_json(*it)), {}};
}

HttpResponse Api::metrics() const {
  std::vector<ModelMetrics> models;
  for (const auto& model : models_.status()) {
    models.push_back({model.id, model.metrics->snapshot(),
                      model.model ? model.model->engine.stats() : ServingStats()});
  }
  const int64_t connections = options_.connections ? options_.connections() : 0;
  return {200,
          "text/plain; version=0.0.4; charset=utf-8",
          metrics_text(models, connections, options_.vllm_metrics) + span_metrics(options_.spans),
          {}};
}

HttpResponse Api::answer_at_once(const Call& call) {
  switch (call.endpoint->route) {
    case Route::health:
    case Route::ready:
      return health();
    case Route::live:
      return {200, "application/json", R"({"status":"live"})", {}};
    case Route::version:
      return {200, "application/json", to_text({{"version", options_.version}}), {}};
    case Route::openapi:
      return {200, "application/json", openapi_, {}};
    case Route::models:
      return models();
    case Route::model:
      return model(call.exchange->head().path.substr(std::string_view("/v1/models/").size()));
    case Route::metrics:
      return metrics();
    default:
      return error_response({404, "not found"});
  }
}

void Api::prepare(const CallPointer& call) {
  guard(call, [&] { return process(call); });
}

void Api::guard(const CallPointer& call, const std::function<ApiResult<void>()>& function) {
  if (call->is_gone) return log_call(*call, {.status = 499, .finish = "disconnected"});
  try {
    const auto done = function();
    if (!done) respond(call, error_for(*call, done.error()));
  } catch (const std::bad_alloc&) {
    respond(call, error_response({503, "out of memory; try again later", {}, "memory", 1}));
  } catch (const std::exception& error) {
    log("error", "exception", {{"id", call->id}, {"what", error.what()}});
    respond(call,
            error_response({500, "internal error; the log has more under this request's id"}));
  }
}

}  // namespace lotse
