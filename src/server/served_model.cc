#include "server/served_model.h"

#include <algorithm>
#include <ctime>

namespace lotse {

ServedModel served_model(std::string id, ServingEngine& serving) {
  const Engine& engine = serving.engine();
  const Tokenizer& tokenizer = *engine.tokenizer();
  return {std::move(id),
          serving,
          tokenizer,
          engine.chat() ? &*engine.chat() : nullptr,
          engine.limits().max_context,
          engine.config().vocabulary,
          engine.default_sampling(),
          std::time(nullptr),
          longest_token(tokenizer),
          std::string(engine.device().name()),
          std::make_shared<GrammarCache>(tokenizer),
          nullptr,
          engine.generates(),
          {engine.config().hidden, engine.embedding_tokens(), engine.embedding()},
          engine.chat() ? engine.chat()->output_format() : OutputFormat()};
}

int64_t longest_token(const Tokenizer& tokenizer) {
  int64_t longest = 1;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    longest = std::max(longest, std::ssize(tokenizer.id_to_token(static_cast<int32_t>(id))));
  }
  return longest;
}

}  // namespace lotse
