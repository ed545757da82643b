// What a model writes, taken apart while it is written: reasoning, the answer's text, and calls of
// tools.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lotse {

struct OutputEvent {
  enum class Kind : uint8_t { reasoning, content, call_begin, call_arguments, call_end };
  Kind kind = Kind::content;
  std::string text = {};  // of reasoning, content, or arguments (JSON); a call's name as it begins
  std::string id = {};    // of a call that begins, where the model gave it one
  int32_t call = 0;       // its number, from 0; one call ends before the next begins
  bool operator==(const OutputEvent&) const = default;
};

// Takes one answer in pieces. However it is cut into pieces, the texts are the same when those of
// one kind that follow one another are joined. What may be the beginning of a marker is held back.
//
// The arguments of a call are a JSON object, unless the answer ends or breaks the format within
// them: then the call ends there, and content goes on. What breaks the format before its arguments
// begin is content, markers included. White space around reasoning and around calls belongs to the
// format and is dropped; other text is not.
//
// Linear in the length of the text, whatever it holds. Not thread-safe.
class OutputParser {
 public:
  virtual ~OutputParser() = default;
  virtual std::vector<OutputEvent> push(std::string_view text) = 0;
  // What was held back, at the end of the answer.
  virtual std::vector<OutputEvent> finish() = 0;
  // Whether what follows is reasoning, as far as is known.
  virtual bool is_reasoning() const { return false; }
};

// What a parser has to know of a tool.
struct ToolSignature {
  std::string name;
  // Parameters that are not always strings. Formats that write strings without quotes need to tell.
  std::set<std::string, std::less<>> json_parameters = {};
};

struct CallFormat;     // how calls are written
struct ReasoningTags;  // what stands around reasoning

// How a model writes; null for what it does not.
struct OutputFormat {
  const CallFormat* calls = nullptr;
  const ReasoningTags* reasoning = nullptr;
};

// By the markers that a model's chat template has.
OutputFormat detect_output_format(std::string_view chat_template);
// By name; null when there is none.
const CallFormat* find_call_format(std::string_view name);
std::vector<std::string_view> call_format_names();
std::string_view name(const CallFormat& format);
// Texts that are part of a format: where one is a special token, a parser must see it.
std::vector<std::string_view> markers(const OutputFormat& format);
// Whether answers may have reasoning.
bool reasons(const OutputFormat& format);
// The marker that ends reasoning, of a format that has any.
std::string_view reasoning_close(const OutputFormat& format);
// Whether a prompt that ends so leaves reasoning open, for the answer to begin within it.
bool opens_reasoning(const OutputFormat& format, std::string_view prompt_end);

struct OutputOptions {
  std::vector<ToolSignature> tools;  // none: text that looks like a call is content
  bool begins_in_reasoning = false;
};
std::unique_ptr<OutputParser> make_output_parser(const OutputFormat& format, OutputOptions options);

}  // namespace lotse
