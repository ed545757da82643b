#include "tokenizer/gguf_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tokenizer/merge_table.h"
#include "tokenizer/pattern.h"
#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

constexpr std::string_view kPlace = "GGUF: tokenizer.ggml";

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5 };

// The expressions that the names of `tokenizer.ggml.pre` stand for, applied one after the other.
struct NamedPreTokenizer {
  std::string_view name;
  std::array<std::string_view, 3> expressions;
  bool ignore_merges = false;
};
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kO200kExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr NamedPreTokenizer kPreTokenizers[] = {
    {"gpt-2", {kGpt2Expression}},
    {"phi-2", {kGpt2Expression}},
    {"mpt", {kGpt2Expression}},
    {"olmo", {kGpt2Expression}},
    {"roberta-bpe", {kGpt2Expression}},
    {"jina-v2-de", {kGpt2Expression}},
    {"jina-v2-es", {kGpt2Expression}},
    {"starcoder", {kDigit, kGpt2Expression}},
    {"refact", {kDigit, kGpt2Expression}},
    {"command-r", {kDigit, kGpt2Expression}},
    {"smollm", {kDigit, kGpt2Expression}},
    {"codeshell", {kDigit, kGpt2Expression}},
    {"exaone", {kDigit, kGpt2Expression}},
    {"llama3", {kLlama3Expression}, true},
    {"llama-v3", {kLlama3Expression}, true},
    {"llama-bpe", {kLlama3Expression}, true},
    {"falcon3", {kLlama3Expression}, true},
    {"dbrx", {kLlama3Expression}},
    {"smaug-bpe", {kLlama3Expression}},
    {"glm4", {kLlama3Expression}},
    {"chatglm-bpe", {kLlama3Expression}},
    {"qwen2", {kQwen2Expression}},
    {"stablelm2", {kQwen2Expression}},
    {"deepseek-r1-qwen", {kQwen2Expression}},
    {"deepseek-v3", {kDeepSeekDigitsExpression, kDeepSeekCjkExpression, kDeepSeekExpression}},
    {"gpt-4o", {kO200kExpression}},
    {"llama4", {kO200kExpression}},
    {"tekken", {kTekkenExpression}, true},
};

class GgufReader {
 public:
  explicit GgufReader(const GgufVocabulary& source) : source_(source) {}

  Result<GgufParts> run() {
    LOTSE_TRY(check());
    collect_added();
    if (source_.model == "llama") {
      LOTSE_TRY(read_sentencepiece());
    } else if (source_.model == "gpt2") {
      LOTSE_TRY(read_byte_level());
    } else if (source_.model == "bert") {
      LOTSE_TRY(read_bert());
    } else {
      return fail(ErrorCode::unsupported,
                  "{}.model: \"{}\" is not supported; expected llama, gpt2 or bert", kPlace,
                  shown_briefly(source_.model));
    }
    if (source_.add_bos && source_.bos) parts_.prefix = {*source_.bos};
    if (source_.add_eos && source_.eos) parts_.suffix = {*source_.eos};
    return std::move(parts_);
  }

 private:
  int64_t count() const { return static_cast<int64_t>(source_.tokens.size()); }
  const std::string& token(int32_t id) const { return source_.tokens[static_cast<size_t>(id)]; }
  int32_t type(int32_t id) const {
    return source_.types.empty() ? kNormal : source_.types[static_cast<size_t>(id)];
  }

  Result<void> check() const {
    if (count() == 0 || count() > kMaxTokenId) {
      return fail(ErrorCode::invalid_input, "{}.tokens: expected 1 to {} tokens, got {}", kPlace,
                  kMaxTokenId, count());
    }
    for (int32_t id = 0; id < count(); ++id) {
      if (!is_utf8(token(id))) {
        return fail(ErrorCode::invalid_input, "{}.tokens[{}]: not valid UTF-8", kPlace, id);
      }
    }
    if (!source_.types.empty() && source_.types.size() != source_.tokens.size()) {
      return fail(ErrorCode::invalid_input, "{}.token_type: {} types for {} tokens", kPlace,
                  source_.types.size(), count());
    }
    LOTSE_TRY(check_id("bos_token_id", source_.bos));
    LOTSE_TRY(check_id("eos_token_id", source_.eos));
    return check_id("unknown_token_id", source_.unk);
  }

  Result<void> check_id(std::string_view key, std::optional<int32_t> id) const {
    if (!id || (*id >= 0 && *id < count())) return {};
    return fail(ErrorCode::invalid_input, "{}.{}: expected an id from 0 to {}, got {}", kPlace, key,
                count() - 1, *id);
  }

  void collect_added() {
    for (int32_t id = 0; id < count(); ++id) {
      const bool control = type(id) == kControl || type(id) == kUnknown;
      if (control || type(id) == kUserDefined) add(id, control);
    }
  }

  void add(int32_t id, bool special) {
    const AddedToken added{.content = token(id), .id = id, .special = special};
    if (is_privileged(added)) {
      parts_.reserved.resize(std::max(parts_.reserved.size(), static_cast<size_t>(id) + 1));
      parts_.reserved[static_cast<size_t>(id)] = true;
    }
    parts_.added.push_back(added);
  }

  Result<Vocabulary> vocabulary(bool byte_level) const {
    Vocabulary vocabulary(byte_level, count());
    for (int32_t id = 0; id < count(); ++id) {
      LOTSE_TRY(vocabulary.add(token(id), id, "GGUF: tokenizer.ggml.tokens"));
    }
    return vocabulary;
  }

  Result<void> read_sentencepiece() {
    parts_.kind = GgufKind::sentencepiece;
    parts_.vocabulary = LOTSE_TRY(vocabulary(false));
    parts_.unk_id = source_.unk.value_or(-1);
    return merge_by_score();
  }

  // SentencePiece merges whichever neighbours form the token with the highest score, the leftmost
  // first. So the merges are all ways to put a token together from two others, by descending score;
  // tokens of equal score by ascending id.
  //
  // SentencePiece knows no order among the ways to one token, and none is needed. Say two
  // neighbours form X. No merge so far crossed the ends of their stretch, so the merges inside it
  // are those that the text X alone would undergo, and these leave one way to X as the last step.
  Result<void> merge_by_score() {
    if (source_.scores.size() != source_.tokens.size()) {
      return fail(ErrorCode::invalid_input, "{}.scores: {} scores for {} tokens", kPlace,
                  source_.scores.size(), count());
    }
    const auto score = [&](int32_t id) { return source_.scores[static_cast<size_t>(id)]; };
    std::vector<int32_t> order(source_.tokens.size());
    std::iota(order.begin(), order.end(), 0);
    for (const int32_t id : order) {
      if (!std::isfinite(score(id))) {
        return fail(ErrorCode::invalid_input, "{}.scores[{}]: not a finite number", kPlace, id);
      }
    }
    std::ranges::sort(order, [&](int32_t a, int32_t b) {
      return score(a) != score(b) ? score(a) > score(b) : a < b;
    });
    for (const int32_t id : order) {
      if (is_reserved(parts_.reserved, id) || type(id) == kUnused) continue;
      LOTSE_TRY(add_splits(id));
      if (std::ssize(parts_.merges) > kMaxMerges) {
        return fail(ErrorCode::limit, "{}.tokens: more than {} merges", kPlace, kMaxMerges);
      }
    }
    return {};
  }

  Result<void> add_splits(int32_t id) {
    constexpr size_t kLongest = 1024;
    const std::string_view text = token(id);
    if (text.size() > kLongest) {
      return fail(ErrorCode::limit, "{}.tokens[{}]: {} bytes exceed the limit of {}", kPlace, id,
                  text.size(), kLongest);
    }
    size_t middle = 0;
    if (!text.empty()) next_char(text, middle);
    for (; middle < text.size(); next_char(text, middle)) {
      const int32_t left = parts_.vocabulary.find(text.substr(0, middle));
      const int32_t right = left >= 0 ? parts_.vocabulary.find(text.substr(middle)) : -1;
      if (right >= 0) parts_.merges.push_back({left, right, id});
    }
    return {};
  }

  Result<void> read_byte_level() {
    const auto* pre = std::ranges::find(kPreTokenizers, source_.pre, &NamedPreTokenizer::name);
    if (pre == std::end(kPreTokenizers)) {
      return fail(ErrorCode::unsupported, "{}.pre: \"{}\" is not supported", kPlace,
                  shown_briefly(source_.pre));
    }
    parts_.kind = GgufKind::byte_level;
    parts_.vocabulary = LOTSE_TRY(vocabulary(true));
    parts_.ignore_merges = pre->ignore_merges;
    for (const std::string_view expression : pre->expressions) {
      if (!expression.empty()) parts_.expressions.push_back(expression);
    }
    return read_merges();
  }

  Result<void> read_merges() {
    if (std::ssize(source_.merges) > kMaxMerges) {
      return fail(ErrorCode::limit, "{}.merges: {} exceed the limit of {}", kPlace,
                  source_.merges.size(), kMaxMerges);
    }
    const Vocabulary& tokens = parts_.vocabulary;
    for (const std::string_view line : source_.merges) {
      const size_t space = line.find(' ', 1);
      const std::string_view left = line.substr(0, space);
      const std::string_view right =
          space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
      const GgufMerge merge{tokens.find_written(left), tokens.find_written(right),
                            tokens.find_written(std::string(left) + std::string(right))};
      if (merge.left < 0 || merge.right < 0 || merge.merged < 0) {
        return fail(ErrorCode::invalid_input,
                    "{}.merges[{}]: \"{}\" is not two tokens that form a third", kPlace,
                    parts_.merges.size(), shown_briefly(line));
      }
      parts_.merges.push_back(merge);
    }
    return {};
  }

  // GGUF writes tokens that begin a word with "▁" and those that continue one without "##".
  Result<void> read_bert() {
    parts_.kind = GgufKind::bert;
    Vocabulary& tokens = parts_.vocabulary = Vocabulary(false, count());
    for (int32_t id = 0; id < count(); ++id) {
      const std::string_view text = token(id);
      const bool marker = text.size() > 2 && text.starts_with('[') && text.ends_with(']');
      std::string written(text);
      if (text.starts_with(kSentencePieceSpace)) {
        written = text.substr(kSentencePieceSpace.size());
      } else if (!marker) {
        written.insert(0, "##");
      }
      LOTSE_TRY(tokens.add(written, id, "GGUF: tokenizer.ggml.tokens"));
    }
    for (const std::string_view name : {"[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"}) {
      const int32_t id = tokens.find(name);
      const bool known =
          std::ranges::any_of(parts_.added, [&](const auto& a) { return a.id == id; });
      if (id >= 0 && !known) add(id, true);
    }
    parts_.unk_id = source_.unk.value_or(tokens.find("[UNK]"));
    if (parts_.unk_id >= 0) return {};
    return fail(ErrorCode::invalid_input, "{}.unknown_token_id: missing", kPlace);
  }

  const GgufVocabulary& source_;
  GgufParts parts_;
};

}  // namespace

Result<GgufParts> read_gguf_parts(const GgufVocabulary& source) { return GgufReader(source).run(); }

}  // namespace lotse
