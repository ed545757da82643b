// Spans on their way to a collector: OTLP over HTTP, in its JSON encoding.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "server/trace_context.h"

namespace lotse {

using SpanAttributes =
    std::vector<std::pair<std::string, std::variant<std::string, int64_t, double>>>;

struct Span {
  TraceContext context;
  std::optional<std::array<uint8_t, 8>> parent;
  std::string name;
  bool is_server = false;  // of a request; otherwise of a part of one
  std::chrono::steady_clock::time_point start, end;
  SpanAttributes attributes;
  std::string error;  // empty: it went well
};

struct SpanExporterOptions {
  std::string endpoint;  // http(s)://host:port; "/v1/traces" is added where it is missing
  std::vector<std::string> headers;  // "Name: value"
  std::string service = "lotse";
  std::string version;
  size_t most_queued = 4096;
  size_t batch = 512;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{5000};       // of one try
  std::chrono::milliseconds last_timeout{2000};  // of all that is left when the server ends
  int tries = 3;
};

// Sends from a thread of its own. push() never waits: what the queue has no room for is dropped and
// counted. Thread-safe.
class SpanExporter {
 public:
  // Errors: invalid_input for an endpoint that is no URL of HTTP.
  static Result<std::unique_ptr<SpanExporter>> start(SpanExporterOptions options);
  explicit SpanExporter(SpanExporterOptions options);  // of a valid endpoint
  ~SpanExporter();                                     // sends what is queued

  void push(Span span);
  int64_t exported() const { return exported_; }
  int64_t dropped() const { return dropped_; }

 private:
  void run(const std::stop_token& stop);
  std::vector<Span> next_batch(const std::stop_token& stop);
  void send(const std::vector<Span>& batch, const std::stop_token& stop);
  enum class Attempt : uint8_t { taken, retry, refused };
  Attempt post(const std::string& body, std::chrono::milliseconds timeout);

  const SpanExporterOptions options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Span> queue_;
  std::atomic<int64_t> exported_ = 0, dropped_ = 0;
  std::jthread thread_;  // last: it uses everything above
};

// The body of a request to /v1/traces.
std::string otlp_json(const std::vector<Span>& spans, const SpanExporterOptions& options);

// "key=value,key2=value2", percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS has it, as header lines.
Result<std::vector<std::string>> parse_otlp_headers(const std::string& text);

}  // namespace lotse
