// Events of a parser in a form to compare: texts of one kind joined, one line an event.
#pragma once

#include <string>
#include <vector>

#include "engine/output/output_parser.h"

namespace lotse {

inline std::vector<OutputEvent> joined(const std::vector<OutputEvent>& events) {
  std::vector<OutputEvent> result;
  for (const OutputEvent& event : events) {
    const bool is_text =
        event.kind != OutputEvent::Kind::call_begin && event.kind != OutputEvent::Kind::call_end;
    if (is_text && !result.empty() && result.back().kind == event.kind) {
      result.back().text += event.text;
    } else {
      result.push_back(event);
    }
  }
  return result;
}

inline std::string shown(const OutputEvent& event) {
  const std::string number = std::to_string(event.call) + " ";
  switch (event.kind) {
    case OutputEvent::Kind::reasoning:
      return "think " + event.text;
    case OutputEvent::Kind::content:
      return "text " + event.text;
    case OutputEvent::Kind::call_begin:
      return "call " + number + event.text + (event.id.empty() ? "" : " " + event.id);
    case OutputEvent::Kind::call_arguments:
      return "args " + number + event.text;
    case OutputEvent::Kind::call_end:
      return "end " + std::to_string(event.call);
  }
  return "?";
}

inline std::vector<std::string> shown(const std::vector<OutputEvent>& events) {
  std::vector<std::string> lines;
  for (const OutputEvent& event : joined(events)) lines.push_back(shown(event));
  return lines;
}

inline void append(std::vector<OutputEvent>& events, std::vector<OutputEvent> more) {
  events.insert(events.end(), more.begin(), more.end());
}

// The events of a text in pieces that end at `cuts`.
inline std::vector<std::string> parse(const OutputFormat& format, const OutputOptions& options,
                                      std::string_view text, const std::vector<size_t>& cuts = {}) {
  const auto parser = make_output_parser(format, options);
  std::vector<OutputEvent> events;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    append(events, parser->push(text.substr(begin, cut - begin)));
    begin = cut;
  }
  append(events, parser->push(text.substr(begin)));
  append(events, parser->finish());
  return shown(events);
}

}  // namespace lotse
