#include "ops/injected_fault.h"

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace lotse::emulator {
namespace {

struct InjectedFault {
  std::string name;
  uint64_t run = 0;  // counted from 1
};

InjectedFault requested_fault() {
  const char* text = std::getenv("LOTSE_EMULATOR_FAULT");
  const std::string_view request = text == nullptr ? "" : text;
  const size_t colon = request.rfind(':');
  InjectedFault fault;
  if (colon == std::string_view::npos) return fault;
  const char* end = request.data() + request.size();
  if (std::from_chars(request.data() + colon + 1, end, fault.run).ptr != end) return {};
  fault.name = request.substr(0, colon);
  return fault;
}

}  // namespace

bool is_injected_fault(std::string_view name) {
  static const InjectedFault fault = requested_fault();
  static std::atomic<uint64_t> runs = 0;
  return fault.name == name && ++runs == fault.run;
}

}  // namespace lotse::emulator
