// The API of `lotse serve`: who may ask what, and what is answered.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "server/api_keys.h"
#include "server/endpoints.h"
#include "server/generation.h"
#include "server/http.h"
#include "server/model_registry.h"
#include "server/origin.h"
#include "server/span_exporter.h"
#include "server/worker.h"

namespace lotse {

struct WantedForm;

struct ApiOptions {
  std::string version;
  ApiKeys keys;                            // empty: everyone may ask
  std::vector<std::string> cors_origins;   // "*": all
  std::vector<std::string> allowed_hosts;  // names by which it may be asked, besides localhost
  bool checks_host = false;                // refuse other names than those
  bool vllm_metrics = false;               // metrics under vLLM's names, too
  std::chrono::milliseconds request_timeout{0};  // of an answer; 0: none
  // Takes lines of the log: JSON objects without prompts, answers and keys. May be called from any
  // thread.
  std::function<void(const std::string& line)> log;
  std::function<int64_t()> connections;  // for the metrics
  SpanExporter* spans = nullptr;         // takes a span of each request; null: none
};

class Api final : public HttpHandler {
 public:
  // The registry must outlive the API. Until its pinned models are loaded, requests get 503.
  Api(ApiOptions options, ModelRegistry& models);
  ~Api() override { worker_.stop(); }

  // From now on, no request is taken, and the server is not ready. Any thread.
  void drain() { is_draining_ = true; }

  std::optional<HttpResponse> refuse(const HttpHead& head) override;
  void handle(std::shared_ptr<Exchange> exchange) override;
  HttpResponse malformed(int status, std::string_view reason) override;

  // Writes a line to the log: an event with its fields.
  void log(const char* level, const char* event, const OrderedJson& fields);

 private:
  struct Call;
  using CallPointer = std::shared_ptr<Call>;

  Call make_call(const HttpHead& head);
  bool is_ready() const { return models_.is_ready() && !is_draining_; }
  std::optional<size_t> key_of(const HttpHead& head) const;
  HttpHeaders common_headers(const HttpHead& head, const std::string& id) const;
  void join_trace(Call& call, const HttpHead& head);
  HttpResponse preflight(const HttpHead& head) const;
  std::optional<ApiError> refusal(const HttpHead& head) const;

  void respond(const CallPointer& call, HttpResponse response);
  // In the shape that the endpoint's clients expect.
  static HttpResponse error_for(const Call& call, const ApiError& error);
  void log_call(const Call& call, const GenerationSummary& summary);
  void trace_call(const Call& call, const GenerationSummary& summary);
  void trace_parts(const TraceContext& whole, const GenerationTimes& times);
  HttpResponse answer_at_once(const Call& call);
  HttpResponse health() const;
  HttpResponse models() const;
  HttpResponse model(const std::string& id) const;
  HttpResponse metrics() const;

  // Answers with what the function fails or throws; on the workers' threads.
  void guard(const CallPointer& call, const std::function<ApiResult<void>()>& function);

  // On the worker's thread:
  void prepare(const CallPointer& call);
  ApiResult<void> process(const CallPointer& call);
  ApiResult<RequestFields> read_fields(const Call& call, const OrderedJson& body);
  // False when the model is being loaded: the call comes again.
  ApiResult<bool> find_model(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> compile_form(const CallPointer& call, WantedForm form);
  ApiResult<void> complete(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> chat(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> respond_to_input(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> message(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> make_embeddings(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> tokenize(const CallPointer& call, const RequestFields& fields);
  ApiResult<void> detokenize(const CallPointer& call, const RequestFields& fields);
  ApiResult<GenerationJob> make_job(const Call& call, std::vector<Prompt> prompts,
                                    GenerationSettings settings);
  // Under which salt prefixes are cached: those of one key are its own.
  static std::string salt_of(const Call& call, const std::string& own);
  ApiResult<void> start(const CallPointer& call, GenerationJob job,
                        std::unique_ptr<AnswerFormat> format);
  std::string random_id();

  const ApiOptions options_;
  const OriginRules origin_rules_;
  const std::string openapi_;
  ModelRegistry& models_;
  std::atomic<bool> is_draining_ = false;
  std::mt19937_64 span_random_{std::random_device()()};  // of the I/O thread
  std::mt19937_64 worker_random_{std::random_device()()};
  std::set<std::string> reported_fields_;             // unknown ones, of the worker
  const uint32_t instance_ = std::random_device()();  // in ids of requests
  std::atomic<uint64_t> next_request_ = 1;
  std::atomic<int> forms_waiting_ = 0;
  Worker worker_;       // its thread uses everything above
  Worker form_worker_;  // last: compiles grammars for the worker
};

}  // namespace lotse
