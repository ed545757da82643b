#include "tokenizer/decoder.h"

#include <array>
#include <charconv>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    out += text.substr(done, at - done);
    out += with;
    done = at + what.size();
  }
  out += text.substr(done);
  return out;
}

// A step whose result for a token depends on the token and its place only:
// `Map::operator()(token, index)`.
template <class Map>
class MapStage : public DecodeStage {
 public:
  explicit MapStage(Map map) : map_(std::move(map)) {}
  void push(std::string_view token, TextSink next) override { next(map_(token, index_++)); }

 private:
  Map map_;
  size_t index_ = 0;
};

// A step that must see all of a joined token at once.
class WholeStage : public DecodeStage {
 public:
  explicit WholeStage(std::unique_ptr<DecodeStage> inner) : inner_(std::move(inner)) {}
  void push(std::string_view token, TextSink) override { whole_ += token; }
  void finish(TextSink next) override {
    inner_->push(whole_, next);
    inner_->finish(next);
  }

 private:
  std::unique_ptr<DecodeStage> inner_;
  std::string whole_;
};

template <class Map>
DecodeStep map_step(Map map) {
  return [map](bool joined) -> std::unique_ptr<DecodeStage> {
    auto stage = std::make_unique<MapStage<Map>>(map);
    if (joined) return std::make_unique<WholeStage>(std::move(stage));
    return stage;
  };
}

// Bytes to valid UTF-8; the beginning of a character waits for its rest.
class BytesStage : public DecodeStage {
 public:
  void push(std::string_view token, TextSink next) override {
    pending_ += token;
    const size_t whole = pending_.size() - incomplete_utf8_tail(pending_);
    if (whole == 0) return;
    next(decode_lossy(std::string_view(pending_).substr(0, whole)));
    pending_.erase(0, whole);
  }
  void finish(TextSink next) override {
    if (!pending_.empty()) next(decode_lossy(pending_));
  }

 private:
  std::string pending_;
};

class ByteLevelStage : public DecodeStage {
 public:
  void push(std::string_view token, TextSink next) override {
    std::string bytes;
    bytes_.push(append_bytes_of(bytes, token) ? bytes : token, next);
  }
  void finish(TextSink next) override { bytes_.finish(next); }

 private:
  BytesStage bytes_;
};

// Runs of tokens <0x00> to <0xFF> to the characters they spell. A run that is not valid UTF-8 gives
// one U+FFFD a byte, so a run can be passed on only when it has ended.
class ByteFallbackStage : public DecodeStage {
 public:
  void push(std::string_view token, TextSink next) override {
    if (const int byte = byte_of_fallback_token(token); byte >= 0) {
      run_ += static_cast<char>(static_cast<uint8_t>(byte));
      return;
    }
    finish(next);
    next(token);
  }
  void finish(TextSink next) override {
    if (run_.empty()) return;
    const std::string run = std::exchange(run_, {});
    if (is_valid_utf8(run)) {
      next(run);
    } else {
      for (size_t i = 0; i < run.size(); ++i) next("\ufffd");
    }
  }

 private:
  std::string run_;
};

class FuseStage : public DecodeStage {
 public:
  void push(std::string_view token, TextSink next) override { next(token); }
};

struct StripMap {
  std::string content;
  size_t start;
  size_t stop;

  std::string operator()(std::string_view token, size_t) const {
    for (size_t i = 0; i < start && token.starts_with(content); ++i) {
      token.remove_prefix(content.size());
    }
    for (size_t i = 0; i < stop && token.ends_with(content); ++i) {
      token.remove_suffix(content.size());
    }
    return std::string(token);
  }
};

// The same for a token that comes in pieces: strips at its beginning, and holds back what may be
// its end.
class JoinedStripStage : public DecodeStage {
 public:
  explicit JoinedStripStage(StripMap strip) : strip_(std::move(strip)) {}

  void push(std::string_view token, TextSink next) override {
    pending_ += token;
    std::string_view text = pending_;
    while (strip_.start > 0 && text.starts_with(strip_.content)) {
      text.remove_prefix(strip_.content.size());
      --strip_.start;
    }
    if (!text.empty()) strip_.start = 0;
    size_t end = text.size();
    for (size_t i = 0; i < strip_.stop && text.substr(0, end).ends_with(strip_.content); ++i) {
      end -= strip_.content.size();
    }
    if (end > 0) next(text.substr(0, end));
    pending_ = std::string(text.substr(end));
  }
  // Everything held back is to be stripped.
  void finish(TextSink) override {}

 private:
  StripMap strip_;
  std::string pending_;
};

struct WordPieceMap {
  std::string prefix;
  bool cleanup;

  std::string operator()(std::string_view token, size_t index) const {
    std::string text(token);
    if (index > 0) {
      text = text.starts_with(prefix) ? text.substr(prefix.size()) : " " + text;
    }
    if (!cleanup) return text;
    constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kRepairs = {
        {{" .", "."},
         {" ?", "?"},
         {" !", "!"},
         {" ,", ","},
         {" ' ", "'"},
         {" n't", "n't"},
         {" 'm", "'m"},
         {" do not", " don't"},
         {" 's", "'s"},
         {" 've", "'ve"},
         {" 're", "'re"}}};
    for (const auto& [what, with] : kRepairs) text = replaced(text, what, with);
    return text;
  }
};

struct MetaspaceMap {
  std::string replacement;
  PrependScheme scheme;

  std::string operator()(std::string_view token, size_t index) const {
    const bool first = index == 0 && scheme != PrependScheme::never;
    return replaced(token, replacement, first ? "" : " ");
  }
};

struct ReplaceMap {
  std::shared_ptr<const Pattern> pattern;
  std::string content;

  std::string operator()(std::string_view token, size_t) const {
    std::string out;
    size_t done = 0;
    const auto found = pattern->find(token, [&](size_t begin, size_t end) -> Result<void> {
      out += token.substr(done, begin - done);
      out += content;
      done = end;
      return {};
    });
    // An expression that gives up on a token leaves it as it is.
    if (!found) return std::string(token);
    out += token.substr(done);
    return out;
  }
};

template <class Stage>
DecodeStep stateful_step() {
  return [](bool joined) -> std::unique_ptr<DecodeStage> {
    auto stage = std::make_unique<Stage>();
    if (joined) return std::make_unique<WholeStage>(std::move(stage));
    return stage;
  };
}

}  // namespace

int byte_of_fallback_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  unsigned value = 0;
  const char* const end = token.data() + 5;
  const auto parsed = std::from_chars(token.data() + 3, end, value, 16);
  return parsed.ec == std::errc() && parsed.ptr == end ? static_cast<int>(value) : -1;
}

DecodeStep decode_byte_level() { return stateful_step<ByteLevelStage>(); }
DecodeStep decode_bytes() { return stateful_step<BytesStage>(); }
DecodeStep decode_byte_fallback() { return stateful_step<ByteFallbackStage>(); }
DecodeStep decode_fuse() {
  return [](bool) { return std::make_unique<FuseStage>(); };
}
DecodeStep decode_metaspace(std::string replacement, PrependScheme scheme) {
  return map_step(MetaspaceMap{std::move(replacement), scheme});
}
DecodeStep decode_strip(std::string content, size_t start, size_t stop) {
  const StripMap strip{std::move(content), start, stop};
  return [strip](bool joined) -> std::unique_ptr<DecodeStage> {
    if (joined) return std::make_unique<JoinedStripStage>(strip);
    return std::make_unique<MapStage<StripMap>>(strip);
  };
}
DecodeStep decode_replace(std::shared_ptr<const Pattern> pattern, std::string content) {
  return map_step(ReplaceMap{std::move(pattern), std::move(content)});
}
DecodeStep decode_wordpiece(std::string prefix, bool cleanup) {
  return map_step(WordPieceMap{std::move(prefix), cleanup});
}
DecodeStep decode_with_spaces() {
  return map_step([](std::string_view token, size_t index) {
    return (index > 0 ? " " : "") + std::string(token);
  });
}

void Decoder::add(DecodeStep step, bool joins) {
  if (joins && joins_after == SIZE_MAX) joins_after = steps.size();
  steps.push_back(std::move(step));
}

Decoding::Decoding(const Decoder& decoder) {
  for (size_t i = 0; i < decoder.steps.size(); ++i) {
    stages_.push_back(decoder.steps[i](i > decoder.joins_after));
  }
}

void Decoding::run(size_t stage, std::string_view token, std::string& out) {
  if (stage == stages_.size()) {
    out += token;
    return;
  }
  stages_[stage]->push(token, [&](std::string_view text) { run(stage + 1, text, out); });
}

void Decoding::finish(std::string& out) {
  for (size_t i = 0; i < stages_.size(); ++i) {
    stages_[i]->finish([&](std::string_view text) { run(i + 1, text, out); });
  }
}

}  // namespace lotse
