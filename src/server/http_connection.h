// One client: a loop that reads, a loop that writes, and one exchange at a time between them.
// Only http_server.cc and http_connection.cc see Beast and Asio.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "server/http.h"

namespace lotse {

class Connection;
using SteadyTime = std::chrono::steady_clock::time_point;

// What connections share. Everything but the executor belongs to the I/O thread.
struct HttpShared {
  const HttpOptions& options;
  HttpHandler& handler;
  boost::asio::io_context& io;
  boost::asio::ssl::context* tls = nullptr;
  int64_t active = 0;      // exchanges that are not finished
  int64_t body_bytes = 0;  // of requests that are being read
  bool draining = false;
  std::function<void(Connection*)> on_close;
  std::function<void()> on_idle;  // an exchange ended
};

class HttpExchange final : public Exchange, public std::enable_shared_from_this<HttpExchange> {
 public:
  HttpExchange(std::shared_ptr<Connection> connection, boost::asio::io_context& io, HttpHead head,
               std::string body)
      : connection_(std::move(connection)),
        io_(io),
        head_(std::move(head)),
        body_(std::move(body)) {}

  const HttpHead& head() const override { return head_; }
  const std::string& body() const override { return body_; }
  void respond(HttpResponse response) override;
  void begin_stream(HttpResponse head, std::string keep_alive) override;
  void write(std::string text) override;
  void end_stream() override;
  void on_disconnect(std::function<void()> callback) override;
  void post(std::function<void()> function) override;

  // I/O thread: the connection is through with this exchange.
  void detach(bool complete);

 private:
  template <class Function>
  void on_connection(Function function);

  std::shared_ptr<Connection> connection_;  // null when detached
  boost::asio::io_context& io_;
  const HttpHead head_;
  const std::string body_;
  bool complete_ = false;
  std::function<void()> disconnected_;
};

class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(HttpShared& shared, boost::asio::ip::tcp::socket socket);

  void start();
  void close();
  // Closes what has passed a deadline; keeps silent streams alive.
  void sweep(SteadyTime now);
  // Ends it unless a request is being answered.
  void close_if_idle();
  bool has_unsent() const { return !output_.empty() || !writing_.empty(); }

  void send_whole(const HttpResponse& response);
  void send_head(const HttpResponse& head, std::string keep_alive);
  void send_part(std::string_view text);
  void send_end();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  static boost::asio::awaitable<void> read_loop(std::shared_ptr<Connection> self);
  static boost::asio::awaitable<void> write_loop(std::shared_ptr<Connection> self);
  boost::asio::awaitable<bool> handshake();
  boost::asio::awaitable<bool> read_some();
  boost::asio::awaitable<bool> write_all();

  void pump();
  bool parse_some();
  bool accept_head();
  void dispatch();
  void reject(int status, std::string_view reason);
  void count_body(int64_t bytes);
  void finish_exchange();
  void begin_lingering();
  static boost::asio::awaitable<void> say_goodbye(std::shared_ptr<Connection> self);
  std::string head_text(const HttpResponse& response, std::optional<size_t> length);

  HttpShared& shared_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  boost::asio::steady_timer output_ready_;
  boost::asio::steady_timer input_wanted_;
  boost::beast::flat_buffer input_;
  std::optional<Parser> parser_;
  bool head_accepted_ = false;
  int64_t counted_body_ = 0;
  std::shared_ptr<HttpExchange> exchange_;  // the one being answered

  std::string output_;   // not yet given to the socket
  std::string writing_;  // being written
  bool open_ = true;
  bool is_greeted_ = false;  // TLS is established
  bool closing_ = false;     // nothing more is parsed; closes when all is written
  bool lingering_ = false;   // all is written; input is thrown away until the client closes
  bool keep_open_ = false;   // after this answer
  bool is_head_request_ = false;
  bool is_http10_ = false;
  bool streaming_ = false;
  std::string keep_alive_;
  SteadyTime last_output_;
  std::optional<SteadyTime> read_deadline_, write_deadline_;
};

}  // namespace lotse
