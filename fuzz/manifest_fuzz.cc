// Any bytes as an artifact's lotse.json: an error, or exactly what the manifest is written as.
#include <string_view>

#include "port/artifact.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = lotse::parse_manifest(text, "fuzz");
  if (manifest) LOTSE_CHECK(lotse::render_manifest(*manifest) == text);
  return 0;
}
