// What a client is told when its request cannot be served, in OpenAI's shape.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/result.h"
#include "server/http.h"

namespace lotse {

struct ApiError {
  int status = 400;
  std::string message;
  std::string param = {};  // the field at fault
  std::string code = {};
  int retry_after_seconds = 0;  // sent as Retry-After when above zero
};

template <class T>
using ApiResult = std::expected<T, ApiError>;

// A 400 that names its field: `return bad_field("n", "expected {}", …);`
template <class... Args>
std::unexpected<ApiError> bad_field(std::string field, fmt::format_string<Args...> format,
                                    Args&&... args) {
  std::string message = field + ": " + fmt::format(format, std::forward<Args>(args)...);
  return std::unexpected(ApiError{400, std::move(message), std::move(field)});
}

// An error of the engine, the tokenizer or a template while a request was prepared.
ApiError api_error(const Error& error, std::string param = {});

// "invalid_request_error", "server_error", …: follows from the status.
const char* error_type(int status);

// {"error":{"message","type","param","code"}}
std::string error_json(const ApiError& error);
HttpResponse error_response(const ApiError& error);

}  // namespace lotse
