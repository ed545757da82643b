// lotse tokenize: text to token ids and back, as a model sees them.
#include <fmt/core.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "engine/engine.h"

namespace lotse::cli {
namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false;
  bool special = false;
  bool bare = false;
  bool json = false;
};

std::string read_input() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

// Ids as `tokenize` prints them: numbers between spaces, or a JSON list of them.
Result<std::vector<int32_t>> read_ids(std::string text, int64_t vocabulary) {
  for (char& c : text) {
    if (c == ',' || c == '[' || c == ']') c = ' ';
  }
  std::istringstream words(text);
  std::vector<int32_t> ids;
  for (std::string word; words >> word;) {
    const bool digits = word.find_first_not_of("0123456789") == std::string::npos;
    const int64_t id = digits && word.size() < 10 ? std::stoll(word) : -1;
    if (id < 0 || id >= vocabulary) {
      return fail(ErrorCode::invalid_input,
                  "standard input: \"{}\" is no token id; expected numbers from 0 to {}", word,
                  vocabulary - 1);
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

void print_ids(const Tokenizer& tokenizer, const std::vector<int32_t>& ids, bool json) {
  if (json) {
    Json tokens = Json::array();
    for (const int32_t id : ids) tokens.push_back(tokenizer.id_to_token(id));
    fmt::print("{}\n", Json({{"token_ids", ids}, {"tokens", tokens}}).dump());
    return;
  }
  std::string line;
  for (const int32_t id : ids) line += fmt::format("{}{}", line.empty() ? "" : " ", id);
  fmt::print("{}\n", line);
}

void print_text(const std::string& text, bool json) {
  if (json) {
    fmt::print("{}\n", Json({{"text", text}}).dump());
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

Result<int> tokenize(const TokenizeOptions& options) {
  const auto path = LOTSE_TRY(find_model(options.model));
  const auto checkpoint = LOTSE_TRY(open_checkpoint(path));
  const auto tokenizer = LOTSE_TRY(load_tokenizer(checkpoint));
  if (tokenizer == nullptr) {
    return fail(ErrorCode::not_found, "{}: the model has no tokenizer.json", path.string());
  }
  if (options.decode) {
    const auto ids = LOTSE_TRY(read_ids(read_input(), tokenizer->vocab_size()));
    print_text(tokenizer->decode(ids, !options.special), options.json);
    return kOk;
  }
  const auto ids = LOTSE_TRY(tokenizer->encode(
      read_input(), {.add_bos_eos = !options.bare, .parse_special = options.special}));
  print_ids(*tokenizer, ids, options.json);
  return kOk;
}

}  // namespace

void add_tokenize(Commands& commands) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* app = commands.add("tokenize", "Turn text on standard input into token ids, or back",
                               "  echo -n 'Hello, harbour' | lotse tokenize lotse-nano\n"
                               "  lotse tokenize MODEL --json < text.txt\n"
                               "  echo 12 7 512 | lotse tokenize MODEL --decode\n");
  app->add_option("MODEL", options->model, "Path, name in the models directory, or ORG/MODEL")
      ->required();
  app->add_flag("--decode", options->decode, "Standard input has ids; print their text");
  app->add_flag("--special", options->special,
                "Read special tokens such as <|im_start|> in the text as such, or print them");
  app->add_flag("--bare", options->bare, "Without the model's own tokens around the text");
  app->add_flag("--json", options->json, "Print one JSON object");
  app->callback(
      [&commands, options] { commands.action = [options] { return tokenize(*options); }; });
}

}  // namespace lotse::cli
