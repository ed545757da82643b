// A model's own chat template, from messages to tokens.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat_template/chat_template.h"
#include "checkpoint/checkpoint.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Immutable; any number of threads may encode.
class Chat {
 public:
  // Reads chat_template.jinja, else `chat_template` of tokenizer_config.json, else the template in
  // a GGUF's metadata. Nothing when the model has none; an error when it has one that does not
  // compile.
  static Result<std::optional<Chat>> load(const Checkpoint& checkpoint);

  // Renders the messages and tokenises the result. Only what the template itself wrote can become
  // special tokens: text of messages never does.
  Result<std::vector<int32_t>> encode(const Tokenizer& tokenizer,
                                      const std::vector<Message>& messages,
                                      bool add_generation_prompt = true) const;

  // The same of any context of the template: messages, tools, add_generation_prompt, … With
  // `open_end`, the text of the last message, the rendering is cut after the last place where that
  // text stands, so that an answer continues it.
  Result<std::vector<int32_t>> encode(const Tokenizer& tokenizer, const OrderedJson& context,
                                      const std::optional<std::string>& open_end) const;

 private:
  std::shared_ptr<const ChatTemplate> template_;
  std::map<std::string, std::string> special_tokens_;
};

}  // namespace lotse
