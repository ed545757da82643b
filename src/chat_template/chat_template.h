// Chat templates: the subset of Jinja that chat models' templates use, rendered exactly as Hugging
// Face's environment does (Jinja2 in its immutable sandbox; trim_blocks, lstrip_blocks, loop
// controls, raise_exception, strftime_now, tojson without HTML escapes, the `generation` tag as a
// plain block). A template that cannot be rendered so is an error with its name and line. Templates
// and contexts are hostile: every rendering has a budget, and nothing touches the system.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

namespace jinja {
struct Program;
}

// JSON that keeps its keys in the order of the text, because templates print them in that order.
using OrderedJson = nlohmann::ordered_json;

// Parses strictly (no duplicate keys, nesting to 64, UTF-8) in linear time. `origin` begins every
// error message.
Result<OrderedJson> parse_ordered_json(std::string_view text, std::string_view origin);

struct RenderLimits {
  int64_t max_steps = 5'000'000;  // nodes evaluated, items visited, blocks of 16 bytes scanned
  // Nesting of expressions, blocks and macro calls; 800 levels need up to 1.5 MiB of stack.
  int max_depth = 800;
  int64_t max_output_bytes = int64_t{8} << 20;  // of the output; 16 times that in all values
  std::chrono::milliseconds max_time{800};
};

// A part of a rendering. Special tokens are looked for in trusted parts only; everything else is
// ordinary text. The parts together are the text to tokenise: a border between two parts is not a
// border for the tokenizer.
struct Segment {
  std::string text;
  bool trusted;  // written in the template or a special token given by the caller

  bool operator==(const Segment&) const = default;
};

struct RenderOptions {
  RenderLimits limits;
  // The model's own special tokens (bos_token, eos_token, …), from its tokenizer and never from a
  // request. They take the place of equally named keys of the context.
  std::map<std::string, std::string> special_tokens;
  // The local time that strftime_now shows; the system's when empty.
  std::function<std::tm()> local_time;
};

// An immutable, compiled template; any number of threads may render with it.
class ChatTemplate {
 public:
  // `origin` names the template in errors (a file, say). Errors: invalid_input with the line.
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string_view source,
                                                             std::string_view origin);

  explicit ChatTemplate(std::unique_ptr<const jinja::Program> program);
  ~ChatTemplate();

  // `context` is an object: messages, tools, add_generation_prompt, … Errors: invalid_input for
  // whatever makes Python raise (raise_exception too, with its message), limit for a budget.
  Result<std::string> render(const OrderedJson& context, const RenderOptions& options = {}) const;

  // The same, divided by trust. Every string of the context is untrusted, except a message's
  // "role" when it is one of the well-known ones.
  Result<std::vector<Segment>> render_segments(const OrderedJson& context,
                                               const RenderOptions& options = {}) const;

 private:
  std::unique_ptr<const jinja::Program> program_;
};

}  // namespace lotse
