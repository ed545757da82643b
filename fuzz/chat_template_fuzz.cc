// Compiles and renders an arbitrary template with an arbitrary context under a small budget. The
// input is the template, a zero byte, and the context as JSON; a fixed context where that is bad.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "chat_template/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lotse::OrderedJson;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto compiled = lotse::ChatTemplate::compile(input.substr(0, end), "fuzz");
  if (!compiled) return 0;
  OrderedJson context = {
      {"messages", {{{"role", "user"}, {"content", "a <|x|> \u4f60"}}, {{"role", "tool"}}}},
      {"tools", {{{"name", "f"}, {"parameters", {{"a", 1}, {"b", {1.5, nullptr, true}}}}}}},
      {"s", "text"},
      {"n", 3}};
  if (end < input.size()) {
    const auto parsed = lotse::parse_ordered_json(input.substr(end + 1), "fuzz");
    if (parsed && parsed->is_object()) context = *parsed;
  }
  lotse::RenderOptions options;
  options.limits.max_steps = 20'000;
  options.limits.max_output_bytes = 1 << 16;
  (void)(*compiled)->render_segments(context, options);
  return 0;
}
