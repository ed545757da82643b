#include "engine/grammar/byte_trie.h"

#include <algorithm>
#include <string_view>

namespace lotse {

void add_texts(NetworkBuilder& builder, int32_t from, std::vector<std::string> texts, int32_t to) {
  std::ranges::sort(texts);
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  std::vector<int32_t> path;  // the states after each byte of the last text
  std::string_view last;
  for (const std::string& text : texts) {
    if (builder.full()) return;
    const auto common = std::ranges::mismatch(text, last).in1 - text.begin();
    path.resize(static_cast<size_t>(common));
    for (size_t at = path.size(); at < text.size(); ++at) {
      const int32_t above = path.empty() ? from : path.back();
      path.push_back(builder.add_state());
      const auto byte = static_cast<uint8_t>(text[at]);
      builder.add_bytes(above, byte, byte, path.back());
    }
    builder.add_jump(path.empty() ? from : path.back(), to);
    last = text;
  }
}

}  // namespace lotse
