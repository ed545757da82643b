#include "server/answer.h"

namespace lotse {

std::string Piece::text() const {
  std::string text;
  for (const OutputEvent& event : events) {
    if (event.kind == OutputEvent::Kind::content) text += event.text;
  }
  return text;
}

void Answer::add(const OutputEvent& event) {
  switch (event.kind) {
    case OutputEvent::Kind::content:
      text += event.text;
      break;
    case OutputEvent::Kind::reasoning:
      reasoning += event.text;
      break;
    case OutputEvent::Kind::call_begin:
      calls.push_back({event.id, event.text, {}});
      break;
    case OutputEvent::Kind::call_arguments:
      calls.back().arguments += event.text;
      break;
    case OutputEvent::Kind::call_end:
      break;
  }
}

ApiResult<const char*> finish_reason(const AnswerEnd& end) {
  switch (end.outcome.reason) {
    case FinishReason::stop:
      return end.has_calls ? "tool_calls" : "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return std::unexpected(ApiError{503, "the request was cancelled", {}, "cancelled", 1});
    case FinishReason::deadline:
      return std::unexpected(
          ApiError{408, "the answer took longer than the server allows", {}, "deadline_exceeded"});
    case FinishReason::dead_end:
      return std::unexpected(ApiError{
          400,
          "no token is left that the request allows, and the answer so far is no complete one: "
          "allowed_token_ids or logit_bias contradict the structured output, or the model's "
          "vocabulary cannot spell it",
          {},
          "dead_end"});
    case FinishReason::error:
      break;
  }
  const std::string message = end.outcome.error ? end.outcome.error->message : "unknown";
  return std::unexpected(ApiError{500, "the device failed: " + message, {}, "device_error"});
}

}  // namespace lotse
