// What a load generator asks of a server, and when.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lotse {

// Tokens of one block of a prompt that others may begin with, too.
inline constexpr int64_t kPromptBlockTokens = 512;

struct PlannedRequest {
  double at_seconds = 0;  // after the start of the run
  int64_t input_tokens = 1;
  int64_t output_tokens = 1;
  // Of the prompt, each kPromptBlockTokens tokens but perhaps the last; equal ids are equal tokens.
  // Empty: the prompt has nothing in common with others.
  std::vector<int64_t> blocks = {};
};
using Workload = std::vector<PlannedRequest>;

// Lengths that are drawn evenly between both, inclusive.
struct LengthRange {
  int64_t low;
  int64_t high;
};
// "128" or "64:256". Errors: invalid_input.
Result<LengthRange> parse_length_range(const std::string& text);

struct SyntheticOptions {
  int64_t requests = 100;
  std::optional<LengthRange> input, output;  // absent: as in conversations
  uint64_t seed = 0;
};
// All at once. Lengths that are not given are drawn from log-normal distributions with the means
// that the vLLM paper (SOSP 2023, figure 11) gives for ShareGPT, 161 in and 338 out, and a
// deviation of 1 of their logarithm, cut at 1024.
Workload synthetic_workload(const SyntheticOptions& options);

// A recorded trace, at most its first `limit` requests, the first at 0 seconds:
// - CSV with the columns TIMESTAMP, ContextTokens, GeneratedTokens (Azure, 2023 and 2024);
// - JSON Lines with timestamp in milliseconds, input_length, output_length and perhaps hash_ids
//   (Mooncake).
// Errors name file, line and column.
Result<Workload> read_trace(const std::filesystem::path& path, int64_t limit);

// Gives each request a time of a Poisson process of `rate` requests per second.
void arrive_at_random(Workload& workload, double rate, uint64_t seed);
// As many times as fast.
void speed_up(Workload& workload, double factor);
// Lengths times a factor, at least 1; shared blocks shrink with them.
void scale_lengths(Workload& workload, double factor);
// Cuts prompts, then answers, until each fits into a context; returns how many were cut.
int64_t fit_context(Workload& workload, int64_t context);

// Makes prompts of a wanted length. The same workload and seed give the same prompts.
class PromptMaker {
 public:
  // Any text as tokens: what a server's /tokenize says of some_words().
  PromptMaker(std::vector<int32_t> tokens, double tokens_per_word, uint64_t seed);
  // For a server that has no /tokenize.
  explicit PromptMaker(uint64_t seed) : PromptMaker({}, 1.3, seed) {}

  bool has_tokens() const { return !tokens_.empty(); }
  // Exactly as many tokens as wanted.
  std::vector<int32_t> tokens(const PlannedRequest& request, int64_t index) const;
  // About as many.
  std::string text(const PlannedRequest& request, int64_t index) const;

  // Every word that text() uses, once.
  static std::string some_words();
  static int64_t word_count();

 private:
  template <class Add>
  void fill(const PlannedRequest& request, int64_t index, double per_token, Add add) const;

  std::vector<int32_t> tokens_;
  double tokens_per_word_;
  uint64_t seed_;
};

}  // namespace lotse
