// Every endpoint of the API with its fields.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/fields.h"

namespace lotse {

enum class Route : uint8_t {
  health,
  live,
  ready,
  version,
  metrics,
  openapi,
  models,
  model,
  completions,
  chat_completions,
  responses,
  messages,
  embeddings,
  tokenize,
  detokenize,
};

struct Endpoint {
  Route route;
  const char* method;
  const char* path;  // a "{…}" at its end stands for the rest of a path
  const char* summary;
  std::span<const std::span<const Field>> tables;  // of its body; empty for GET
  bool is_open = false;                            // needs no key
  bool is_prepared = false;  // parses, renders or tokenises: not on the I/O thread
};

std::span<const Endpoint> endpoints();

// The endpoint of a path with any method; null when there is none.
const Endpoint* find_endpoint(std::string_view path);

// The OpenAPI 3.1 document.
std::string openapi_document(std::string_view version);

}  // namespace lotse
