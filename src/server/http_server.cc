#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unordered_map>

#include "server/http_connection.h"

namespace lotse {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kSweepInterval{250};
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{100};
constexpr std::chrono::milliseconds kGoodbye{100};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpOptions& options, HttpHandler& handler)
      : options_(options), shared_{options_, handler, io_, nullptr, 0, 0, false, {}, {}} {
    shared_.on_close = [this](Connection* connection) { connections_.erase(connection); };
    shared_.on_idle = [this] { stop_when_drained(); };
  }

  Result<void> listen() {
    LOTSE_TRY(prepare_tls());
    error_code error;
    const auto address = asio::ip::make_address(options_.host, error);
    if (error) {
      return fail(ErrorCode::invalid_input, "--host {}: expected an IP address, such as 127.0.0.1",
                  options_.host);
    }
    const tcp::endpoint endpoint(address, static_cast<uint16_t>(options_.port));
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return fail(ErrorCode::io, "cannot listen on {} port {}: {}", options_.host, options_.port,
                  error.message());
    }
    return {};
  }

  int port() const {
    error_code ignored;
    return acceptor_.local_endpoint(ignored).port();
  }

  void run() {
    asio::co_spawn(io_, accept_loop(), asio::detached);
    asio::co_spawn(io_, sweep_loop(), asio::detached);
    io_.run();
    io_.restart();
    acceptor_.close();
    sweep_timer_.cancel();
    signals_.cancel();
    // What ends by TLS's rules has sent its last record by then; no client is waited for longer.
    if (shared_.tls != nullptr) io_.run_for(kGoodbye);
    for (auto& [key, connection] : std::exchange(connections_, {})) connection->close();
    // Lets the coroutines of closed connections end while all they refer to is there.
    io_.restart();
    io_.poll();
  }

  void drain() {
    asio::post(io_, [this] {
      shared_.draining = true;
      const auto connections = connections_;
      for (const auto& [key, connection] : connections) connection->close_if_idle();
      stop_when_drained();
    });
  }

  void stop() { io_.stop(); }

  void on_signal(std::function<void(int)> callback) {
    asio::co_spawn(io_, signal_loop(std::move(callback)), asio::detached);
  }

  int64_t connections() const { return connection_count_; }

 private:
  Result<void> prepare_tls() {
    if (options_.tls_certificate.empty() != options_.tls_key.empty()) {
      return fail(ErrorCode::invalid_input, "TLS needs both --tls-cert and --tls-key");
    }
    if (options_.tls_certificate.empty()) return {};
    error_code error;
    tls_.emplace(asio::ssl::context::tls_server);
    SSL_CTX_set_min_proto_version(tls_->native_handle(), TLS1_2_VERSION);
    tls_->use_certificate_chain_file(options_.tls_certificate, error);
    if (error) {
      return fail(ErrorCode::invalid_input, "--tls-cert {}: {}", options_.tls_certificate,
                  error.message());
    }
    tls_->use_private_key_file(options_.tls_key, asio::ssl::context::pem, error);
    if (error) {
      return fail(ErrorCode::invalid_input, "--tls-key {}: {}", options_.tls_key, error.message());
    }
    shared_.tls = &*tls_;
    return {};
  }

  awaitable<void> accept_loop() {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(kAwait);
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // out of descriptors, most likely: those in use will be closed
        asio::steady_timer pause(io_, kPauseWithoutDescriptors);
        co_await pause.async_wait(kAwait);
        continue;
      }
      // Beyond the limit, and while draining, closing at once is the cheapest answer.
      if (std::ssize(connections_) >= options_.max_connections) continue;
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      const auto connection = std::make_shared<Connection>(shared_, std::move(socket));
      connections_.emplace(connection.get(), connection);
      connection->start();
    }
  }

  awaitable<void> sweep_loop() {
    for (;;) {
      sweep_timer_.expires_after(kSweepInterval);
      const auto [error] = co_await sweep_timer_.async_wait(kAwait);
      if (error) co_return;
      const auto now = std::chrono::steady_clock::now();
      connection_count_ = std::ssize(connections_);
      const auto connections = connections_;
      for (const auto& [key, connection] : connections) connection->sweep(now);
    }
  }

  awaitable<void> signal_loop(std::function<void(int)> callback) {
    signals_.add(SIGTERM);
    signals_.add(SIGINT);
    for (int count = 1;; ++count) {
      const auto [error, signal] = co_await signals_.async_wait(kAwait);
      if (error) co_return;
      callback(count);
    }
  }

  void stop_when_drained() {
    if (!shared_.draining || shared_.active > 0) return;
    const bool unsent = std::ranges::any_of(
        connections_, [](const auto& entry) { return entry.second->has_unsent(); });
    if (!unsent) io_.stop();
  }

  const HttpOptions options_;
  asio::io_context io_{1};
  std::optional<asio::ssl::context> tls_;
  HttpShared shared_;
  tcp::acceptor acceptor_{io_};
  asio::steady_timer sweep_timer_{io_};
  asio::signal_set signals_{io_};
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::atomic<int64_t> connection_count_ = 0;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const HttpOptions& options,
                                                       HttpHandler& handler) {
  auto impl = std::make_unique<Impl>(options, handler);
  LOTSE_TRY(impl->listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

int HttpServer::port() const { return impl_->port(); }
void HttpServer::run() { impl_->run(); }
void HttpServer::drain() { impl_->drain(); }
void HttpServer::stop() { impl_->stop(); }
void HttpServer::on_signal(std::function<void(int)> callback) {
  impl_->on_signal(std::move(callback));
}
int64_t HttpServer::connections() const { return impl_->connections(); }

}  // namespace lotse
