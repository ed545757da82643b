#include "server/api_error.h"

#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

constexpr int kRetrySeconds = 1;

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

}  // namespace

ApiError api_error(const Error& error, std::string param) {
  ApiError answer{400, error.message, std::move(param), {}};
  switch (error.code) {
    case ErrorCode::invalid_input:
    case ErrorCode::unsupported:
      break;
    case ErrorCode::not_found:
      answer.status = 404;
      break;
    case ErrorCode::limit:
      answer.status = 429;
      answer.code = "rate_limit_exceeded";
      answer.retry_after_seconds = kRetrySeconds;
      break;
    case ErrorCode::cancelled:
      answer.status = 503;
      answer.code = "shutting_down";
      answer.retry_after_seconds = kRetrySeconds;
      break;
    case ErrorCode::io:
      answer.status = 500;
      break;
  }
  return answer;
}

const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string error_json(const ApiError& error) {
  return to_text({{"error",
                   {{"message", error.message},
                    {"type", error_type(error.status)},
                    {"param", text_or_null(error.param)},
                    {"code", text_or_null(error.code)}}}});
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response{error.status, "application/json", error_json(error), {}};
  if (error.retry_after_seconds > 0) {
    response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_seconds));
  }
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace lotse
