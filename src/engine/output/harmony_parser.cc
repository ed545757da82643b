#include "engine/output/harmony_parser.h"

#include <algorithm>

namespace lotse {
namespace {

constexpr size_t kMaxHarmonyHeader = 512;
constexpr std::string_view kChannel = "<|channel|>";
constexpr std::string_view kMessage = "<|message|>";
constexpr std::string_view kStart = "<|start|>";
constexpr std::string_view kRecipient = " to=";
constexpr std::string_view kMarkers[] = {kChannel,  kMessage,   kStart,
                                         "<|end|>", "<|call|>", "<|return|>"};

// A word of a header: what stands behind `before`.
std::string_view word_after(std::string_view header, std::string_view before) {
  const size_t begin = header.rfind(before);
  if (begin == std::string_view::npos) return {};
  header.remove_prefix(begin + before.size());
  return header.substr(0, header.find_first_of(" <\n"));
}

}  // namespace

std::vector<OutputEvent> HarmonyParser::push(std::string_view text) {
  for (const char c : text) take(c);
  return calls_.take();
}

std::vector<OutputEvent> HarmonyParser::finish() {
  if (body_ == Body::header) leave_header();
  for (const char c : std::exchange(held_, {})) take_text(c);
  end_body();
  return calls_.take();
}

void HarmonyParser::take(char c) {
  held_ += c;
  match_markers();
}

void HarmonyParser::match_markers() {
  while (!held_.empty() && !match_marker()) {
    at_begin_ = false;
    take_text(held_.front());
    held_.erase(0, 1);
  }
}

bool HarmonyParser::match_marker() {
  if (at_begin_ && kRecipient.starts_with(held_)) {
    if (held_ == kRecipient) {
      body_ = Body::header;
      header_ = std::exchange(held_, {});
      at_begin_ = false;
    }
    return true;
  }
  const auto* marker = std::ranges::find_if(
      kMarkers, [&](std::string_view known) { return known.starts_with(held_); });
  if (marker == std::end(kMarkers)) return false;
  if (*marker == held_) take_marker();
  return true;
}

void HarmonyParser::take_marker() {
  const std::string marker = std::exchange(held_, {});
  at_begin_ = false;
  if (marker == kMessage && body_ == Body::header) return begin_body();
  if (marker == kMessage) {
    for (const char c : marker) take_text(c);
    return;
  }
  if (body_ == Body::header && marker == kChannel) {
    header_ += marker;
    return;
  }
  if (body_ == Body::header) leave_header();
  end_body();
  if (marker != kStart && marker != kChannel) return;
  body_ = Body::header;
  header_ = marker;
}

void HarmonyParser::begin_body() {
  constexpr std::string_view kFunctions = "functions.";
  const std::string_view recipient = word_after(header_, "to=");
  const std::string_view channel = word_after(header_, kChannel);
  if (recipient.empty()) {
    body_ = channel == "analysis" ? Body::reasoning : Body::content;
    return;
  }
  const std::string_view tool =
      recipient.starts_with(kFunctions) ? recipient.substr(kFunctions.size()) : "";
  if (!has_tools_ || !is_call_name(tool)) {
    header_ += kMessage;
    return leave_header();
  }
  calls_.begin(std::string(tool));
  arguments_ = {};
  body_ = Body::call;
}

// What looked like a header is content, as what follows.
void HarmonyParser::leave_header() {
  calls_.content(std::exchange(header_, {}));
  body_ = Body::content;
}

void HarmonyParser::end_body() {
  if (calls_.is_open()) calls_.end();
  body_ = Body::content;
}

void HarmonyParser::take_text(char c) {
  switch (body_) {
    case Body::header:
      header_ += c;
      if (header_.size() > kMaxHarmonyHeader) leave_header();
      break;
    case Body::reasoning:
      calls_.reasoning({&c, 1});
      break;
    case Body::content:
      calls_.content({&c, 1});
      break;
    case Body::call: {
      const Taken taken = calls_.is_open() ? arguments_.take(c) : Taken::bad;
      if (taken == Taken::more || taken == Taken::last) calls_.arguments({&c, 1});
      if (taken == Taken::last) calls_.end();
      if (taken != Taken::bad) break;
      if (!calls_.is_open() && is_json_space(c)) break;
      end_body();
      calls_.content({&c, 1});
      break;
    }
  }
}

std::unique_ptr<OutputParser> harmony_parser(const OutputOptions& options) {
  return std::make_unique<HarmonyParser>(options);
}

}  // namespace lotse
