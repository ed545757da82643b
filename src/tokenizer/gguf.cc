// Tokenizers from GGUF metadata. The three kinds are expressed in the steps of tokenizer.json.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tokenizer/bpe.h"
#include "tokenizer/parts.h"
#include "tokenizer/shown.h"
#include "tokenizer/unicode.h"
#include "tokenizer/wordpiece.h"

namespace lotse {
namespace {

constexpr std::string_view kPlace = "GGUF: tokenizer.ggml";
constexpr std::string_view kMetaspace = "▁";

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

class GgufLoader {
 public:
  explicit GgufLoader(const GgufVocabulary& source) : source_(source) {}

  Result<std::shared_ptr<const Tokenizer>> run() {
    LOTSE_TRY(check());
    collect_added();
    if (source_.model == "llama") {
      LOTSE_TRY(build_sentencepiece());
    } else if (source_.model == "gpt2") {
      LOTSE_TRY(build_byte_level());
    } else if (source_.model == "bert") {
      LOTSE_TRY(build_bert());
    } else {
      return fail(ErrorCode::unsupported,
                  "{}.model: \"{}\" is not supported; expected llama, gpt2 or bert", kPlace,
                  shown_briefly(source_.model));
    }
    parts_->added = LOTSE_TRY(AddedTokens::create(std::move(added_), parts_->normalizer.get(),
                                                  "GGUF: tokenizer.ggml.tokens"));
    parts_->bos = source_.bos;
    parts_->eos = source_.eos;
    if (source_.add_bos && source_.bos) parts_->prefix = {*source_.bos};
    if (source_.add_eos && source_.eos) parts_->suffix = {*source_.eos};
    return std::make_shared<const Tokenizer>(std::move(parts_));
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
      reserved_.resize(std::max(reserved_.size(), static_cast<size_t>(id) + 1));
      reserved_[static_cast<size_t>(id)] = true;
    }
    added_.push_back(added);
  }

  Result<Vocabulary> vocabulary(bool byte_level) const {
    Vocabulary vocabulary(byte_level, count());
    for (int32_t id = 0; id < count(); ++id) {
      LOTSE_TRY(vocabulary.add(token(id), id, "GGUF: tokenizer.ggml.tokens"));
    }
    return vocabulary;
  }

  // SentencePiece's BPE merges whichever neighbours form the token with the highest score.
  Result<void> build_sentencepiece() {
    Vocabulary tokens = LOTSE_TRY(vocabulary(false));
    BpeOptions options;
    options.byte_fallback = true;
    options.fuse_unk = true;
    options.unk_id = source_.unk.value_or(-1);
    MergeTable merges = LOTSE_TRY(merges_by_score(tokens));
    parts_->model =
        std::make_unique<Bpe>(std::move(tokens), std::move(merges), std::move(options), reserved_);

    std::vector<std::unique_ptr<Normalizer>> steps;
    if (source_.add_space_prefix) steps.push_back(prepend(kMetaspace));
    steps.push_back(replace(literal_pattern(" "), kMetaspace));
    parts_->normalizer = normalizer_sequence(std::move(steps));

    Decoder decoder;
    decoder.add(decode_replace(literal_pattern(kMetaspace), " "), false);
    decoder.add(decode_byte_fallback(), false);
    decoder.add(decode_fuse(), true);
    if (source_.add_space_prefix) decoder.add(decode_strip(" ", 1, 0), false);
    parts_->set_decoder(std::move(decoder));
    return {};
  }

  // Every way to put a token together from two others, by descending score; tokens of equal score
  // by ascending id.
  Result<MergeTable> merges_by_score(const Vocabulary& tokens) const {
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
    struct Pair {
      int32_t left;
      int32_t right;
      int32_t merged;
    };
    std::vector<Pair> pairs;
    for (const int32_t id : order) {
      if (is_reserved(reserved_, id) || type(id) == kUnused) continue;
      LOTSE_TRY(for_each_split(
          id, tokens, [&](int32_t left, int32_t right) { pairs.push_back({left, right, id}); }));
      if (static_cast<int64_t>(pairs.size()) > kMaxMerges) {
        return fail(ErrorCode::limit, "{}.tokens: more than {} merges", kPlace, kMaxMerges);
      }
    }
    MergeTable merges(static_cast<int64_t>(pairs.size()));
    int32_t last = -1;
    for (const Pair& pair : pairs) {
      if (pair.merged != last) merges.add_rank(last = pair.merged);
      merges.add_pair(pair.left, pair.right);
    }
    return merges;
  }

  Result<void> for_each_split(int32_t id, const Vocabulary& tokens,
                              FunctionRef<void(int32_t, int32_t)> visit) const {
    constexpr size_t kLongest = 1024;
    const std::string_view text = token(id);
    if (text.size() > kLongest) {
      return fail(ErrorCode::limit, "{}.tokens[{}]: {} bytes exceed the limit of {}", kPlace, id,
                  text.size(), kLongest);
    }
    size_t middle = 0;
    if (!text.empty()) next_char(text, middle);
    for (; middle < text.size(); next_char(text, middle)) {
      const int32_t left = tokens.find(text.substr(0, middle));
      const int32_t right = left >= 0 ? tokens.find(text.substr(middle)) : -1;
      if (right >= 0) visit(left, right);
    }
    return {};
  }

  Result<void> build_byte_level() {
    const auto* pre = std::ranges::find(kPreTokenizers, source_.pre, &NamedPreTokenizer::name);
    if (pre == std::end(kPreTokenizers)) {
      return fail(ErrorCode::unsupported, "{}.pre: \"{}\" is not supported", kPlace,
                  shown_briefly(source_.pre));
    }
    Vocabulary tokens = LOTSE_TRY(vocabulary(true));
    BpeOptions options;
    options.ignore_merges = pre->ignore_merges;
    MergeTable merges = LOTSE_TRY(listed_merges(tokens));
    parts_->model =
        std::make_unique<Bpe>(std::move(tokens), std::move(merges), std::move(options), reserved_);

    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const std::string_view expression : pre->expressions) {
      if (expression.empty()) continue;
      auto pattern = LOTSE_TRY(regex_pattern(expression, "GGUF: tokenizer.ggml.pre"));
      steps.push_back(split_at(std::move(pattern), SplitBehaviour::isolated, false));
    }
    parts_->pre_tokenizer = steps.size() == 1 ? std::move(steps[0]) : sequence(std::move(steps));
    Decoder decoder;
    decoder.byte_level_first = true;
    decoder.add(decode_byte_level(), true);
    parts_->set_decoder(std::move(decoder));
    return {};
  }

  Result<MergeTable> listed_merges(const Vocabulary& tokens) const {
    const auto count = static_cast<int64_t>(source_.merges.size());
    if (count > kMaxMerges) {
      return fail(ErrorCode::limit, "{}.merges: {} exceed the limit of {}", kPlace, count,
                  kMaxMerges);
    }
    MergeTable merges(count);
    for (const std::string_view line : source_.merges) {
      const size_t space = line.find(' ', 1);
      const std::string_view left = line.substr(0, space);
      const std::string_view right =
          space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
      const int32_t left_id = tokens.find_written(left);
      const int32_t right_id = tokens.find_written(right);
      const int32_t merged = tokens.find_written(std::string(left) + std::string(right));
      if (left_id < 0 || right_id < 0 || merged < 0) {
        return fail(ErrorCode::invalid_input,
                    "{}.merges[{}]: \"{}\" is not two tokens that form a third", kPlace,
                    merges.ranks(), shown_briefly(line));
      }
      merges.add_rank(merged);
      if (!is_reserved(reserved_, merged)) merges.add_pair(left_id, right_id);
    }
    return merges;
  }

  // GGUF writes tokens that begin a word with "▁" and those that continue one without "##".
  Result<void> build_bert() {
    Vocabulary tokens(false, count());
    for (int32_t id = 0; id < count(); ++id) {
      const std::string_view text = token(id);
      const bool marker = text.size() > 2 && text.starts_with('[') && text.ends_with(']');
      std::string written(text);
      if (text.starts_with(kMetaspace)) {
        written = text.substr(kMetaspace.size());
      } else if (!marker) {
        written = "##" + written;
      }
      LOTSE_TRY(tokens.add(written, id, "GGUF: tokenizer.ggml.tokens"));
    }
    for (const std::string_view name : {"[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"}) {
      const int32_t id = tokens.find(name);
      const bool known = std::ranges::any_of(added_, [&](const auto& a) { return a.id == id; });
      if (id >= 0 && !known) add(id, true);
    }
    WordPieceOptions options;
    options.unk_id = source_.unk.value_or(tokens.find("[UNK]"));
    if (options.unk_id < 0) {
      return fail(ErrorCode::invalid_input, "{}.unknown_token_id: missing", kPlace);
    }
    parts_->model = LOTSE_TRY(WordPiece::create(std::move(tokens), std::move(options), reserved_,
                                                "GGUF: tokenizer.ggml.tokens"));
    parts_->normalizer = bert_normalizer({});
    parts_->pre_tokenizer = bert_pre_tokenizer();
    parts_->decoder.add(decode_wordpiece("##", true), false);
    return {};
  }

  const GgufVocabulary& source_;
  std::unique_ptr<Tokenizer::Parts> parts_ = std::make_unique<Tokenizer::Parts>();
  std::vector<AddedToken> added_;
  ReservedIds reserved_;
};

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  return GgufLoader(vocabulary).run();
}

}  // namespace lotse
