// How good a model's answers are: perplexity of a text, exact match on a task.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace lotse {

// log(softmax(logits))[token], computed in double.
double log_probability(std::span<const float> logits, int32_t token);

// Tokens of a text cut into windows of at most `window` tokens, each beginning with `bos` where
// the model has one. Scores do not cross windows. A last window of a single token is dropped.
std::vector<std::vector<int32_t>> cut_windows(std::span<const int32_t> tokens, int64_t window,
                                              std::optional<int64_t> bos);

struct Perplexity {
  double value = 0;    // exp(−mean log probability)
  int64_t tokens = 0;  // scored: all but the first of each window
};

// `progress` is called with the number of tokens done.
Result<Perplexity> measure_perplexity(Engine& engine,
                                      const std::vector<std::vector<int32_t>>& windows,
                                      const std::function<void(int64_t)>& progress);

struct TaskQuestion {
  std::string prompt;
  std::string answer;
  std::string category;
};

// One JSON object a line: {"prompt": …, "answer": …, "category": …}; errors name the line.
Result<std::vector<TaskQuestion>> read_task(const std::filesystem::path& path);

struct TaskScore {
  struct Category {
    std::string name;
    int64_t right = 0;
    int64_t asked = 0;
  };
  std::vector<Category> categories;  // in order of first appearance
  int64_t right = 0;
  int64_t asked = 0;
  double share() const {
    return asked == 0 ? 0 : static_cast<double>(right) / static_cast<double>(asked);
  }
};

// Asks every question with the chat template, greedily, and compares the stripped answer. `asked`
// (may be empty) sees each question, the answer given, and whether it is right.
Result<TaskScore> score_task(
    Engine& engine, const std::vector<TaskQuestion>& questions,
    const std::function<void(const TaskQuestion&, const std::string&, bool)>& asked);

// One greedy answer to one question, special tokens removed.
Result<std::string> answer(Engine& engine, Session& session, const std::string& question,
                           int64_t max_tokens);

}  // namespace lotse
