#include "load/client.h"

#include <arpa/inet.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace lotse {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 64 << 10;
constexpr uint32_t kMaxHead = 64 << 10;

// What went wrong, empty for nothing.
std::string text_of(const char* what, const error_code& error) {
  if (!error) return "";
  if (error == boost::beast::error::timeout) return "timeout";
  if (error == asio::error::eof || error == asio::error::connection_reset ||
      error == asio::ssl::error::stream_truncated) {
    return "the server closed the connection";
  }
  return fmt::format("{}: {}", what, error.message());
}

bool is_address(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

}  // namespace

std::string ServerUrl::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : '[' + host + ']';
  return port == (is_tls ? "443" : "80") ? name : name + ':' + port;
}

Result<ServerUrl> parse_server_url(const std::string& url) {
  const auto wrong = [&] {
    return fail(ErrorCode::invalid_input,
                "{}: expected the URL of a server, such as http://127.0.0.1:8000", url);
  };
  ServerUrl result;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    result.is_tls = true;
  } else if (!rest.starts_with("http://")) {
    return wrong();
  }
  rest.remove_prefix(rest.find("//") + 2);
  const size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  result.base = rest.substr(slash);
  while (result.base.ends_with('/')) result.base.pop_back();
  if (result.base.ends_with("/v1")) result.base.resize(result.base.size() - 3);
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return wrong();
    result.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
    if (!authority.empty() && authority.front() != ':') return wrong();
  } else {
    result.host = authority.substr(0, authority.find(':'));
    authority.remove_prefix(result.host.size());
  }
  result.port = authority.empty() ? (result.is_tls ? "443" : "80") : authority.substr(1);
  const bool is_plain = url.find_first_of("\r\n \t@?#") == std::string::npos;
  const bool is_number = result.port.find_first_not_of("0123456789") == std::string::npos;
  if (result.host.empty() || result.port.empty() || result.port.size() > 5 || !is_number ||
      !is_plain) {
    return wrong();
  }
  return result;
}

LoadConnection::LoadConnection(asio::io_context& io, const ServerUrl& url,
                               const Endpoints& endpoints, asio::ssl::context* tls)
    : io_(io), url_(url), endpoints_(endpoints), context_(tls) {}

void LoadConnection::close() {
  is_open_ = false;
  tls_.reset();
  plain_.reset();
  input_.clear();
}

awaitable<std::string> LoadConnection::connect(std::chrono::steady_clock::time_point deadline) {
  error_code error;
  if (context_ == nullptr) {
    plain_.emplace(io_);
  } else {
    tls_.emplace(Plain(io_), *context_);
    if (!is_address(url_.host)) SSL_set_tlsext_host_name(tls_->native_handle(), url_.host.c_str());
    tls_->set_verify_mode(asio::ssl::verify_peer);
    tls_->set_verify_callback(asio::ssl::host_name_verification(url_.host));
  }
  lowest().expires_at(deadline);
  std::tie(error, std::ignore) = co_await lowest().async_connect(endpoints_, kAwait);
  if (error) co_return text_of("cannot connect", error);
  lowest().socket().set_option(asio::ip::tcp::no_delay(true), error);
  if (tls_) {
    std::tie(error) = co_await tls_->async_handshake(asio::ssl::stream_base::client, kAwait);
    if (error) co_return text_of("TLS", error);
  }
  is_open_ = true;
  co_return "";
}

awaitable<std::string> LoadConnection::send(const std::string& request) {
  error_code error;
  if (tls_) {
    std::tie(error, std::ignore) = co_await asio::async_write(*tls_, asio::buffer(request), kAwait);
  } else {
    std::tie(error, std::ignore) =
        co_await asio::async_write(*plain_, asio::buffer(request), kAwait);
  }
  co_return text_of("sending", error);
}

awaitable<std::string> LoadConnection::read_some() {
  error_code error;
  size_t count = 0;
  const auto buffer = input_.prepare(kReadBytes);
  if (tls_) {
    std::tie(error, count) = co_await tls_->async_read_some(buffer, kAwait);
  } else {
    std::tie(error, count) = co_await plain_->async_read_some(buffer, kAwait);
  }
  input_.commit(count);
  co_return text_of("receiving", error);
}

awaitable<HttpExchangeResult> LoadConnection::receive(
    const std::function<void(std::string_view)>& sink) {
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.header_limit(kMaxHead);
  parser.body_limit(boost::none);
  HttpExchangeResult result;
  while (!parser.is_done()) {
    result.failure = co_await read_some();
    error_code error;
    // An answer without a length ends with the connection.
    if (!result.failure.empty() && parser.is_header_done() && !parser.content_length() &&
        !parser.chunked()) {
      parser.put_eof(error);
      if (!error) result.failure.clear();
    }
    if (!result.failure.empty()) break;
    while (input_.size() > 0 && !parser.is_done()) {
      const size_t used = parser.put(input_.data(), error);
      input_.consume(used);
      if (error == http::error::need_more) {
        error = {};
        break;
      }
      if (error || used == 0) break;
    }
    if (error) {
      result.failure = "malformed HTTP: " + error.message();
      break;
    }
    if (parser.is_header_done()) result.status = static_cast<int>(parser.get().result_int());
    std::string& body = parser.get().body();
    if (!body.empty()) sink(body);
    body.clear();
  }
  if (!result.failure.empty() || !parser.keep_alive()) close();
  co_return result;
}

awaitable<HttpExchangeResult> LoadConnection::exchange(
    std::string request, std::function<void(std::string_view)> sink,
    std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    const bool is_reused = is_open_;
    HttpExchangeResult result;
    if (!is_open_) result.failure = co_await connect(deadline);
    if (!result.failure.empty()) {
      close();
      co_return result;
    }
    lowest().expires_at(deadline);
    result.failure = co_await send(request);
    if (result.failure.empty()) result = co_await receive(sink);
    if (result.failure.empty()) {
      if (is_open_) lowest().expires_never();
      co_return result;
    }
    close();
    if (!is_reused || result.status != 0 || result.failure == "timeout") co_return result;
  }
}

}  // namespace lotse
