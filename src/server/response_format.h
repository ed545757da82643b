// Answers as OpenAI's /v1/responses gives them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "server/answer.h"
#include "server/openai_format.h"

namespace lotse {

// The identity's id comes without a prefix: response and message each get one.
std::unique_ptr<AnswerFormat> response_format(AnswerIdentity identity,
                                              const GenerationSettings& settings,
                                              std::optional<std::string> instructions);

}  // namespace lotse
