// Answers on their way to a client: what the engine reports, and the formats that make bytes of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/output/output_parser.h"
#include "engine/request.h"
#include "server/api_error.h"

namespace lotse {

// What is new of one answer. The text of a token that is held back comes later than the token.
struct Piece {
  std::vector<OutputEvent> events;  // every call that begins has an id
  std::vector<GeneratedToken> tokens;
  bool is_prompt = false;  // the prompt's own text and tokens; the first token's logprob is NaN
  int64_t reasoning_tokens = 0;

  // Of its content alone.
  std::string text() const;
};

struct AnswerEnd {
  RequestOutcome outcome;
  std::optional<std::string> stop_string;  // the one that ended it
  bool has_calls = false;
};

// "stop", "length" or "tool_calls"; for what is no regular end, the error to report.
ApiResult<const char*> finish_reason(const AnswerEnd& end);

struct AnsweredCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON
};

// One of a request's answers, gathered.
struct Answer {
  std::string text;
  std::string reasoning = {};
  std::vector<AnsweredCall> calls = {};
  std::vector<GeneratedToken> tokens;
  std::vector<GeneratedToken> prompt_tokens;  // where they were asked for
  std::optional<AnswerEnd> end;

  void add(const OutputEvent& event);
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  std::optional<int64_t> cached_tokens;     // known when the last answer has ended
  std::optional<int64_t> reasoning_tokens;  // of the completion's, where the model may reason
};

// Makes the bytes of one request's answers. Called on the I/O thread only. `answer` counts from 0:
// prompt × n + answer to it.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  // The whole answer.
  virtual std::string whole(std::span<const Answer> answers, const Usage& usage) = 0;
  // The same in parts, each one or more server-sent events, perhaps none.
  virtual std::string piece(size_t answer, const Piece& piece, const Usage& usage) = 0;
  virtual std::string end(size_t answer, const AnswerEnd& end, const Usage& usage) = 0;
  virtual std::string finish(const Usage& usage) = 0;
  // Ends a stream that failed.
  virtual std::string failure(const ApiError& error) = 0;
};

}  // namespace lotse
