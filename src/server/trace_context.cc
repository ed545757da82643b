#include "server/trace_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace lotse {
namespace {

constexpr size_t kLength = 55;  // "00-", 32 digits, "-", 16 digits, "-", 2 digits

// Lower case only, as the specification has it.
std::optional<uint8_t> digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  return std::nullopt;
}

bool parse_hex(std::string_view text, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (!high || !low) return false;
    bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return true;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

bool is_zero(std::span<const uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](uint8_t byte) { return byte == 0; });
}

// Anything but zeros, which stand for no id.
void fill(std::span<uint8_t> bytes, std::mt19937_64& random) {
  do {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  } while (is_zero(bytes));
}

}  // namespace

std::string TraceContext::trace_hex() const { return hex(trace_id); }
std::string TraceContext::span_hex() const { return hex(span_id); }

std::optional<TraceContext> parse_traceparent(std::string_view value) {
  if (value.size() < kLength) return std::nullopt;
  std::array<uint8_t, 1> version = {}, flags = {};
  TraceContext context;
  const bool has_form = value[2] == '-' && value[35] == '-' && value[52] == '-' &&
                        parse_hex(value, version) && parse_hex(value.substr(3), context.trace_id) &&
                        parse_hex(value.substr(36), context.span_id) &&
                        parse_hex(value.substr(53), flags);
  if (!has_form || version[0] == 0xFF) return std::nullopt;
  // Later versions may say more after another dash.
  if (value.size() > kLength && (version[0] == 0 || value[kLength] != '-')) return std::nullopt;
  if (is_zero(context.trace_id) || is_zero(context.span_id)) return std::nullopt;
  context.is_sampled = (flags[0] & 1) != 0;
  return context;
}

std::string traceparent(const TraceContext& context) {
  return fmt::format("00-{}-{}-{:02x}", context.trace_hex(), context.span_hex(),
                     context.is_sampled ? 1 : 0);
}

TraceContext new_span(const std::optional<TraceContext>& parent, std::mt19937_64& random) {
  TraceContext span = parent.value_or(TraceContext());
  if (!parent) fill(span.trace_id, random);
  fill(span.span_id, random);
  return span;
}

}  // namespace lotse
