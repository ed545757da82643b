// Any bytes as a chip profile: an error, or a profile that can be shown.
#include <string_view>

#include "chip/profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto chip = lotse::parse_chip(text, "fuzz");
  if (chip) (void)lotse::markdown_table({*chip});
  return 0;
}
