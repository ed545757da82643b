#include "server/answer_reader.h"

#include <fmt/format.h>

namespace lotse {
namespace {

// Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014.
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Nine letters and digits, which is what Mistral's templates take, and nobody minds.
std::string call_id(uint64_t seed, int32_t call) {
  constexpr std::string_view kDigits =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  uint64_t rest = mixed(seed + static_cast<uint64_t>(call));
  std::string id;
  for (int i = 0; i < 9; ++i, rest /= kDigits.size()) id += kDigits[rest % kDigits.size()];
  return id;
}

}  // namespace

AnswerReader::AnswerReader(const GenerationSettings& settings, const Tokenizer& tokenizer,
                           uint64_t id_seed)
    : settings_(settings),
      tokenizer_(tokenizer),
      decoder_(tokenizer, false),
      stop_(settings.stop, settings.include_stop),
      parser_(make_output_parser(settings.shape.format, settings.shape.options)),
      id_seed_(id_seed) {
  for (const std::string_view marker : markers(settings.shape.format)) {
    if (const auto id = tokenizer.token_to_id(marker)) markers_.insert(*id);
  }
}

bool AnswerReader::is_shown(int32_t token) const {
  return !settings_.skip_special || !tokenizer_.is_special(token) || markers_.contains(token);
}

Piece AnswerReader::push(const GeneratedToken& token) {
  Piece piece{{}, {token}};
  const bool reasoned = parser_->is_reasoning();
  std::string text = is_shown(token.token) ? decoder_.push(token.token) : "";
  // Stop strings count from min_tokens on.
  if (++tokens_ >= settings_.min_tokens) text = stop_.push(text);
  add(piece, parser_->push(text));
  piece.reasoning_tokens = reasoned || parser_->is_reasoning() ? 1 : 0;
  return piece;
}

Piece AnswerReader::finish() {
  Piece piece;
  std::string rest = stop_.push(decoder_.flush());
  rest += stop_.flush();
  add(piece, parser_->push(rest));
  add(piece, parser_->finish());
  return piece;
}

void AnswerReader::add(Piece& piece, std::vector<OutputEvent> events) {
  for (OutputEvent& event : events) {
    if (has_last_call_) return;
    if (event.kind == OutputEvent::Kind::reasoning && !settings_.shape.shows_reasoning) continue;
    if (event.kind == OutputEvent::Kind::call_begin) {
      has_calls_ = true;
      if (event.id.empty()) event.id = call_id(id_seed_, event.call);
    }
    has_last_call_ = event.kind == OutputEvent::Kind::call_end && !settings_.shape.parallel_calls;
    piece.events.push_back(std::move(event));
  }
}

}  // namespace lotse
