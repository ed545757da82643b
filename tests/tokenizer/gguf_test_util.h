// GGUF vocabularies for tests: made from tokenizer.json files, and real ones.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mmap.h"
#include "checkpoint/gguf.h"
#include "model/gguf_vocabulary.h"
#include "tests/tokenizer/tokenizer_test_util.h"

namespace lotse {

// The tokens, types and merges of a tokenizer.json.
inline GgufVocabulary vocabulary_of(const std::string& path) {
  GgufVocabulary vocabulary;
  const auto json = read_json_file(path);
  if (!json) {
    ADD_FAILURE() << json.error().message;
    return vocabulary;
  }
  const Json& model = (*json)["model"];
  size_t count = model["vocab"].size();
  for (const Json& added : (*json)["added_tokens"]) {
    count = std::max(count, added["id"].get<size_t>() + 1);
  }
  for (size_t id = 0; id < count; ++id) {
    vocabulary.tokens.push_back("[PAD" + std::to_string(id) + "]");
  }
  vocabulary.types.assign(count, 1);
  for (const auto& [token, id] : model["vocab"].items()) vocabulary.tokens[id] = token;
  for (const Json& added : (*json)["added_tokens"]) {
    const size_t id = added["id"];
    vocabulary.tokens[id] = added["content"];
    vocabulary.types[id] = added.value("special", true) ? 3 : 4;
  }
  for (const Json& merge : model.value("merges", Json::array())) {
    vocabulary.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                                  : merge[0].get<std::string>() + " " +
                                                        merge[1].get<std::string>());
  }
  return vocabulary;
}

// GGUF's notation of a WordPiece vocabulary. It has no place for tokens that contain "▁"
// themselves: they are replaced.
inline GgufVocabulary bert_vocabulary_of(const std::string& path) {
  GgufVocabulary vocabulary = vocabulary_of(path);
  vocabulary.model = "bert";
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    std::string& token = vocabulary.tokens[id];
    if (token.find("\u2581") != std::string::npos) token = "unused" + std::to_string(id);
    if (token.starts_with("##")) {
      token = token.substr(2);
    } else if (vocabulary.types[id] != 3) {
      token = "\u2581" + token;
    }
  }
  return vocabulary;
}

// The vocabulary of a GGUF file.
inline GgufVocabulary stored_vocabulary(const std::string& path) {
  GgufVocabulary vocabulary;
  const auto file = MappedFile::open(path);
  if (!file) {
    ADD_FAILURE() << file.error().message;
    return vocabulary;
  }
  const auto checkpoint = read_gguf((*file)->bytes(), *file, path);
  if (!checkpoint || !checkpoint->vocab) {
    ADD_FAILURE() << path << ": no vocabulary";
    return vocabulary;
  }
  return gguf_vocabulary(*checkpoint->vocab);
}

// SentencePiece's kind: every token of `chars`, byte tokens if `bytes`, and up to `count` random
// concatenations with distinct or (in one of three vocabularies) repeated scores in any order.
template <class Random>
GgufVocabulary random_sentencepiece(const std::vector<std::string>& chars, size_t count, bool bytes,
                                    Random& random) {
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = {"<unk>", "<s>", "</s>"};
  vocabulary.types = {2, 3, 3};
  for (int byte = 0; bytes && byte < 256; ++byte) {
    vocabulary.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    vocabulary.types.push_back(6);
  }
  const size_t first = vocabulary.tokens.size();
  vocabulary.tokens.insert(vocabulary.tokens.end(), chars.begin(), chars.end());
  for (size_t tries = 0; tries < count; ++tries) {
    const auto pick = [&] {
      return vocabulary.tokens[first + random() % (vocabulary.tokens.size() - first)];
    };
    const std::string token = pick() + pick();
    if (token.size() > 16 ||
        std::ranges::find(vocabulary.tokens, token) != vocabulary.tokens.end()) {
      continue;
    }
    vocabulary.tokens.push_back(token);
  }
  vocabulary.types.resize(vocabulary.tokens.size(), 1);
  const bool repeats = random() % 3 == 0;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    vocabulary.scores.push_back(-static_cast<float>(repeats ? i / 3 : i));
  }
  std::ranges::shuffle(vocabulary.scores, random);
  vocabulary.unk = 0;
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  vocabulary.add_bos = random() % 2 == 0;
  vocabulary.add_eos = random() % 2 == 0;
  vocabulary.add_space_prefix = random() % 2 == 0;
  return vocabulary;
}

}  // namespace lotse
