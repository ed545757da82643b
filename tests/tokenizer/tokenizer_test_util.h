// What the tokenizer tests share.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/mmap.h"
#include "tokenizer/tokenizer.h"

namespace lotse {

inline std::string data_path(const std::string& name) {
  return std::string(LOTSE_SOURCE_DIR) + "/tests/tokenizer/data/" + name;
}

// The tokenizer of a tokenizer.json, or null and a test failure.
inline std::shared_ptr<const Tokenizer> load_file(const std::string& path) {
  const auto text = read_text_file(path, int64_t{1} << 30);
  if (!text) {
    ADD_FAILURE() << text.error().message;
    return nullptr;
  }
  auto tokenizer = Tokenizer::from_json(*text, path);
  if (tokenizer) return std::move(*tokenizer);
  ADD_FAILURE() << tokenizer.error().message;
  return nullptr;
}

inline std::shared_ptr<const Tokenizer> load_tiny(const std::string& name) {
  return load_file(data_path(name + ".json"));
}

inline std::string stream_decoded(const Tokenizer& tokenizer, std::span<const int32_t> ids,
                                  bool skip_special) {
  StreamDecoder decoder(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += decoder.push(id);
  return text + decoder.flush();
}

}  // namespace lotse
