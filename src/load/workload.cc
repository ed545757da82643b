#include "load/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace lotse {
namespace {

constexpr int64_t kMaxLength = int64_t{1} << 24;
constexpr double kMeanInput = 161, kMeanOutput = 338, kDeviation = 1;
constexpr int64_t kLongest = 1024;

constexpr std::string_view kWords[] = {
    "harbour", "pilot", "ship",   "water", "the",   "and",    "river", "light",  "north", "wind",
    "we",      "see",   "a",      "small", "boat",  "that",   "comes", "from",   "far",   "away",
    "with",    "cargo", "of",     "salt",  "iron",  "wood",   "its",   "crew",   "is",    "tired",
    "but",     "glad",  "to",     "hear",  "bells", "on",     "shore", "where",  "old",   "men",
    "tell",    "how",   "storms", "once",  "took",  "every",  "mast",  "in",     "one",   "night",
    "today",   "clear", "sky",    "lets",  "gulls", "follow", "us",    "while",  "slow",  "tide",
    "lifts",   "heavy", "chains", "under", "grey",  "bridge", "no",    "sound",  "then",  "stone",
    "walls",   "hold",  "back",   "open",  "sea",   "people", "wait",  "beside", "long",  "ropes",
    "hands",   "reach", "for",    "first", "line",  "thrown", "over",  "deck",   "it",    "falls",
    "short",   "again", "they",   "laugh", "throw", "better", "now",   "engine", "stops", "quiet"};

// Different for each stream of random numbers that is derived from one seed (SplitMix64).
uint64_t mix(uint64_t seed, uint64_t stream) {
  uint64_t x = seed + (stream + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::optional<int64_t> parse_length(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value >= 1 && value <= kMaxLength ? std::optional(value) : std::nullopt;
}

class Lengths {
 public:
  Lengths(const std::optional<LengthRange>& range, double mean)
      : range_(range), natural_(std::log(mean) - kDeviation * kDeviation / 2, kDeviation) {}

  int64_t draw(std::mt19937_64& random) {
    if (range_) return std::uniform_int_distribution(range_->low, range_->high)(random);
    return std::clamp(static_cast<int64_t>(std::lround(natural_(random))), int64_t{1}, kLongest);
  }

 private:
  std::optional<LengthRange> range_;
  std::lognormal_distribution<double> natural_;
};

}  // namespace

Result<LengthRange> parse_length_range(const std::string& text) {
  const size_t colon = text.find(':');
  const auto low = parse_length(std::string_view(text).substr(0, colon));
  const auto high =
      colon == std::string::npos ? low : parse_length(std::string_view(text).substr(colon + 1));
  if (low && high && *low <= *high) return LengthRange{*low, *high};
  return fail(ErrorCode::invalid_input,
              "\"{}\": expected a number of tokens, such as 128, or a range, such as 64:256", text);
}

Workload synthetic_workload(const SyntheticOptions& options) {
  std::mt19937_64 random(mix(options.seed, 0));
  Lengths input(options.input, kMeanInput);
  Lengths output(options.output, kMeanOutput);
  Workload workload;
  for (int64_t i = 0; i < options.requests; ++i) {
    PlannedRequest request;
    request.input_tokens = input.draw(random);
    request.output_tokens = output.draw(random);
    workload.push_back(std::move(request));
  }
  return workload;
}

void arrive_at_random(Workload& workload, double rate, uint64_t seed) {
  std::mt19937_64 random(mix(seed, 1));
  std::exponential_distribution<double> gap(rate);
  double now = 0;
  for (PlannedRequest& request : workload) {
    request.at_seconds = now;
    now += gap(random);
  }
}

void speed_up(Workload& workload, double factor) {
  for (PlannedRequest& request : workload) request.at_seconds /= factor;
}

void scale_lengths(Workload& workload, double factor) {
  const auto scaled = [factor](int64_t length) {
    const double wanted = std::round(static_cast<double>(length) * factor);
    return static_cast<int64_t>(std::clamp(wanted, 1.0, static_cast<double>(kMaxLength)));
  };
  for (PlannedRequest& request : workload) {
    request.input_tokens = scaled(request.input_tokens);
    request.output_tokens = scaled(request.output_tokens);
    // Whole blocks stay whole, so that what was shared still is.
    const int64_t blocks = (request.input_tokens - 1) / kPromptBlockTokens + 1;
    if (std::ssize(request.blocks) > blocks) request.blocks.resize(static_cast<size_t>(blocks));
  }
}

int64_t fit_context(Workload& workload, int64_t context) {
  int64_t cut = 0;
  for (PlannedRequest& request : workload) {
    if (request.input_tokens + request.output_tokens <= context) continue;
    ++cut;
    request.output_tokens = std::min(request.output_tokens, std::max<int64_t>(context / 2, 1));
    request.input_tokens =
        std::max<int64_t>(std::min(request.input_tokens, context - request.output_tokens), 1);
  }
  return cut;
}

PromptMaker::PromptMaker(std::vector<int32_t> tokens, double tokens_per_word, uint64_t seed)
    : tokens_(std::move(tokens)), tokens_per_word_(tokens_per_word), seed_(seed) {
  std::ranges::sort(tokens_);
  const auto twice = std::ranges::unique(tokens_);
  tokens_.erase(twice.begin(), twice.end());
}

// Calls `add` with a source of random numbers for each item of the prompt, `per_token` to a token.
template <class Add>
void PromptMaker::fill(const PlannedRequest& request, int64_t index, double per_token,
                       Add add) const {
  const auto items = [per_token](int64_t tokens) {
    return std::max<int64_t>(std::lround(static_cast<double>(tokens) * per_token), 1);
  };
  int64_t left = request.input_tokens;
  const auto add_block = [&](uint64_t stream, int64_t tokens) {
    std::mt19937_64 random(mix(seed_, stream));
    for (int64_t i = items(tokens); i > 0; --i) add(random);
    left -= tokens;
  };
  for (const int64_t block : request.blocks) {
    if (left <= 0) return;
    add_block(2 * static_cast<uint64_t>(block), std::min(left, kPromptBlockTokens));
  }
  if (left > 0) add_block(2 * static_cast<uint64_t>(index) + 1, left);
}

std::vector<int32_t> PromptMaker::tokens(const PlannedRequest& request, int64_t index) const {
  std::vector<int32_t> result;
  fill(request, index, 1,
       [&](std::mt19937_64& random) { result.push_back(tokens_[random() % tokens_.size()]); });
  return result;
}

std::string PromptMaker::text(const PlannedRequest& request, int64_t index) const {
  std::string result;
  fill(request, index, 1 / tokens_per_word_, [&](std::mt19937_64& random) {
    if (!result.empty()) result += ' ';
    result += kWords[random() % std::size(kWords)];
  });
  return result;
}

std::string PromptMaker::some_words() {
  std::string text;
  for (const std::string_view word : kWords) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

int64_t PromptMaker::word_count() { return std::ssize(kWords); }

}  // namespace lotse
