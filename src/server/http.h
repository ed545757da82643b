// HTTP/1.1 as the API sees it: whole requests, and answers that are whole or streamed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace lotse {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpHead {
  std::string method;   // "GET"
  std::string path;     // without the query
  HttpHeaders headers;  // names in lower case

  // Empty when absent.
  std::string_view header(std::string_view lower_case_name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  HttpHeaders headers;
};

// One request and its answer. Every member may be called from any thread; what a client that has
// gone would get is dropped.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpHead& head() const = 0;
  virtual const std::string& body() const = 0;

  // The whole answer. Either this, once, or begin_stream(), any number of write(), end_stream().
  virtual void respond(HttpResponse response) = 0;
  // `keep_alive` is sent whenever the stream has been silent for a while.
  virtual void begin_stream(HttpResponse head, std::string keep_alive) = 0;
  virtual void write(std::string text) = 0;
  virtual void end_stream() = 0;

  // Calls back once, on the I/O thread, if the client goes before its answer is complete; at once
  // when it has gone already.
  virtual void on_disconnect(std::function<void()> callback) = 0;
  // Runs a function on the I/O thread, after those posted before.
  virtual void post(std::function<void()> function) = 0;
};

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Called when a request's head is there and its body not yet: an answer refuses the request.
  virtual std::optional<HttpResponse> refuse(const HttpHead& head) = 0;
  // Called on the I/O thread with a whole request; must not block.
  virtual void handle(std::shared_ptr<Exchange> exchange) = 0;
  // The answer to a request that is no HTTP, too large or too slow.
  virtual HttpResponse malformed(int status, std::string_view reason) = 0;
};

struct HttpOptions {
  std::string host = "127.0.0.1";
  int port = 8000;                       // 0: any free one
  std::string tls_certificate, tls_key;  // PEM files; both or neither
  int64_t max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 8 << 20;
  int64_t max_bodies_bytes = 256 << 20;  // of all requests that are being read
  int64_t max_connections = 2048;
  int64_t max_unsent_bytes = 1 << 20;  // of a stream; a client that lags further is dropped
  std::chrono::milliseconds header_timeout{10'000};  // from a request's first byte
  std::chrono::milliseconds body_timeout{60'000};    // from the end of its head
  std::chrono::milliseconds idle_timeout{75'000};    // between requests
  std::chrono::milliseconds write_timeout{30'000};   // without any byte taken by the client
  std::chrono::milliseconds keep_alive_interval{15'000};
};

// Serves on one thread: the one that calls run().
class HttpServer {
 public:
  // Binds and listens. Errors: io for an address that cannot be bound, invalid_input for a bad
  // address or broken TLS files. The handler must outlive the server.
  static Result<std::unique_ptr<HttpServer>> listen(const HttpOptions& options,
                                                    HttpHandler& handler);
  ~HttpServer();

  int port() const;
  // Serves until drain() and the end of the last exchange, or stop().
  void run();
  // Any thread: closes idle connections, and lets run() return once no exchange is left.
  void drain();
  // Any thread: lets run() return at once.
  void stop();
  // Calls back on the I/O thread at SIGTERM and SIGINT, with the number of such signals so far.
  void on_signal(std::function<void(int count)> callback);
  int64_t connections() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lotse
