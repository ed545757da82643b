// Answers as OpenAI's /v1/responses gives them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "server/answer.h"
#include "server/openai_format.h"

namespace lotse {

// The identity's id comes without a prefix: the response and each item of its output get one.
// `request` has the fields of the response that repeat the request's: instructions, tools, …
std::unique_ptr<AnswerFormat> response_format(AnswerIdentity identity,
                                              const GenerationSettings& settings,
                                              OrderedJson request);

}  // namespace lotse
