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
#include "engine/output/output_parser.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// How a template takes messages of the assistant that call tools.
struct CallMessageStyle {
  bool arguments_are_text = false;  // JSON text, rather than an object
  bool content_is_null = false;     // where there is none, rather than the empty text
};

// Immutable; any number of threads may encode.
class Chat {
 public:
  // Reads chat_template.jinja, else `chat_template` of tokenizer_config.json, else the template in
  // a GGUF's metadata. Nothing when the model has none; an error when it has one that does not
  // compile.
  static Result<std::optional<Chat>> load(const Checkpoint& checkpoint);
  // From the text of a template; `origin` begins error messages.
  static Result<Chat> compile(const std::string& source, const std::string& origin,
                              std::map<std::string, std::string> special_tokens = {});

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

  // What the template's markers tell of the model's answers.
  const OutputFormat& output_format() const { return output_format_; }
  // Found by rendering such messages.
  const CallMessageStyle& call_style() const { return call_style_; }

 private:
  CallMessageStyle find_call_style() const;

  OutputFormat output_format_;
  CallMessageStyle call_style_;
  std::shared_ptr<const ChatTemplate> template_;
  std::map<std::string, std::string> special_tokens_;
};

}  // namespace lotse
