#include "engine/score.h"

#include <algorithm>
#include <cmath>

#include "base/mmap.h"

namespace lotse {
namespace {

constexpr int64_t kMaxTaskBytes = int64_t{64} << 20;
constexpr int64_t kMaxAnswerTokens = 128;

std::string strip(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

Result<TaskQuestion> read_question(std::string_view line, const std::string& origin) {
  const Json json = LOTSE_TRY(parse_json(line, origin));
  const JsonFields fields(json, origin);
  TaskQuestion question;
  for (const auto& [key, field] :
       {std::pair{"prompt", &question.prompt}, std::pair{"answer", &question.answer}}) {
    const auto text = LOTSE_TRY(fields.string(key));
    if (!text) return fail(ErrorCode::invalid_input, "{}: field \"{}\" is missing", origin, key);
    *field = *text;
  }
  question.category = LOTSE_TRY(fields.string_or("category", "all"));
  return question;
}

TaskScore::Category& category(TaskScore& score, const std::string& name) {
  const auto it = std::ranges::find(score.categories, name, &TaskScore::Category::name);
  if (it != score.categories.end()) return *it;
  return score.categories.emplace_back(TaskScore::Category{name, 0, 0});
}

}  // namespace

double log_probability(std::span<const float> logits, int32_t token) {
  const auto largest = static_cast<double>(*std::ranges::max_element(logits));
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - largest - std::log(total);
}

std::vector<std::vector<int32_t>> cut_windows(std::span<const int32_t> tokens, int64_t window,
                                              std::optional<int64_t> bos) {
  const auto room = static_cast<size_t>(std::max<int64_t>(window - (bos ? 1 : 0), 1));
  std::vector<std::vector<int32_t>> windows;
  for (size_t begin = 0; begin < tokens.size(); begin += room) {
    std::vector<int32_t> piece;
    if (bos) piece.push_back(static_cast<int32_t>(*bos));
    const auto part = tokens.subspan(begin, std::min(room, tokens.size() - begin));
    piece.insert(piece.end(), part.begin(), part.end());
    if (piece.size() > 1) windows.push_back(std::move(piece));
  }
  return windows;
}

Result<Perplexity> measure_perplexity(Engine& engine,
                                      const std::vector<std::vector<int32_t>>& windows,
                                      const std::function<void(int64_t)>& progress) {
  Perplexity result;
  double sum = 0;
  for (const std::vector<int32_t>& window : windows) {
    const auto session = engine.make_session();
    LOTSE_TRY(session->append_scored(window, [&](size_t i, std::span<const float> logits) {
      if (i + 1 < window.size()) sum += log_probability(logits, window[i + 1]);
    }));
    result.tokens += std::ssize(window) - 1;
    progress(result.tokens);
  }
  if (result.tokens == 0) return fail(ErrorCode::invalid_input, "the text is too short to score");
  result.value = std::exp(-sum / static_cast<double>(result.tokens));
  return result;
}

Result<std::vector<TaskQuestion>> read_task(const std::filesystem::path& path) {
  const std::string text = LOTSE_TRY(read_text_file(path, kMaxTaskBytes));
  std::vector<TaskQuestion> questions;
  size_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    ++line_number;
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string origin = fmt::format("{}: line {}", path.string(), line_number);
    questions.push_back(LOTSE_TRY(read_question(line, origin)));
  }
  if (questions.empty()) {
    return fail(ErrorCode::invalid_input, "{}: no questions", path.string());
  }
  return questions;
}

Result<std::string> answer(Engine& engine, Session& session, const std::string& question,
                           int64_t max_tokens) {
  if (engine.tokenizer() == nullptr || !engine.chat()) {
    return fail(ErrorCode::unsupported, "the model has no tokenizer or no chat template");
  }
  const Tokenizer& tokenizer = *engine.tokenizer();
  const auto prompt = LOTSE_TRY(engine.chat()->encode(tokenizer, {{"user", question}}));
  const auto result =
      LOTSE_TRY(engine.generate(session, prompt, {}, max_tokens, [](int32_t) { return true; }));
  return tokenizer.decode(result.tokens, true);
}

Result<TaskScore> score_task(
    Engine& engine, const std::vector<TaskQuestion>& questions,
    const std::function<void(const TaskQuestion&, const std::string&, bool)>& asked) {
  TaskScore score;
  const auto session = engine.make_session();
  for (const TaskQuestion& question : questions) {
    const std::string given =
        strip(LOTSE_TRY(answer(engine, *session, question.prompt, kMaxAnswerTokens)));
    const bool right = given == strip(question.answer);
    TaskScore::Category& bin = category(score, question.category);
    ++bin.asked;
    ++score.asked;
    bin.right += right;
    score.right += right;
    if (asked) asked(question, given, right);
  }
  return score;
}

}  // namespace lotse
