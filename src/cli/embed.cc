// lotse embed: vectors of texts, and how alike they are.
#include <fmt/core.h>

#include <cmath>
#include <iostream>
#include <memory>

#include "base/json.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/placement_options.h"
#include "engine/embedder.h"

namespace lotse::cli {
namespace {

constexpr size_t kMostColumns = 12;  // of similarities
constexpr size_t kShownBytes = 60;   // of a text
constexpr int64_t kMostQueued = 1 << 30;

struct EmbedOptions {
  std::string model;
  std::vector<std::string> texts;
  EngineOptions engine;
  std::string pooling;
  int64_t dimensions = 0;
  int64_t sequences = 16;
  bool json = false;
};

struct Embedded {
  std::string text;
  size_t tokens;
  std::vector<float> vector;
};

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]);
    const auto y = static_cast<double>(b[i]);
    product += x * y;
    squares_a += x * x;
    squares_b += y * y;
  }
  const double lengths = std::sqrt(squares_a) * std::sqrt(squares_b);
  return lengths > 0 ? product / lengths : 0;
}

std::vector<std::string> read_lines() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

// A text's beginning, on one line.
std::string beginning_of(const std::string& text) {
  std::string line = text;
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  if (line.size() <= kShownBytes) return line;
  size_t end = kShownBytes;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + "...";
}

void print_table(const std::vector<Embedded>& all) {
  const size_t columns = std::min(all.size(), kMostColumns);
  std::string head = "    ";
  for (size_t i = 0; i < columns; ++i) head += fmt::format("{:>9}", i + 1);
  fmt::print("{}{}   tokens  text\n", head, columns < all.size() ? " ..." : "");
  for (size_t row = 0; row < all.size(); ++row) {
    std::string line = fmt::format("{:>4}", row + 1);
    for (size_t i = 0; i < columns; ++i) {
      line += fmt::format("{:>9.5f}", cosine(all[row].vector, all[i].vector));
    }
    fmt::print("{}{}{:>9}  {}\n", line, columns < all.size() ? "    " : "", all[row].tokens,
               beginning_of(all[row].text));
  }
}

void print_json(const std::vector<Embedded>& all, const Engine& engine) {
  Json embeddings = Json::array();
  Json similarities = Json::array();
  for (const Embedded& one : all) {
    embeddings.push_back({{"text", one.text}, {"tokens", one.tokens}, {"embedding", one.vector}});
    Json row = Json::array();
    for (const Embedded& other : all) row.push_back(cosine(one.vector, other.vector));
    similarities.push_back(std::move(row));
  }
  const Json json = {
      {"dimensions", all.front().vector.size()},    {"pooling", name(engine.embedding().pooling)},
      {"normalised", engine.embedding().normalise}, {"device", engine.device().name()},
      {"emulated", engine.device().is_emulated()},  {"embeddings", std::move(embeddings)},
      {"similarities", std::move(similarities)}};
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

Result<std::unique_ptr<ServingEngine>> open_serving(const EmbedOptions& options) {
  const auto path = LOTSE_TRY(find_model(options.model));
  EngineOptions engine_options = options.engine;
  engine_options.max_sequences = options.sequences;
  if (!options.pooling.empty()) engine_options.pooling = pooling_from_name(options.pooling);
  auto engine = LOTSE_TRY(Engine::open(path, engine_options));
  if (engine->tokenizer() == nullptr) {
    return fail(ErrorCode::not_found, "{}: the model has no tokenizer.json, so it cannot read text",
                path.string());
  }
  if (options.dimensions > engine->config().hidden) {
    return fail(ErrorCode::invalid_input, "--dimensions {}: the model's embeddings have {}",
                options.dimensions, engine->config().hidden);
  }
  ServingOptions serving;
  serving.max_sequences = options.sequences;
  serving.max_queued = serving.max_queued_tokens = kMostQueued;
  return ServingEngine::start(std::move(engine), serving);
}

Result<int> embed_texts(const EmbedOptions& options) {
  const auto serving = LOTSE_TRY(open_serving(options));
  const Engine& engine = serving->engine();
  std::vector<std::string> texts = options.texts.empty() ? read_lines() : options.texts;
  std::vector<Embedded> all;
  std::vector<std::vector<int32_t>> tokens;
  for (std::string& text : texts) {
    tokens.push_back(LOTSE_TRY(engine.tokenizer()->encode(text)));
    all.push_back({std::move(text), tokens.back().size(), {}});
  }
  if (all.empty()) return fail(ErrorCode::invalid_input, "no text, and no line on standard input");
  auto vectors = LOTSE_TRY(embed(*serving, std::move(tokens), options.dimensions));
  for (size_t i = 0; i < all.size(); ++i) all[i].vector = std::move(vectors[i]);
  if (options.json) {
    print_json(all, engine);
    return kOk;
  }
  fmt::print("{} dimensions, {} pooling{}; cosine similarities:\n", all.front().vector.size(),
             name(engine.embedding().pooling),
             engine.embedding().normalise ? ", scaled to length 1" : "");
  print_table(all);
  return kOk;
}

}  // namespace

void add_embed(Commands& commands) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App* app = commands.add("embed", "Make vectors of texts, and show how alike they are",
                               "  lotse embed lotse-nano 'A calm harbour' 'A quiet port'\n"
                               "  lotse embed MODEL --json < lines.txt\n"
                               "  lotse embed MODEL --dimensions 256 'A calm harbour'\n");
  app->add_option("MODEL", options->model, "Path, name in the models directory, or ORG/MODEL")
      ->required();
  app->add_option("TEXT", options->texts, "Texts; without any, each line of standard input is one");
  app->add_option("--pooling", options->pooling,
                  "Which hidden states make the vector; default: the checkpoint's, else the last")
      ->check(CLI::IsMember({"last", "mean", "cls"}));
  app->add_option("--dimensions", options->dimensions, "Keep only the first, as many")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add_placement(*app, options->engine);
  app->add_option("--context", options->engine.context,
                  fmt::format("Positions to make room for; default: the model's, at most {}",
                              kDefaultContext))
      ->check(CLI::Range(int64_t{16}, int64_t{1} << 24));
  app->add_option("--max-sequences", options->sequences, "Texts that are computed at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1024}))
      ->capture_default_str();
  app->add_flag("--json", options->json, "Print one JSON object with the vectors");
  app->callback(
      [&commands, options] { commands.action = [options] { return embed_texts(*options); }; });
}

}  // namespace lotse::cli
