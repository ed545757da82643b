// Where a request stands in a trace that other programs began (W3C Trace Context, level 1).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace lotse {

struct TraceContext {
  std::array<uint8_t, 16> trace_id = {};
  std::array<uint8_t, 8> span_id = {};
  bool is_sampled = true;

  std::string trace_hex() const;
  std::string span_hex() const;
};

// The value of a `traceparent` header; nothing when it is malformed.
std::optional<TraceContext> parse_traceparent(std::string_view value);
std::string traceparent(const TraceContext& context);

// A new span: of the parent's trace, or of a new one.
TraceContext new_span(const std::optional<TraceContext>& parent, std::mt19937_64& random);

}  // namespace lotse
