// Log-probabilities as the APIs show them.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "chat_template/chat_template.h"
#include "engine/request.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

// A token's text by itself. Where it is a part of a character only, U+FFFD stands for it.
std::string token_text(const Tokenizer& tokenizer, int32_t token);

// A number that JSON can hold: -9999 for what cannot come next, null for NaN.
OrderedJson logprob_json(float logprob);

// {"content": [{token, logprob, bytes, top_logprobs}]}
OrderedJson chat_logprobs(std::span<const GeneratedToken> tokens, int32_t top,
                          const Tokenizer& tokenizer);

// {tokens, token_logprobs, top_logprobs, text_offset}. `offset`, in characters, is where the first
// token's text begins; it becomes where the last one's ends.
OrderedJson completion_logprobs(std::span<const GeneratedToken> tokens, int32_t top,
                                const Tokenizer& tokenizer, int64_t& offset);

// vLLM's: null for the first token, then {"id": {logprob, rank, decoded_token}, …}.
OrderedJson prompt_logprobs(std::span<const GeneratedToken> tokens, const Tokenizer& tokenizer);

}  // namespace lotse
