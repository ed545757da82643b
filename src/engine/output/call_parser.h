// Calls of tools within content.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/output/call_frame.h"
#include "engine/output/json_cursor.h"
#include "engine/output/output_parser.h"

namespace lotse {

// Adds text to the last event where that is of the same kind.
void add_text(std::vector<OutputEvent>& events, OutputEvent::Kind kind, std::string_view text);

// Where calls are written to.
class CallWriter {
 public:
  void begin(std::string name, std::string id = {});
  void arguments(std::string_view json);
  void end();
  void content(std::string_view text) { add_text(events_, OutputEvent::Kind::content, text); }
  void reasoning(std::string_view text) { add_text(events_, OutputEvent::Kind::reasoning, text); }

  bool is_open() const { return is_open_; }
  int32_t count() const { return count_; }    // of calls begun
  int64_t writes() const { return writes_; }  // grows with everything that is written of a call
  std::vector<OutputEvent> take() { return std::exchange(events_, {}); }

 private:
  std::vector<OutputEvent> events_;
  int32_t count_ = 0;
  int64_t writes_ = 0;
  bool is_open_ = false;
};

// Whether a text may be the name of a tool: letters of any kind, digits, and "_-.:/".
bool is_call_name(std::string_view text);

// What follows the marker of a call, or of several: one format each. Begins a call not before its
// arguments are certain to begin, and ends those it begins unless it fails.
class CallBody {
 public:
  virtual ~CallBody() = default;
  virtual Taken take(char c, CallWriter& calls) = 0;
};

using Tools = std::vector<ToolSignature>;

struct CallFormat {
  struct Opening {
    std::string_view marker;
    std::unique_ptr<CallBody> (*make_body)(const Tools& tools);
  };
  // What a call that is forced is written as: `before`, then where they are outside of the rest the
  // name and `after`, then the rest.
  struct Forced {
    CallRest rest = CallRest::object;
    std::string_view before;
    std::string_view after = {};
    std::string_view arguments_key = "arguments";
  };
  std::string_view name;
  std::vector<Opening> openings;  // none of their markers begins another
  // May follow a call, and are then no content.
  std::vector<std::string_view> closings = {};
  std::vector<std::string_view> other_markers = {};  // within bodies
  // A body that begins where an answer does, or after another call: its first byte decides.
  std::unique_ptr<CallBody> (*make_bare_body)(const Tools& tools) = nullptr;
  char bare_begin = 0;
  Forced forced = {};
  // Of a format that is a whole, with reasoning and content; it has no openings.
  std::unique_ptr<OutputParser> (*make_parser)(const OutputOptions& options) = nullptr;
};

class CallParser final : public OutputParser {
 public:
  CallParser(const CallFormat& format, Tools tools);
  std::vector<OutputEvent> push(std::string_view text) override;
  std::vector<OutputEvent> finish() override;

 private:
  void take(char c);
  void take_body_byte(char c);
  void match_markers();
  bool match_marker();
  void begin_body(std::unique_ptr<CallBody> body);
  void add_content(char c);
  void fall_back();
  bool follows_call() const { return at_border_ && calls_.count() > 0; }

  const CallFormat& format_;
  Tools tools_;
  CallWriter calls_;
  std::unique_ptr<CallBody> body_;  // null within content
  int32_t calls_before_body_ = 0;
  std::string space_;  // of the content's end so far
  // Of content, what may begin a marker; of a body, what no call has yet.
  std::string held_;
  bool at_border_ = true;  // only white space and closing markers since the beginning or a call
};

}  // namespace lotse
