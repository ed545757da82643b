// /v1/embeddings: from a request's texts to their vectors.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/generation.h"

namespace lotse {

// Texts of one request, as many as OpenAI takes.
inline constexpr size_t kMaxTexts = 2048;

struct EmbeddingJob {
  std::vector<std::vector<int32_t>> texts;
  int64_t dimensions = 0;  // that are kept
  bool normalise = true;
  bool as_base64 = false;  // little-endian fp32 instead of a list of numbers
  int32_t priority = 0;
  std::string cache_salt;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  HttpHeaders headers;  // of the answer
};

// A text that is too long is a 400 with both numbers, unless it is to be cut.
ApiResult<EmbeddingJob> read_embedding_job(const RequestFields& fields, const ServedModel& model);

// Has the texts embedded, some at a time so that others' requests come between them, and answers
// when all are; cancels what is left when the client goes. `done` is called once, on the I/O
// thread, when all is over. The model is held until then.
void embed(const std::shared_ptr<const ServedModel>& model, EmbeddingJob job,
           std::shared_ptr<Exchange> exchange, std::function<void(const GenerationSummary&)> done);

}  // namespace lotse
