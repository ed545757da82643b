// A model under the name by which requests ask for it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/grammar_cache.h"
#include "engine/serving_engine.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

class ServerMetrics;

// What a model's embeddings are.
struct ServedEmbedding {
  int64_t dimensions = 0;
  int64_t max_tokens = 0;  // of a text
  EmbeddingConfig config = {};
};

// Constant; what it refers to lives as long as it does.
struct ServedModel {
  std::string id;
  ServingEngine& engine;
  const Tokenizer& tokenizer;
  const Chat* chat;  // null when the model has no template
  int64_t context;
  int64_t vocabulary;
  SamplingParams default_sampling;
  int64_t created;          // Unix time
  int64_t max_token_bytes;  // of the longest token's text
  std::string device = {};  // that it runs on
  std::shared_ptr<GrammarCache> grammars = {};
  std::shared_ptr<ServerMetrics> metrics = {};
  bool generates = true;  // else it makes embeddings only
  ServedEmbedding embedding = {};
  OutputFormat output_format = {};
  int32_t adapter = 0;  // of the engine's, 0: none
};

// An engine and the names of what it serves.
struct LoadedModel {
  std::unique_ptr<ServingEngine> engine;
  std::vector<ServedModel> models;  // the model itself, then one for each adapter
};

// Of an engine that has a tokenizer.
ServedModel served_model(std::string id, ServingEngine& engine);

int64_t longest_token(const Tokenizer& tokenizer);

}  // namespace lotse
