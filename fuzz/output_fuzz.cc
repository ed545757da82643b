// Parses an arbitrary answer in a format that the first byte chooses: whole, byte by byte, and in
// pieces of a length that the second byte gives must mean the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "engine/output/output_parser.h"

namespace {

using lotse::OutputEvent;

std::vector<OutputEvent> parse(const lotse::OutputFormat& format, bool in_reasoning,
                               std::string_view text, size_t piece) {
  const auto parser =
      lotse::make_output_parser(format, {{{"add", {"a", "b"}}, {"say", {}}}, in_reasoning});
  std::vector<OutputEvent> events;
  const auto take = [&](const std::vector<OutputEvent>& more) {
    for (const OutputEvent& event : more) {
      const bool is_text =
          event.kind != OutputEvent::Kind::call_begin && event.kind != OutputEvent::Kind::call_end;
      if (is_text && !events.empty() && events.back().kind == event.kind) {
        events.back().text += event.text;
      } else {
        events.push_back(event);
      }
    }
  };
  while (!text.empty()) {
    take(parser->push(text.substr(0, piece)));
    text.remove_prefix(std::min(piece, text.size()));
  }
  take(parser->finish());
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const auto names = lotse::call_format_names();
  lotse::OutputFormat format;
  if ((data[0] & 64) != 0) format = lotse::detect_output_format("<think></think>");
  format.calls = lotse::find_call_format(names[(data[0] & 63) % names.size()]);
  const bool in_reasoning = (data[0] & 128) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto whole = parse(format, in_reasoning, text, size);
  if (parse(format, in_reasoning, text, 1) != whole) std::abort();
  if (parse(format, in_reasoning, text, data[1] + size_t{1}) != whole) std::abort();
  return 0;
}
