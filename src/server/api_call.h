// One call of the API, from its head to its answer.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/grammar_cache.h"
#include "server/api.h"

namespace lotse {

struct Api::Call {
  std::string id;
  std::string method;
  const Endpoint* endpoint = nullptr;              // null when there is none
  std::optional<size_t> key;                       // the number of the API key
  HttpHeaders headers;                             // of every answer
  std::shared_ptr<Exchange> exchange;              // null before there is a body
  ModelRegistry::Lease model;                      // that is asked, once it is loaded
  std::shared_ptr<const CompiledGrammar> grammar;  // of the form that it asks for
  std::optional<TraceContext> span;                // where the request is part of a trace
  std::optional<TraceContext> parent;              // in it
  SpanAttributes attributes = {};                  // of the span, besides what every request has
  std::atomic<bool> is_gone = false;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

  Call() = default;
  Call(Call&& other) noexcept
      : id(std::move(other.id)),
        method(std::move(other.method)),
        endpoint(other.endpoint),
        key(other.key),
        headers(std::move(other.headers)),
        exchange(std::move(other.exchange)),
        model(std::move(other.model)),
        span(other.span),
        parent(other.parent),
        attributes(std::move(other.attributes)),
        start(other.start) {}
};

OrderedJson model_json(const ModelRegistry::Status& model);
ApiError no_such_model(const std::string& name);
// What a trace tells of what a request asked for.
SpanAttributes trace_attributes(const GenerationSettings& settings, Route route);

}  // namespace lotse
