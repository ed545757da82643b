// The endpoints that parse, render and tokenise: on the worker's thread.
#include <ctime>

#include "server/anthropic_format.h"
#include "server/api_call.h"
#include "server/chat_request.h"
#include "server/embeddings.h"
#include "server/json_text.h"
#include "server/messages.h"
#include "server/openai_format.h"
#include "server/response_format.h"

namespace lotse {
namespace {

constexpr int64_t kCompletionTokens = 16;  // OpenAI's default
constexpr size_t kMaxReportedFields = 256;
constexpr size_t kShownName = 100;
constexpr size_t kMaxReportedNames = 10;
constexpr int kMaxFormsWaiting = 64;

ApiError loading_failed(const Error& error) {
  if (error.code == ErrorCode::limit) {
    return {503, "the model cannot be loaded now: " + error.message, "model", "overloaded", 5};
  }
  if (error.code == ErrorCode::cancelled) return {503, error.message, {}, "shutting_down", 5};
  return {500, "the model cannot be loaded: " + error.message, "model", "load_failed"};
}

// Refuses what a model of embeddings cannot do.
ApiResult<void> check_purpose(const ServedModel& model, Route route) {
  const bool writes = route == Route::completions || route == Route::chat_completions ||
                      route == Route::responses || route == Route::messages;
  if (!writes || model.generates) return {};
  return bad_field("model", "\"{}\" makes embeddings and no text; use /v1/embeddings", model.id);
}

std::optional<Dialect> dialect_of(Route route) {
  if (route == Route::chat_completions) return Dialect::chat;
  if (route == Route::responses) return Dialect::responses;
  if (route == Route::messages) return Dialect::messages;
  return std::nullopt;
}

}  // namespace

OrderedJson model_json(const ModelRegistry::Status& model) {
  OrderedJson json = {{"id", model.id},
                      {"object", "model"},
                      {"created", model.model ? model.model->created : 0},
                      {"owned_by", "lotse"},
                      {"loaded", model.model != nullptr},
                      {"pinned", model.is_pinned}};
  if (!model.base.empty()) json["parent"] = model.base;
  if (model.model) {
    json["max_model_len"] = model.model->context;
    json["device"] = model.model->device;
  }
  return json;
}

ApiError no_such_model(const std::string& name) {
  return {404,
          fmt::format("the model \"{}\" is not served; GET /v1/models lists those that are",
                      name.substr(0, kShownName)),
          "model", "model_not_found"};
}

ApiResult<void> Api::process(const CallPointer& call) {
  auto body = parse_ordered_json(call->exchange->body(), "the body");
  if (!body) return std::unexpected(api_error(body.error()));
  const RequestFields fields = LOTSE_TRY(read_fields(*call, *body));
  if (!LOTSE_TRY(find_model(call, fields))) return {};
  LOTSE_TRY(check_purpose(*call->model, call->endpoint->route));
  const auto form = LOTSE_TRY(wanted_form(fields, dialect_of(call->endpoint->route), *call->model));
  if (form && !call->grammar) {
    call->grammar = call->model->grammars->find(form->source);
    if (!call->grammar) return compile_form(call, *form);
  }
  switch (call->endpoint->route) {
    case Route::completions:
      return complete(call, fields);
    case Route::chat_completions:
      return chat(call, fields);
    case Route::responses:
      return respond_to_input(call, fields);
    case Route::messages:
      return message(call, fields);
    case Route::embeddings:
      return make_embeddings(call, fields);
    case Route::tokenize:
      return tokenize(call, fields);
    case Route::detokenize:
      return detokenize(call, fields);
    default:
      return std::unexpected(ApiError{404, "not found"});
  }
}

ApiResult<RequestFields> Api::read_fields(const Call& call, const OrderedJson& body) {
  auto fields = LOTSE_TRY(RequestFields::check(body, call.endpoint->tables));
  for (const std::string& name : fields.unknown()) {
    if (reported_fields_.size() >= kMaxReportedFields) break;
    if (!reported_fields_.insert(call.endpoint->path + (' ' + name)).second) continue;
    log("warning", "unknown_field",
        {{"id", call.id}, {"path", call.endpoint->path}, {"field", name}});
  }
  return fields;
}

ApiResult<bool> Api::find_model(const CallPointer& call, const RequestFields& fields) {
  if (call->model) return true;
  const std::string id = fields.string("model").value_or(models_.default_id());
  if (!models_.has(id)) return std::unexpected(no_such_model(id));
  call->model = models_.find(id);
  if (call->model) return true;
  models_.load(id, [this, call](const Result<ModelRegistry::Lease>& model) {
    if (!model) return respond(call, error_for(*call, loading_failed(model.error())));
    call->model = *model;
    worker_.push([this, call] { prepare(call); });
  });
  return false;
}

// On a thread of its own, since it may take a second; then the request is prepared anew. What asks
// for forms that are known overtakes it.
ApiResult<void> Api::compile_form(const CallPointer& call, WantedForm form) {
  if (forms_waiting_ >= kMaxFormsWaiting) {
    return std::unexpected(
        ApiError{429, fmt::format("{}: the queue of forms to compile is full", form.field),
                 form.field, "rate_limit_exceeded", 1});
  }
  ++forms_waiting_;
  form_worker_.push([this, call, form = std::move(form)] {
    guard(call, [&]() -> ApiResult<void> {
      const auto compiled = call->model->grammars->compile(form.source);
      if (!compiled) return bad_field(form.field, "{}", compiled.error().message);
      OrderedJson ignored = OrderedJson::array();
      for (const std::string& name : (*compiled)->grammar.ignored()) {
        if (ignored.size() < kMaxReportedNames) ignored.push_back(name.substr(0, kShownName));
      }
      if (!ignored.empty()) {
        log("warning", "unknown_keywords",
            {{"id", call->id}, {"field", form.field}, {"names", std::move(ignored)}});
      }
      call->grammar = *compiled;
      worker_.push([this, call] { prepare(call); });
      return {};
    });
    --forms_waiting_;
  });
  return {};
}

ApiResult<void> Api::complete(const CallPointer& call, const RequestFields& fields) {
  GenerationSettings settings = LOTSE_TRY(read_settings(fields, *call->model));
  settings.max_tokens = fields.integer("max_tokens").value_or(kCompletionTokens);
  settings.echo = fields.boolean("echo").value_or(false);
  if (const auto count = fields.integer("logprobs")) {
    settings.top_logprobs = static_cast<int32_t>(*count);
    settings.echo_logprobs = settings.echo;
  }
  if (settings.echo_logprobs) {
    settings.prompt_logprobs =
        std::max(settings.prompt_logprobs.value_or(0), *settings.top_logprobs);
  }
  auto prompts = LOTSE_TRY(read_prompts(fields, *call->model));
  auto job = LOTSE_TRY(make_job(*call, std::move(prompts), std::move(settings)));
  auto format = completion_format({"cmpl-" + random_id(), call->model->id, std::time(nullptr)},
                                  job.settings, call->model->tokenizer);
  return start(call, std::move(job), std::move(format));
}

ApiResult<void> Api::chat(const CallPointer& call, const RequestFields& fields) {
  GenerationSettings settings = LOTSE_TRY(read_settings(fields, *call->model));
  settings.max_tokens = fields.integer("max_completion_tokens");
  if (!settings.max_tokens) settings.max_tokens = fields.integer("max_tokens");
  const auto top = fields.integer("top_logprobs");
  if (fields.boolean("logprobs").value_or(false)) {
    settings.top_logprobs = static_cast<int32_t>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    return bad_field("top_logprobs", "only allowed when logprobs is true");
  }
  auto prompts = LOTSE_TRY(encode_request(LOTSE_TRY(read_chat(fields, Dialect::chat)), fields,
                                          Dialect::chat, *call->model, settings));
  auto job = LOTSE_TRY(make_job(*call, std::move(prompts), std::move(settings)));
  auto format = chat_format({"chatcmpl-" + random_id(), call->model->id, std::time(nullptr)},
                            job.settings, call->model->tokenizer);
  return start(call, std::move(job), std::move(format));
}

ApiResult<void> Api::respond_to_input(const CallPointer& call, const RequestFields& fields) {
  GenerationSettings settings = LOTSE_TRY(read_settings(fields, *call->model));
  settings.max_tokens = fields.integer("max_output_tokens");
  auto prompts = LOTSE_TRY(encode_request(LOTSE_TRY(read_chat(fields, Dialect::responses)), fields,
                                          Dialect::responses, *call->model, settings));
  auto job = LOTSE_TRY(make_job(*call, std::move(prompts), std::move(settings)));
  auto format = response_format({random_id(), call->model->id, std::time(nullptr)}, job.settings,
                                repeated_fields(fields));
  return start(call, std::move(job), std::move(format));
}

ApiResult<void> Api::message(const CallPointer& call, const RequestFields& fields) {
  GenerationSettings settings = LOTSE_TRY(read_settings(fields, *call->model));
  settings.max_tokens = fields.integer("max_tokens");
  auto prompts = LOTSE_TRY(encode_request(LOTSE_TRY(read_chat(fields, Dialect::messages)), fields,
                                          Dialect::messages, *call->model, settings));
  auto job = LOTSE_TRY(make_job(*call, std::move(prompts), std::move(settings)));
  auto format = anthropic_format("msg_" + random_id(), call->model->id);
  return start(call, std::move(job), std::move(format));
}

ApiResult<void> Api::make_embeddings(const CallPointer& call, const RequestFields& fields) {
  EmbeddingJob job = LOTSE_TRY(read_embedding_job(fields, *call->model));
  job.cache_salt = salt_of(*call, job.cache_salt);
  job.headers = call->headers;
  if (options_.request_timeout.count() > 0) job.deadline = call->start + options_.request_timeout;
  embed(call->model, std::move(job), call->exchange,
        [this, call](const GenerationSummary& summary) { log_call(*call, summary); });
  return {};
}

ApiResult<GenerationJob> Api::make_job(const Call& call, std::vector<Prompt> prompts,
                                       GenerationSettings settings) {
  const size_t answers = prompts.size() * static_cast<size_t>(settings.n);
  if (answers > kMaxChoices) {
    return bad_field("n", "expected at most {} answers in all, got {} prompts with {} each",
                     kMaxChoices, prompts.size(), settings.n);
  }
  settings.cache_salt = salt_of(call, settings.cache_salt);
  GenerationJob job;
  job.prompts = std::move(prompts);
  job.seed = settings.seed.value_or(static_cast<int64_t>(worker_random_()));
  job.id_seed = worker_random_();
  job.settings = std::move(settings);
  job.settings.grammar = call.grammar;
  job.headers = call.headers;
  if (options_.request_timeout.count() > 0) job.deadline = call.start + options_.request_timeout;
  return job;
}

// Whether a prefix was computed before can be told from the time that an answer takes.
std::string Api::salt_of(const Call& call, const std::string& own) {
  return call.key ? fmt::format("{}/{}", *call.key, own) : own;
}

ApiResult<void> Api::start(const CallPointer& call, GenerationJob job,
                           std::unique_ptr<AnswerFormat> format) {
  if (call->span) call->attributes = trace_attributes(job.settings, call->endpoint->route);
  return generate(call->model, std::move(job), std::move(format), call->exchange,
                  [this, call](const GenerationSummary& summary) { log_call(*call, summary); });
}

ApiResult<void> Api::tokenize(const CallPointer& call, const RequestFields& fields) {
  const bool has_text = fields.find("prompt") != nullptr;
  if (has_text == (fields.find("messages") != nullptr)) {
    return bad_field("prompt", "expected either prompt or messages");
  }
  std::vector<int32_t> tokens;
  if (has_text) {
    tokens =
        LOTSE_TRY(encode_text(*fields.string("prompt"),
                              fields.boolean("add_special_tokens").value_or(true), *call->model));
  } else {
    auto messages = LOTSE_TRY(read_messages(*fields.find("messages"), "messages"));
    tokens = LOTSE_TRY(encode_chat(std::move(messages), LOTSE_TRY(read_rendering(fields)), fields,
                                   *call->model, "messages"));
  }
  OrderedJson json = {
      {"count", tokens.size()}, {"max_model_len", call->model->context}, {"tokens", tokens}};
  if (fields.boolean("return_token_strs").value_or(false)) {
    json["token_strs"] = OrderedJson::array();
    for (const int32_t id : tokens)
      json["token_strs"].push_back(call->model->tokenizer.id_to_token(id));
  }
  respond(call, {200, "application/json", to_text(json), {}});
  return {};
}

ApiResult<void> Api::detokenize(const CallPointer& call, const RequestFields& fields) {
  const auto tokens = fields.integers("tokens");
  for (const int32_t token : tokens) {
    if (token < call->model->vocabulary) continue;
    return bad_field("tokens", "token {} is outside of the vocabulary of {}", token,
                     call->model->vocabulary);
  }
  const std::string text = call->model->tokenizer.decode(tokens, false);
  respond(call, {200, "application/json", to_text({{"prompt", text}}), {}});
  return {};
}

std::string Api::random_id() {
  return fmt::format("{:016x}{:016x}", worker_random_(), worker_random_());
}

}  // namespace lotse
