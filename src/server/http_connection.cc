#include "server/http_connection.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/status.hpp>

namespace lotse {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr size_t kReadBytes = 16 << 10;
// Requests that a client sends ahead of their answers; beyond it, reading waits.
constexpr size_t kMaxPipelined = 64 << 10;
constexpr std::chrono::seconds kLinger{2};
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

HttpHead make_head(const http::request_header<>& header) {
  HttpHead head;
  head.method = header.method_string();
  const std::string_view target(header.target().data(), header.target().size());
  head.path = target.substr(0, target.find('?'));
  for (const auto& field : header) {
    std::string name = field.name_string();
    std::ranges::transform(name, name.begin(), [](char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    });
    head.headers.emplace_back(std::move(name), field.value());
  }
  return head;
}

}  // namespace

std::string_view HttpHead::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

// ---- HttpExchange

template <class Function>
void HttpExchange::on_connection(Function function) {
  asio::dispatch(io_, [self = shared_from_this(), function = std::move(function)]() mutable {
    if (const auto connection = self->connection_) function(*connection);
  });
}

void HttpExchange::respond(HttpResponse response) {
  on_connection([response = std::move(response)](Connection& c) { c.send_whole(response); });
}

void HttpExchange::begin_stream(HttpResponse head, std::string keep_alive) {
  on_connection([head = std::move(head), keep_alive = std::move(keep_alive)](
                    Connection& c) mutable { c.send_head(head, std::move(keep_alive)); });
}

void HttpExchange::write(std::string text) {
  on_connection([text = std::move(text)](Connection& c) { c.send_part(text); });
}

void HttpExchange::end_stream() {
  on_connection([](Connection& c) { c.send_end(); });
}

void HttpExchange::on_disconnect(std::function<void()> callback) {
  asio::dispatch(io_, [self = shared_from_this(), callback = std::move(callback)]() mutable {
    if (self->connection_) {
      self->disconnected_ = std::move(callback);
    } else if (!self->complete_) {
      callback();
    }
  });
}

void HttpExchange::post(std::function<void()> function) { asio::post(io_, std::move(function)); }

void HttpExchange::detach(bool complete) {
  complete_ = complete;
  connection_ = nullptr;
  const auto callback = std::exchange(disconnected_, nullptr);
  if (!complete && callback) callback();
}

// ---- Connection

Connection::Connection(HttpShared& shared, asio::ip::tcp::socket socket)
    : shared_(shared),
      socket_(std::move(socket)),
      output_ready_(shared.io, SteadyTime::max()),
      input_wanted_(shared.io, SteadyTime::max()),
      input_(static_cast<size_t>(shared.options.max_header_bytes) + kMaxPipelined + kReadBytes),
      last_output_(Clock::now()) {
  if (shared.tls != nullptr) tls_.emplace(socket_, *shared.tls);
}

void Connection::start() {
  const auto self = shared_from_this();
  read_deadline_ = Clock::now() + shared_.options.header_timeout;
  asio::co_spawn(shared_.io, read_loop(self), asio::detached);
  asio::co_spawn(shared_.io, write_loop(self), asio::detached);
}

void Connection::close() {
  if (!open_) return;
  const auto self = shared_from_this();
  open_ = false;
  error_code ignored;
  socket_.close(ignored);
  output_ready_.cancel();
  input_wanted_.cancel();
  count_body(0);
  if (const auto exchange = std::exchange(exchange_, nullptr)) {
    --shared_.active;
    exchange->detach(false);
  }
  shared_.on_close(this);
  shared_.on_idle();
}

void Connection::sweep(SteadyTime now) {
  const auto passed = [&](const auto& deadline) { return deadline && *deadline <= now; };
  if (passed(write_deadline_)) return close();
  if (passed(read_deadline_)) {
    const bool in_request = parser_ && input_.size() + parser_->get().body().size() > 0;
    if (in_request && !closing_) return reject(408, "the request took too long to arrive");
    return close();
  }
  const bool silent = now - last_output_ >= shared_.options.keep_alive_interval;
  if (streaming_ && silent && !keep_alive_.empty() && !has_unsent()) {
    send_part(keep_alive_);
  }
}

void Connection::close_if_idle() {
  if (exchange_ || has_unsent()) return;
  if (!tls_ || !is_greeted_) return close();
  closing_ = true;
  output_ready_.cancel();
}

awaitable<bool> Connection::handshake() {
  if (!tls_) co_return true;
  const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, kAwait);
  is_greeted_ = !error;
  co_return !error;
}

awaitable<bool> Connection::read_some() {
  const auto buffer = input_.prepare(kReadBytes);
  error_code error;
  size_t count = 0;
  if (tls_) {
    std::tie(error, count) = co_await tls_->async_read_some(buffer, kAwait);
  } else {
    std::tie(error, count) = co_await socket_.async_read_some(buffer, kAwait);
  }
  input_.commit(count);
  co_return !error;
}

awaitable<void> Connection::read_loop(std::shared_ptr<Connection> self) {
  Connection& c = *self;
  bool connected = co_await c.handshake();
  while (connected && c.open_) {
    connected = co_await c.read_some();
    if (!connected || !c.open_) break;
    if (c.closing_) c.input_.consume(c.input_.size());
    c.pump();
    while (c.open_ && c.exchange_ && c.input_.size() > kMaxPipelined) {
      co_await c.input_wanted_.async_wait(kAwait);
    }
  }
  c.close();
}

awaitable<bool> Connection::write_all() {
  size_t done = 0;
  while (done < writing_.size()) {
    write_deadline_ = Clock::now() + shared_.options.write_timeout;
    const auto rest = asio::buffer(writing_) + done;
    error_code error;
    size_t count = 0;
    if (tls_) {
      std::tie(error, count) = co_await tls_->async_write_some(rest, kAwait);
    } else {
      std::tie(error, count) = co_await socket_.async_write_some(rest, kAwait);
    }
    if (error || !open_) co_return false;
    done += count;
  }
  write_deadline_.reset();
  last_output_ = Clock::now();
  writing_.clear();
  if (shared_.draining) shared_.on_idle();
  co_return true;
}

awaitable<void> Connection::write_loop(std::shared_ptr<Connection> self) {
  Connection& c = *self;
  while (c.open_) {
    if (c.output_.empty()) {
      if (c.closing_ && !c.exchange_) c.begin_lingering();
      co_await c.output_ready_.async_wait(kAwait);
      continue;
    }
    c.writing_.swap(c.output_);
    const bool written = co_await c.write_all();
    if (!written) c.close();
  }
}

// Tells the client that nothing follows, and reads on for a moment: closing with unread input would
// reset the connection, and the client might lose the answer.
void Connection::begin_lingering() {
  if (lingering_) return;
  lingering_ = true;
  read_deadline_ = Clock::now() + kLinger;
  if (tls_) {
    asio::co_spawn(shared_.io, say_goodbye(shared_from_this()), asio::detached);
    return;
  }
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

// Sends close_notify, by which a client tells an end from a cut (RFC 8446, 6.1), and closes when
// the client has answered it.
awaitable<void> Connection::say_goodbye(std::shared_ptr<Connection> self) {
  co_await self->tls_->async_shutdown(kAwait);
  self->close();
}

// Parses and dispatches what has arrived, one request at a time.
void Connection::pump() {
  while (open_ && !closing_ && !exchange_ && input_.size() > 0) {
    if (!parse_some()) return;
  }
}

// Whether there may be more to parse.
bool Connection::parse_some() {
  if (!parser_) {
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(static_cast<uint32_t>(shared_.options.max_header_bytes));
    parser_->body_limit(static_cast<uint64_t>(shared_.options.max_body_bytes));
    head_accepted_ = false;
    read_deadline_ = Clock::now() + shared_.options.header_timeout;
  }
  error_code error;
  const size_t used = parser_->put(input_.data(), error);
  input_.consume(used);
  if (error == http::error::need_more) error = {};
  if (error) {
    const bool too_large = error == http::error::body_limit;
    const bool long_head = error == http::error::header_limit;
    reject(too_large ? 413 : long_head ? 431 : 400, error.message());
    return false;
  }
  count_body(static_cast<int64_t>(parser_->get().body().size()));
  if (shared_.body_bytes > shared_.options.max_bodies_bytes) {
    reject(503, "too many requests are being read; try again later");
    return false;
  }
  if (parser_->is_header_done() && !head_accepted_ && !accept_head()) return true;
  if (parser_->is_done()) {
    dispatch();
    return true;
  }
  return used > 0;
}

// False when the request was answered already.
bool Connection::accept_head() {
  head_accepted_ = true;
  const auto& message = parser_->get();
  is_head_request_ = message.method() == http::verb::head;
  is_http10_ = message.version() < 11;
  keep_open_ = parser_->keep_alive();
  read_deadline_ = Clock::now() + shared_.options.body_timeout;
  if (message.target().empty() || message.target().front() != '/') {
    reject(400, "the request's target must begin with /");
    return false;
  }
  if (const auto refusal = shared_.handler.refuse(make_head(message))) {
    if (!parser_->is_done()) keep_open_ = false;
    read_deadline_.reset();
    send_whole(*refusal);
    return false;
  }
  if (boost::beast::iequals(message[http::field::expect], "100-continue") && !parser_->is_done()) {
    output_ += kContinue;
    output_ready_.cancel();
  }
  return true;
}

void Connection::dispatch() {
  auto head = make_head(parser_->get());
  auto body = std::move(parser_->get().body());
  count_body(0);
  parser_.reset();
  read_deadline_.reset();
  exchange_ = std::make_shared<HttpExchange>(shared_from_this(), shared_.io, std::move(head),
                                             std::move(body));
  ++shared_.active;
  shared_.handler.handle(exchange_);
}

void Connection::reject(int status, std::string_view reason) {
  keep_open_ = false;
  send_whole(shared_.handler.malformed(status, reason));
}

void Connection::count_body(int64_t bytes) {
  shared_.body_bytes += bytes - counted_body_;
  counted_body_ = bytes;
}

std::string Connection::head_text(const HttpResponse& response, std::optional<size_t> length) {
  if (shared_.draining) keep_open_ = false;
  const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", response.status,
                                 std::string_view(reason.data(), reason.size()));
  const auto add = [&](std::string_view name, std::string_view value) {
    text += fmt::format("{}: {}\r\n", name, value);
  };
  if (!response.content_type.empty()) add("Content-Type", response.content_type);
  for (const auto& [name, value] : response.headers) add(name, value);
  const bool has_body = response.status != 204 && response.status != 304;
  if (length && has_body) add("Content-Length", std::to_string(*length));
  if (!length && !is_http10_) add("Transfer-Encoding", "chunked");
  if (!keep_open_) add("Connection", "close");
  if (keep_open_ && is_http10_) add("Connection", "keep-alive");
  return text + "\r\n";
}

void Connection::send_whole(const HttpResponse& response) {
  output_ += head_text(response, response.body.size());
  if (!is_head_request_) output_ += response.body;
  finish_exchange();
}

void Connection::send_head(const HttpResponse& head, std::string keep_alive) {
  if (is_http10_) keep_open_ = false;
  output_ += head_text(head, std::nullopt);
  streaming_ = true;
  keep_alive_ = std::move(keep_alive);
  output_ready_.cancel();
}

void Connection::send_part(std::string_view text) {
  if (text.empty() || is_head_request_) return;
  output_ += is_http10_ ? std::string(text) : fmt::format("{:x}\r\n{}\r\n", text.size(), text);
  if (static_cast<int64_t>(output_.size()) > shared_.options.max_unsent_bytes) return close();
  output_ready_.cancel();
}

void Connection::send_end() {
  if (!is_http10_ && !is_head_request_) output_ += "0\r\n\r\n";
  finish_exchange();
}

// The answer is complete: the next request may be parsed, or nothing more is.
void Connection::finish_exchange() {
  streaming_ = false;
  parser_.reset();
  count_body(0);
  closing_ = closing_ || !keep_open_;
  read_deadline_ = Clock::now() + shared_.options.idle_timeout;
  output_ready_.cancel();
  input_wanted_.cancel();
  const auto exchange = std::exchange(exchange_, nullptr);
  if (!exchange) return;
  --shared_.active;
  exchange->detach(true);
  asio::post(shared_.io, [self = shared_from_this()] { self->pump(); });
  shared_.on_idle();
}

}  // namespace lotse
