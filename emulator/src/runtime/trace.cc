#include "runtime/trace.h"

#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "runtime/clock.h"
#include "runtime/soc.h"

namespace lotse::emulator {
namespace {

struct Trace {
  Trace() {
    if (const char* text = std::getenv("LOTSE_EMULATOR_TRACE")) path = text;
    if (!path.empty()) std::atexit(write_trace);
  }
  std::mutex mutex;
  std::string path;
  std::vector<Slice> slices;
};

Trace& state() {
  static auto& instance = *new Trace;
  return instance;
}

void write_slices(std::FILE* file, const std::vector<Slice>& slices) {
  fmt::print(file,
             "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"soc\":\"{} (emulated)\","
             "\"host_calls\":{}}},\"traceEvents\":[",
             soc().name, host_calls());
  const char* separator = "\n";
  for (const Slice& slice : slices) {
    fmt::print(file,
               "{}{{\"name\":\"{}\",\"ph\":\"X\",\"pid\":{},\"tid\":{},\"ts\":{:.3f},"
               "\"dur\":{:.3f},\"args\":{{\"limit\":\"{}\"}}}}",
               separator, slice.name, slice.device, slice.stream, slice.start_us, slice.duration.us,
               name_of(slice.duration.limit));
    separator = ",\n";
  }
  fmt::print(file, "\n]}}\n");
}

}  // namespace

bool tracing() { return !state().path.empty(); }

void trace(Slice slice) {
  const std::lock_guard lock(state().mutex);
  state().slices.push_back(std::move(slice));
}

void write_trace() {
  if (!tracing()) return;
  const std::lock_guard lock(state().mutex);
  std::FILE* file = std::fopen(state().path.c_str(), "w");
  if (file == nullptr) {
    fmt::print(stderr, "lotse emulator: cannot write the trace {}\n", state().path);
    return;
  }
  write_slices(file, state().slices);
  std::fclose(file);
}

}  // namespace lotse::emulator
