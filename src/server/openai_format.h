// Answers as OpenAI's /v1/completions and /v1/chat/completions give them, with vLLM's additions.
#pragma once

#include <memory>

#include "server/answer.h"
#include "server/settings.h"

namespace lotse {

struct AnswerIdentity {
  std::string id;     // of the request, "cmpl-…"
  std::string model;  // the name that was asked for
  int64_t created;    // Unix time
};

std::unique_ptr<AnswerFormat> completion_format(AnswerIdentity identity,
                                                const GenerationSettings& settings,
                                                const Tokenizer& tokenizer);
std::unique_ptr<AnswerFormat> chat_format(AnswerIdentity identity,
                                          const GenerationSettings& settings,
                                          const Tokenizer& tokenizer);

}  // namespace lotse
