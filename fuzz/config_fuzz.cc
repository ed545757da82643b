// Any bytes as a config.json: an error, or a configuration whose program can be recorded.
#include <string_view>

#include "model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = lotse::parse_json(text, "fuzz");
  if (!json) return 0;
  if (json->is_object()) (void)lotse::read_quantisation(*json, "fuzz");
  const auto config = lotse::read_model_config(*json, "fuzz");
  // The size of a program is the product of layers and experts; large ones find nothing new.
  if (!config || config->layers * (1 + config->moe.experts) > 256) return 0;
  (void)lotse::record_program(*config, config->max_context);
  return 0;
}
