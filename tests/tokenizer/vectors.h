// Reads llama.cpp's test vectors: NAME.inp holds texts, NAME.out a line of ids for each.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "base/mmap.h"

namespace lotse {

inline std::vector<std::string> read_texts(const std::string& path) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const auto content = read_text_file(path, 1 << 20);
  std::vector<std::string> texts;
  if (!content) return texts;
  size_t begin = 0;
  for (size_t end = content->find(separator); end != std::string::npos;
       end = content->find(separator, begin)) {
    texts.push_back(content->substr(begin, end - begin));
    begin = end + separator.size();
  }
  return texts;
}

inline std::vector<std::vector<int32_t>> read_ids(const std::string& path) {
  const auto content = read_text_file(path, 1 << 20);
  std::vector<std::vector<int32_t>> lists;
  std::istringstream lines(content ? *content : "");
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::vector<int32_t>& ids = lists.emplace_back();
    for (int32_t id; words >> id;) ids.push_back(id);
  }
  return lists;
}

}  // namespace lotse
