// One answer on the engine's thread: tokens become text, and text becomes events.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/answer.h"
#include "server/settings.h"
#include "server/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

// Makes the events of an answer from its tokens, up to the stop string or the last call that it may
// have. Special tokens are left out as the settings ask for, except for those that are markers of
// the model's format. Not thread-safe; what it is made of must outlive it.
class AnswerReader {
 public:
  // `id_seed` makes the ids of calls, with the number of the call.
  AnswerReader(const GenerationSettings& settings, const Tokenizer& tokenizer, uint64_t id_seed);

  Piece push(const GeneratedToken& token);
  // What was held back; its tokens are none.
  Piece finish();

  // Whether nothing more is wanted.
  bool is_over() const { return stop_.found() || has_last_call_; }
  const std::optional<std::string>& stop_string() const { return stop_.found(); }
  bool has_calls() const { return has_calls_; }

 private:
  bool is_shown(int32_t token) const;
  void add(Piece& piece, std::vector<OutputEvent> events);

  const GenerationSettings& settings_;
  const Tokenizer& tokenizer_;
  std::set<int32_t> markers_;
  StreamDecoder decoder_;
  StopStrings stop_;
  std::unique_ptr<OutputParser> parser_;
  uint64_t id_seed_;
  int64_t tokens_ = 0;
  bool has_calls_ = false;
  bool has_last_call_ = false;
};

}  // namespace lotse
