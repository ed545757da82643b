#include "tokenizer/shown.h"

#include <fmt/core.h>

#include "base/utf8.h"

namespace lotse {

std::string shown_briefly(std::string_view text) {
  constexpr size_t kLongest = 57;
  const bool cut = text.size() > kLongest;
  std::string head(text.substr(0, kLongest));
  if (cut) head.resize(head.size() - incomplete_utf8_tail(head));
  std::string out;
  for (const char c : sanitize_utf8(head)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return cut ? out + "..." : out;
}

}  // namespace lotse
