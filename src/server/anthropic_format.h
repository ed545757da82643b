// Answers as Anthropic's /v1/messages gives them.
#pragma once

#include <memory>
#include <string>

#include "server/answer.h"

namespace lotse {

std::unique_ptr<AnswerFormat> anthropic_format(std::string id, std::string model);

// {"type": "error", "error": {"type", "message"}}
std::string anthropic_error(const ApiError& error);

}  // namespace lotse
