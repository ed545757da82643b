#include "load/generator.h"

#include <sys/resource.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/json.h"
#include "load/client.h"
#include "load/stream_check.h"

namespace lotse {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kProgressInterval{200};
constexpr size_t kMaxErrorBytes = 64 << 10;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// The message of an error's body, or its beginning.
std::string error_message(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_object() &&
      json["error"].value("message", Json()).is_string()) {
    return json["error"]["message"].get<std::string>();
  }
  return body.substr(0, body.find_first_of("\r\n"));
}

class Generator {
 public:
  Generator(const LoadOptions& options, Workload workload,
            const std::function<void(const LoadProgress&)>& progress)
      : options_(options), workload_(std::move(workload)), progress_(progress) {}

  Result<LoadRun> run() {
    LOTSE_TRY(prepare());
    std::optional<Error> failure;
    wait_for([this](std::optional<Error>& out) { return ask_server(out); }, failure);
    if (failure) return std::unexpected(*failure);
    run_.shortened = context_ > 0 ? fit_context(workload_, context_) : 0;
    wait_for([this](std::optional<Error>& out) { return warm_up(out); }, failure);
    if (failure) return std::unexpected(*failure);
    measure();
    return std::move(run_);
  }

 private:
  using Step = std::function<awaitable<void>(std::optional<Error>&)>;

  Result<void> prepare() {
    url_ = LOTSE_TRY(parse_server_url(options_.url));
    run_.server = options_.url;
    error_code error;
    endpoints_ = asio::ip::tcp::resolver(io_).resolve(url_.host, url_.port, error);
    if (error) {
      return fail(ErrorCode::io, "{}: cannot resolve {}: {}", options_.url, url_.host,
                  error.message());
    }
    if (!url_.is_tls) return {};
    tls_.emplace(asio::ssl::context::tls_client);
    if (options_.ca_file.empty()) {
      tls_->set_default_verify_paths(error);
    } else {
      tls_->load_verify_file(options_.ca_file, error);
    }
    if (error) return fail(ErrorCode::io, "{}: {}", options_.ca_file, error.message());
    return {};
  }

  void wait_for(const Step& step, std::optional<Error>& failure) {
    asio::co_spawn(io_, step(failure), asio::detached);
    io_.run();
    io_.restart();
  }

  std::string request_text(const char* method, const std::string& path,
                           const std::string& body) const {
    std::string text = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: lotse-bench\r\n",
                                   method, url_.base, path, url_.authority());
    if (!options_.api_key.empty()) text += "Authorization: Bearer " + options_.api_key + "\r\n";
    if (*method == 'P') {
      text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    }
    return text + "\r\n" + body;
  }

  std::unique_ptr<LoadConnection> take_connection() {
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    return std::make_unique<LoadConnection>(io_, url_, endpoints_, tls_ ? &*tls_ : nullptr);
  }

  awaitable<HttpExchangeResult> exchange(std::string request,
                                         std::function<void(std::string_view)> sink) {
    auto connection = take_connection();
    const auto deadline = Clock::now() + to_duration(options_.timeout_seconds);
    HttpExchangeResult result =
        co_await connection->exchange(std::move(request), std::move(sink), deadline);
    if (connection->is_open()) idle_.push_back(std::move(connection));
    co_return result;
  }

  // ---- before the run ----

  // Which model, how long its context is, and what words are to it.
  awaitable<void> ask_server(std::optional<Error>& failure) {
    std::string body;
    const auto keep = [&body](std::string_view part) { body += part; };
    const auto listed = co_await exchange(request_text("GET", "/v1/models", ""), keep);
    if (listed.status != 200 || !listed.failure.empty()) {
      failure = Error{ErrorCode::io,
                      fmt::format("{}/v1/models: {}", options_.url,
                                  listed.failure.empty() ? fmt::format("HTTP {}: {}", listed.status,
                                                                       error_message(body))
                                                         : listed.failure)};
      co_return;
    }
    choose_model(Json::parse(body, nullptr, false), failure);
    if (failure) co_return;
    body.clear();
    const Json asked = {{"model", run_.model},
                        {"prompt", PromptMaker::some_words()},
                        {"add_special_tokens", false}};
    const auto split = co_await exchange(request_text("POST", "/tokenize", asked.dump()), keep);
    if (split.status == 200) learn_words(Json::parse(body, nullptr, false));
  }

  void choose_model(const Json& list, std::optional<Error>& failure) {
    run_.model = options_.model;
    const auto data = list.is_object() ? list.find("data") : list.end();
    if (data != list.end() && data->is_array()) {
      for (const Json& model : *data) {
        if (!model.is_object() || !model.value("id", Json()).is_string()) continue;
        const auto id = model["id"].get<std::string>();
        if (run_.model.empty()) run_.model = id;
        if (run_.model != id) continue;
        const Json context = model.value("max_model_len", Json());
        if (context.is_number_integer()) context_ = context.get<int64_t>();
        return;
      }
    }
    if (run_.model.empty()) {
      failure = Error{ErrorCode::not_found, options_.url + " lists no model; give --model"};
    }
  }

  void learn_words(const Json& answer) {
    const Json tokens = answer.is_object() ? answer.value("tokens", Json()) : Json();
    if (!tokens.is_array() || tokens.empty()) return;
    std::vector<int32_t> ids;
    for (const Json& token : tokens) {
      if (token.is_number_integer()) ids.push_back(token.get<int32_t>());
    }
    if (ids.empty()) return;
    const double per_word =
        static_cast<double>(ids.size()) / static_cast<double>(PromptMaker::word_count());
    prompts_ = PromptMaker(std::move(ids), per_word, options_.seed);
    run_.has_tokens = !options_.is_chat;
  }

  awaitable<void> warm_up(std::optional<Error>& failure) {
    for (int64_t i = 0; i < options_.warm_up && !workload_.empty(); ++i) {
      RequestRecord record;
      // Another prompt than any of the run, so that nothing of those is cached.
      co_await ask(workload_[static_cast<size_t>(i % std::ssize(workload_))], -1 - i, record);
      if (record.error.empty()) continue;
      failure = Error{ErrorCode::io,
                      fmt::format("{}: the first request failed: {}", options_.url, record.error)};
      co_return;
    }
  }

  // ---- the run ----

  void measure() {
    run_.records.resize(workload_.size());
    signals_.emplace(io_, SIGINT);
    signals_->async_wait([this](const error_code& error, int) {
      if (error) return;
      run_.was_interrupted = true;
      io_.stop();
    });
    start_ = Clock::now();
    const double cpu_start = cpu_seconds();
    asio::co_spawn(io_, report_loop(), asio::detached);
    if (options_.is_closed) {
      const int64_t users = std::min(options_.concurrency, std::ssize(workload_));
      for (int64_t user = 0; user < users; ++user) {
        asio::co_spawn(io_, user_loop(), asio::detached);
      }
    } else {
      asio::co_spawn(io_, dispatch_loop(), asio::detached);
    }
    io_.run();
    run_.cpu_seconds = cpu_seconds() - cpu_start;
    std::erase_if(run_.records, [](const RequestRecord& r) { return r.ended == 0; });
    for (const RequestRecord& r : run_.records) run_.seconds = std::max(run_.seconds, r.ended);
  }

  double now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  bool is_over() const { return ended_ == std::ssize(workload_); }

  awaitable<void> report_loop() {
    while (!is_over()) {
      if (progress_) progress_({ended_, std::ssize(workload_), failed_, in_flight_});
      tick_.expires_after(kProgressInterval);
      co_await tick_.async_wait(kAwait);
    }
    signals_->cancel();
  }

  awaitable<void> user_loop() {
    while (next_ < workload_.size()) co_await ask_one(take());
  }

  awaitable<void> dispatch_loop() {
    asio::steady_timer timer(io_);
    while (next_ < workload_.size()) {
      timer.expires_at(start_ + to_duration(workload_[next_].at_seconds));
      co_await timer.async_wait(kAwait);
      while (options_.concurrency > 0 && in_flight_ >= options_.concurrency) {
        slot_.expires_at(Clock::time_point::max());
        co_await slot_.async_wait(kAwait);
      }
      asio::co_spawn(io_, ask_one(take()), asio::detached);
    }
  }

  // The next request of the workload, which is in flight from now on.
  size_t take() {
    run_.most_in_flight = std::max(run_.most_in_flight, ++in_flight_);
    return next_++;
  }

  awaitable<void> ask_one(size_t index) {
    const PlannedRequest& planned = workload_[index];
    RequestRecord& record = run_.records[index];
    record.due = options_.is_closed ? now() : planned.at_seconds;
    co_await ask(planned, static_cast<int64_t>(index), record);
    --in_flight_;
    ++ended_;
    if (!record.error.empty()) ++failed_;
    slot_.cancel();
    if (is_over()) tick_.cancel();
  }

  std::string request_body(const PlannedRequest& planned, int64_t index) const {
    Json body = {{"model", run_.model},
                 {"max_tokens", planned.output_tokens},
                 {"temperature", 0},
                 {"stream", true},
                 {"stream_options", {{"include_usage", true}}}};
    if (options_.ignore_eos) body["ignore_eos"] = true;
    if (options_.is_chat) {
      const Json part = {{"type", "text"}, {"text", prompts_.text(planned, index)}};
      const Json message = {{"role", "user"}, {"content", Json::array({part})}};
      body["messages"] = Json::array({message});
    } else if (prompts_.has_tokens()) {
      body["prompt"] = prompts_.tokens(planned, index);
    } else {
      body["prompt"] = prompts_.text(planned, index);
    }
    return body.dump();
  }

  awaitable<void> ask(const PlannedRequest& planned, int64_t index, RequestRecord& record) {
    const char* path = options_.is_chat ? "/v1/chat/completions" : "/v1/completions";
    std::string request = request_text("POST", path, request_body(planned, index));
    StreamCheck stream(options_.is_chat, planned.output_tokens);
    std::string text;  // the beginning, which is all of an error's
    record.asked_input = planned.input_tokens;
    record.asked_output = planned.output_tokens;
    record.sent = now();
    const auto result = co_await exchange(std::move(request), [&](std::string_view part) {
      if (text.size() < kMaxErrorBytes) text += part;
      stream.push(part, Clock::now());
    });
    record.ended = now();
    record.status = result.status;
    if (!result.failure.empty()) {
      record.error = result.failure;
    } else if (result.status != 200) {
      record.error = fmt::format("HTTP {}: {}", result.status, error_message(text));
    } else {
      stream.finish();
      record.error = stream.failure();
      record.breach = stream.breach();
    }
    for (const auto time : stream.text_times()) {
      record.texts.push_back(std::chrono::duration<double>(time - start_).count());
    }
    record.first = record.texts.empty() ? record.ended : record.texts.front();
    record.prompt_tokens = stream.prompt_tokens();
    record.completion_tokens = stream.completion_tokens();
    record.cached_tokens = stream.cached_tokens();
  }

  const LoadOptions& options_;
  Workload workload_;
  const std::function<void(const LoadProgress&)>& progress_;
  ServerUrl url_;
  asio::io_context io_{1};
  std::optional<asio::ssl::context> tls_;
  LoadConnection::Endpoints endpoints_;
  std::vector<std::unique_ptr<LoadConnection>> idle_;
  std::optional<asio::signal_set> signals_;
  asio::steady_timer tick_{io_}, slot_{io_};
  PromptMaker prompts_{options_.seed};
  int64_t context_ = 0;  // 0: unknown
  LoadRun run_;
  Clock::time_point start_ = Clock::now();
  size_t next_ = 0;
  int64_t ended_ = 0, failed_ = 0, in_flight_ = 0;
};

}  // namespace

Result<LoadRun> run_load(const LoadOptions& options, Workload workload,
                         const std::function<void(const LoadProgress&)>& progress) {
  return Generator(options, std::move(workload), progress).run();
}

}  // namespace lotse
