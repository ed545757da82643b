// Spans of requests, under the names of OpenTelemetry's conventions for HTTP and generative AI, and
// under vLLM's.
#include "server/api_call.h"

namespace lotse {
namespace {

using Time = std::chrono::steady_clock::time_point;

Time after(Time start, double seconds) {
  return start + std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(seconds));
}

void add_usage(SpanAttributes& attributes, const Usage& usage) {
  attributes.emplace_back("gen_ai.usage.input_tokens", usage.prompt_tokens);
  attributes.emplace_back("gen_ai.usage.output_tokens", usage.completion_tokens);
  attributes.emplace_back("gen_ai.usage.prompt_tokens", usage.prompt_tokens);
  attributes.emplace_back("gen_ai.usage.completion_tokens", usage.completion_tokens);
  attributes.emplace_back("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens.value_or(0));
}

void add_latencies(SpanAttributes& attributes, const GenerationTimes& times) {
  attributes.emplace_back("gen_ai.latency.time_in_queue", times.admitted);
  attributes.emplace_back("gen_ai.latency.time_to_first_token", times.first_token);
  attributes.emplace_back("gen_ai.latency.e2e", times.ended);
  attributes.emplace_back("gen_ai.latency.time_in_model_prefill",
                          times.first_token - times.admitted);
  attributes.emplace_back("gen_ai.latency.time_in_model_decode", times.ended - times.first_token);
}

}  // namespace

SpanAttributes trace_attributes(const GenerationSettings& settings, Route route) {
  SpanAttributes attributes;
  const bool is_completion = route == Route::completions;
  attributes.emplace_back("gen_ai.operation.name", is_completion ? "text_completion" : "chat");
  attributes.emplace_back("gen_ai.request.n", settings.n);
  if (settings.max_tokens) {
    attributes.emplace_back("gen_ai.request.max_tokens", *settings.max_tokens);
  }
  attributes.emplace_back("gen_ai.request.temperature",
                          static_cast<double>(settings.sampling.temperature));
  attributes.emplace_back("gen_ai.request.top_p", static_cast<double>(settings.sampling.top_p));
  return attributes;
}

void Api::trace_call(const Call& call, const GenerationSummary& summary) {
  if (options_.spans == nullptr || !call.span || !call.span->is_sampled) return;
  const char* path = call.endpoint == nullptr ? "" : call.endpoint->path;
  Span span;
  span.context = *call.span;
  if (call.parent) span.parent = call.parent->span_id;
  span.name = call.method + " " + path;
  span.is_server = true;
  span.start = call.start;
  span.end = std::chrono::steady_clock::now();
  span.attributes = call.attributes;
  span.attributes.emplace_back("http.request.method", call.method);
  span.attributes.emplace_back("url.path", path);
  span.attributes.emplace_back("http.response.status_code", int64_t{summary.status});
  span.attributes.emplace_back("gen_ai.request.id", call.id);
  if (call.model) {
    span.attributes.emplace_back("gen_ai.request.model", call.model->id);
    span.attributes.emplace_back("gen_ai.response.model", call.model->id);
  }
  if (!summary.finish.empty()) {
    add_usage(span.attributes, summary.usage);
    span.attributes.emplace_back("gen_ai.response.finish_reason", summary.finish);
  }
  if (summary.times) add_latencies(span.attributes, *summary.times);
  if (summary.status >= 500) {
    span.error = summary.finish.empty() ? "refused" : summary.finish;
    span.attributes.emplace_back("error.type", std::to_string(summary.status));
  }
  if (summary.times) trace_parts(*call.span, *summary.times);
  options_.spans->push(std::move(span));
}

void Api::trace_parts(const TraceContext& whole, const GenerationTimes& times) {
  const auto push = [&](const char* name, double from, double to) {
    Span part;
    part.context = new_span(whole, span_random_);
    part.parent = whole.span_id;
    part.name = name;
    part.start = after(times.submitted, from);
    part.end = after(times.submitted, std::max(from, to));
    options_.spans->push(std::move(part));
  };
  push("queue", 0, times.admitted);
  if (times.first_token == 0) return;
  push("prefill", times.admitted, times.first_token);
  push("decode", times.first_token, times.ended);
}

}  // namespace lotse
