#include "server/logprobs_json.h"

#include <algorithm>
#include <cmath>

namespace lotse {
namespace {

constexpr float kImpossible = -9999;
constexpr std::string_view kWordBegin = "▁";  // SentencePiece's space

int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

std::span<const TokenLogprob> first(const std::vector<TokenLogprob>& top, int32_t count) {
  return std::span(top).first(std::min(top.size(), static_cast<size_t>(count)));
}

OrderedJson entry(int32_t token, float logprob, const Tokenizer& tokenizer) {
  const std::string text = token_text(tokenizer, token);
  OrderedJson bytes = OrderedJson::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", text}, {"logprob", logprob_json(logprob)}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::string token_text(const Tokenizer& tokenizer, int32_t token) {
  std::string text = tokenizer.decode({&token, 1}, false);
  // Decoders of SentencePiece's kind drop the space at the beginning of a text.
  const bool spaced = tokenizer.id_to_token(token).starts_with(kWordBegin);
  return spaced && !text.starts_with(' ') ? ' ' + text : text;
}

OrderedJson logprob_json(float logprob) {
  if (std::isnan(logprob)) return nullptr;
  return static_cast<double>(std::max(logprob, kImpossible));
}

OrderedJson chat_logprobs(std::span<const GeneratedToken> tokens, int32_t top,
                          const Tokenizer& tokenizer) {
  OrderedJson content = OrderedJson::array();
  for (const GeneratedToken& token : tokens) {
    OrderedJson item = entry(token.token, token.logprob, tokenizer);
    item["top_logprobs"] = OrderedJson::array();
    for (const auto& [id, logprob] : first(token.top, top)) {
      item["top_logprobs"].push_back(entry(id, logprob, tokenizer));
    }
    content.push_back(std::move(item));
  }
  return {{"content", std::move(content)}};
}

OrderedJson completion_logprobs(std::span<const GeneratedToken> tokens, int32_t top,
                                const Tokenizer& tokenizer, int64_t& offset) {
  OrderedJson texts = OrderedJson::array(), logprobs = texts, alternatives = texts, offsets = texts;
  for (const GeneratedToken& token : tokens) {
    const std::string text = token_text(tokenizer, token.token);
    texts.push_back(text);
    logprobs.push_back(logprob_json(token.logprob));
    offsets.push_back(offset);
    offset += characters(text);
    if (std::isnan(token.logprob)) {
      alternatives.push_back(nullptr);
      continue;
    }
    OrderedJson likely = OrderedJson::object();
    for (const auto& [id, logprob] : first(token.top, top)) {
      // Of tokens with the same text the likelier one is shown.
      likely.emplace(token_text(tokenizer, id), logprob_json(logprob));
    }
    likely.emplace(text, logprob_json(token.logprob));
    alternatives.push_back(std::move(likely));
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(alternatives)},
          {"text_offset", std::move(offsets)}};
}

OrderedJson prompt_logprobs(std::span<const GeneratedToken> tokens, const Tokenizer& tokenizer) {
  OrderedJson list = OrderedJson::array();
  for (const GeneratedToken& token : tokens) {
    if (std::isnan(token.logprob)) {
      list.push_back(nullptr);
      continue;
    }
    OrderedJson item = OrderedJson::object();
    const auto add = [&](int32_t id, float logprob, OrderedJson rank) {
      item[std::to_string(id)] = {{"logprob", logprob_json(logprob)},
                                  {"rank", std::move(rank)},
                                  {"decoded_token", token_text(tokenizer, id)}};
    };
    // Its rank is known only where it is among the likeliest.
    add(token.token, token.logprob, nullptr);
    for (size_t i = 0; i < token.top.size(); ++i) {
      add(token.top[i].token, token.top[i].logprob, i + 1);
    }
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace lotse
