// An HTTP/1.1 connection of the load generator. Only client.cc and generator.cc see Beast and Asio.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lotse {

struct ServerUrl {
  bool is_tls = false;
  std::string host;  // of an IPv6 address, without brackets
  std::string port;
  std::string base;  // of all paths: "", or "/prefix"

  std::string authority() const;  // for Host
};
// "http://127.0.0.1:8000"; a path at its end, such as /v1, is kept but for "/v1" itself.
Result<ServerUrl> parse_server_url(const std::string& url);

struct HttpExchangeResult {
  int status = 0;       // 0 when no answer came
  std::string failure;  // why the answer did not come whole; empty when it did
};

// One request at a time; connects when it has to. Belongs to the thread of its io_context.
class LoadConnection {
 public:
  using Endpoints = boost::asio::ip::tcp::resolver::results_type;
  // Everything must outlive the connection. `tls` is null for plain HTTP.
  LoadConnection(boost::asio::io_context& io, const ServerUrl& url, const Endpoints& endpoints,
                 boost::asio::ssl::context* tls);

  // Sends a request, and gives the body to `sink` as it comes. A connection that the server closed
  // while it was idle is replaced once.
  boost::asio::awaitable<HttpExchangeResult> exchange(
      std::string request, std::function<void(std::string_view)> sink,
      std::chrono::steady_clock::time_point deadline);
  bool is_open() const { return is_open_; }

 private:
  using Plain = boost::beast::tcp_stream;
  using Secure = boost::asio::ssl::stream<Plain>;

  boost::asio::awaitable<std::string> connect(std::chrono::steady_clock::time_point deadline);
  boost::asio::awaitable<std::string> send(const std::string& request);
  boost::asio::awaitable<std::string> read_some();
  boost::asio::awaitable<HttpExchangeResult> receive(
      const std::function<void(std::string_view)>& sink);
  Plain& lowest() { return tls_ ? tls_->next_layer() : *plain_; }
  void close();

  boost::asio::io_context& io_;
  const ServerUrl& url_;
  const Endpoints& endpoints_;
  boost::asio::ssl::context* context_;
  std::optional<Plain> plain_;
  std::optional<Secure> tls_;
  boost::beast::flat_buffer input_;
  bool is_open_ = false;
};

}  // namespace lotse
