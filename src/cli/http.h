// HTTP GET over libcurl, as downloads need it: streamed, resumable, bearer tokens kept from
// strangers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace lotse::cli {

struct HttpRequest {
  std::string url;
  std::string token;   // bearer token for the url's own host and port; empty: none
  int64_t offset = 0;  // first byte wanted
};

// The answer after all redirects.
struct HttpReply {
  int status = 0;                      // 0 when no answer came
  std::optional<int64_t> range_start;  // of a partial answer (status 206)
  std::string failure;                 // why the answer did not arrive whole; empty when it did
  bool transient = false;              // the same request may well succeed later
};

// How often a request that failed for a reason that may pass is made again, and after what waits.
struct RetryPolicy {
  int retries = 5;
  double first_wait_seconds = 0.5;  // doubles with each retry

  // Sleeps before retry number `retry`, counted from 0.
  void wait(int retry) const;
};

// Takes the body in pieces; `reply` has its status and range. An error ends the transfer.
using BodySink =
    std::function<Result<void>(const HttpReply& reply, std::span<const std::byte> piece)>;

// One connection that is kept open between requests. Not thread-safe.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Follows redirects, never from https to http. Bodies of statuses from 400 on are dropped. The
  // only errors are the sink's own; what the network does is in the reply.
  Result<HttpReply> get(const HttpRequest& request, const BodySink& sink);

  // `text` percent-encoded as one path segment or query value.
  static std::string escape(const std::string& text);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

}  // namespace lotse::cli
