// One request that generates: its answers from the engine to the client.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/answer.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/prompts.h"
#include "server/settings.h"

namespace lotse {

// When a request's answers came to be: seconds since they were submitted.
struct GenerationTimes {
  std::chrono::steady_clock::time_point submitted;
  double admitted = 0;     // the first of them
  double first_token = 0;  // of the first
  double ended = 0;        // the last
};

// What became of a request, for log and traces.
struct GenerationSummary {
  int status = 200;  // 499: the client went
  Usage usage = {};
  std::string finish = {};
  double first_token_seconds = 0;
  std::optional<GenerationTimes> times = {};  // where at least one answer has ended
};

struct GenerationJob {
  std::vector<Prompt> prompts;
  GenerationSettings settings;
  int64_t seed = 0;      // settings.seed, or one drawn for this request
  uint64_t id_seed = 0;  // of the ids of calls
  std::optional<std::chrono::steady_clock::time_point> deadline;
  HttpHeaders headers;  // of the answer
};

// Submits every answer of a job, and sends them in the format as they come; cancels them when the
// client goes. Nothing was sent when this fails. `done` is called once, on the I/O thread, when all
// is over, unless this fails. The
// model is held until then.
ApiResult<void> generate(const std::shared_ptr<const ServedModel>& model, GenerationJob job,
                         std::unique_ptr<AnswerFormat> format, std::shared_ptr<Exchange> exchange,
                         std::function<void(const GenerationSummary&)> done);

}  // namespace lotse
