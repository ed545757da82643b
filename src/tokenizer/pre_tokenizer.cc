#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "tokenizer/byte_level.h"
#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

struct Span {
  size_t begin;
  size_t end;
  bool is_match;
};

class Split : public PreTokenizer {
 public:
  Split(std::unique_ptr<Pattern> pattern, SplitBehaviour behaviour, bool invert)
      : pattern_(std::move(pattern)), behaviour_(behaviour), invert_(invert) {}

  Result<void> split(Piece piece, PieceSink sink) const override {
    if (behaviour_ == SplitBehaviour::isolated || behaviour_ == SplitBehaviour::removed) {
      return for_each_span(piece.text, [&](Span span) -> Result<void> {
        if (span.is_match && behaviour_ == SplitBehaviour::removed) return {};
        return report(piece, span, sink);
      });
    }
    for (const Span& span : LOTSE_TRY(joined_spans(piece.text))) {
      LOTSE_TRY(report(piece, span, sink));
    }
    return {};
  }

 private:
  static Result<void> report(Piece piece, Span span, PieceSink sink) {
    if (span.begin == span.end) return {};
    return sink(
        {piece.text.substr(span.begin, span.end - span.begin), piece.at_start && span.begin == 0});
  }

  // Matches and what lies between them, in order.
  template <class Visit>
  Result<void> for_each_span(std::string_view text, Visit&& visit) const {
    size_t done = 0;
    LOTSE_TRY(pattern_->find(text, [&](size_t begin, size_t end) -> Result<void> {
      if (done < begin) LOTSE_TRY(visit(Span{done, begin, invert_}));
      done = end;
      return visit(Span{begin, end, !invert_});
    }));
    if (done < text.size()) LOTSE_TRY(visit(Span{done, text.size(), invert_}));
    return {};
  }

  Result<std::vector<Span>> joined_spans(std::string_view text) const {
    std::vector<Span> spans;
    LOTSE_TRY(for_each_span(text, [&](Span span) -> Result<void> {
      spans.push_back(span);
      return {};
    }));
    const bool backward = behaviour_ == SplitBehaviour::merged_with_next;
    if (backward) std::ranges::reverse(spans);
    std::vector<Span> joined;
    bool previous_match = false;
    for (const Span& span : spans) {
      const bool join = behaviour_ == SplitBehaviour::contiguous ? span.is_match == previous_match
                                                                 : span.is_match && !previous_match;
      previous_match = span.is_match;
      if (!join || joined.empty()) {
        joined.push_back(span);
      } else if (backward) {
        joined.back().begin = span.begin;
      } else {
        joined.back().end = span.end;
      }
    }
    if (backward) std::ranges::reverse(joined);
    return joined;
  }

  std::unique_ptr<Pattern> pattern_;
  SplitBehaviour behaviour_;
  bool invert_;
};

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string_view replacement, PrependScheme scheme, bool cut)
      : replacement_(replacement), scheme_(scheme) {
    if (cut) {
      cut_ = split_at(literal_pattern(replacement), SplitBehaviour::merged_with_next, false);
    }
  }

  Result<void> split(Piece piece, PieceSink sink) const override {
    const bool prepend =
        scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && piece.at_start);
    const bool has_space = piece.text.starts_with(' ') || piece.text.starts_with(replacement_);
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2);
    if (prepend && !has_space) text = replacement_;
    for (const char c : piece.text) {
      if (c == ' ') {
        text += replacement_;
      } else {
        text += c;
      }
    }
    const Piece rewritten{text, piece.at_start};
    return cut_ ? cut_->split(rewritten, sink) : sink(rewritten);
  }

 private:
  std::string replacement_;
  PrependScheme scheme_;
  std::unique_ptr<PreTokenizer> cut_;
};

class PrependSpace : public PreTokenizer {
 public:
  Result<void> split(Piece piece, PieceSink sink) const override {
    if (piece.text.starts_with(' ')) return sink(piece);
    const std::string text = " " + std::string(piece.text);
    return sink({text, piece.at_start});
  }
};

class ToByteLevel : public PreTokenizer {
 public:
  Result<void> split(Piece piece, PieceSink sink) const override {
    std::string text;
    append_byte_level(text, piece.text);
    return sink({text, piece.at_start});
  }
};

class FromByteLevel : public PreTokenizer {
 public:
  Result<void> split(Piece piece, PieceSink sink) const override {
    std::string text;
    if (!append_bytes_of(text, piece.text)) {
      return fail(ErrorCode::unsupported,
                  "pre_tokenizer: \"{}\" after ByteLevel has characters that stand for no byte",
                  shown_briefly(piece.text));
    }
    return sink({text, piece.at_start});
  }
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}

  Result<void> split(Piece piece, PieceSink sink) const override { return from(0, piece, sink); }

 private:
  Result<void> from(size_t step, Piece piece, PieceSink sink) const {
    if (step == steps_.size()) return sink(piece);
    if (step + 1 == steps_.size()) return steps_[step]->split(piece, sink);
    return steps_[step]->split(piece, [&](Piece part) { return from(step + 1, part, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

}  // namespace

bool is_bert_punctuation(char32_t c) {
  const bool ascii = (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
                     (c >= '{' && c <= '~');
  return ascii || (CharClasses::get()[c] & kPunctuation) != 0;
}

std::unique_ptr<PreTokenizer> split_at(std::unique_ptr<Pattern> pattern, SplitBehaviour behaviour,
                                       bool invert) {
  return std::make_unique<Split>(std::move(pattern), behaviour, invert);
}

std::unique_ptr<PreTokenizer> metaspace(std::string_view replacement, PrependScheme scheme,
                                        bool cut) {
  return std::make_unique<Metaspace>(replacement, scheme, cut);
}

std::unique_ptr<PreTokenizer> prepend_space() { return std::make_unique<PrependSpace>(); }

std::unique_ptr<PreTokenizer> to_byte_level() { return std::make_unique<ToByteLevel>(); }

std::unique_ptr<PreTokenizer> from_byte_level() { return std::make_unique<FromByteLevel>(); }

std::unique_ptr<PreTokenizer> sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) {
  return std::make_unique<Sequence>(std::move(steps));
}

std::unique_ptr<PreTokenizer> bert_pre_tokenizer() {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(split_at(class_pattern(is_white_space, true), SplitBehaviour::removed, false));
  steps.push_back(
      split_at(class_pattern(is_bert_punctuation, false), SplitBehaviour::isolated, false));
  return sequence(std::move(steps));
}

std::unique_ptr<PreTokenizer> assemble(PreTokenizerSteps section, bool raw_bytes) {
  if (raw_bytes && section.byte_level_last) {
    section.steps.pop_back();
  } else if (raw_bytes && section.byte_level) {
    section.steps.push_back(from_byte_level());
  }
  if (section.steps.size() == 1) return std::move(section.steps[0]);
  return sequence(std::move(section.steps));
}

}  // namespace lotse
