#include "engine/team.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <thread>

#include "base/environment.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "engine/step_message.h"

namespace lotse {
namespace {

using std::chrono::milliseconds;

constexpr int kWorkerDescriptor = 3;
// How long a rank may take to say why it failed, and to end when its channel closes.
constexpr milliseconds kLastWords{2000};
constexpr milliseconds kFarewell{5000};

// "ascend:2" for rank 2 of "ascend"; every rank of "cpu" is on the same one.
std::string device_of_rank(const std::string& device, int32_t rank) {
  const size_t colon = device.find(':');
  const std::string kind = device.substr(0, colon);
  if (kind != "ascend") return device;
  int32_t first = 0;
  if (colon != std::string::npos) {
    const char* end = device.data() + device.size();
    const auto [last, error] = std::from_chars(device.data() + colon + 1, end, first);
    if (error != std::errc() || last != end) return device;  // open_device explains
  }
  return fmt::format("{}:{}", kind, first + rank);
}

int threads_of_rank(const EngineOptions& options) {
  return options.threads > 0 ? options.threads : std::max(1, available_cores() / options.ranks);
}

std::string order_for(const std::filesystem::path& model, const EngineOptions& options,
                      int32_t rank) {
  return Json{{"model", model.string()},
              {"device", device_of_rank(options.device, rank)},
              {"threads", threads_of_rank(options)},
              {"context", options.context},
              {"max_outputs", options.max_outputs},
              {"max_sequences", options.max_sequences},
              {"cache_tokens", options.cache_tokens},
              {"cache_type", options.cache_type ? static_cast<int>(*options.cache_type) : -1},
              {"rank", rank},
              {"ranks", options.ranks}}
      .dump();
}

EngineOptions options_of(const Json& order) {
  EngineOptions options;
  options.device = order.at("device");
  options.threads = order.at("threads");
  options.context = order.at("context");
  options.max_outputs = order.at("max_outputs");
  options.max_sequences = order.at("max_sequences");
  options.cache_tokens = order.at("cache_tokens");
  const int cache_type = order.at("cache_type");
  if (cache_type >= 0) options.cache_type = static_cast<DType>(cache_type);
  options.ranks = order.at("ranks");
  return options;
}

Error about(size_t worker, const Error& error) {
  return {error.code, fmt::format("rank {}: {}", worker + 1, error.message)};
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Steps until the leader closes the channel.
Result<void> follow(Channel& channel, Executable& executable) {
  while (true) {
    const auto message = channel.receive();
    if (!message) return channel.is_closed() ? Result<void>() : std::unexpected(message.error());
    const ReceivedBatch received(*message);
    LOTSE_TRY(executable.run(received.batch()));
    LOTSE_TRY(channel.send({}));
  }
}

Result<void> take_part(Channel& channel, const Json& order) {
  const EngineOptions options = options_of(order);
  StarGroup group(order.at("rank"), options.ranks, {&channel, 1});
  const auto engine =
      LOTSE_TRY(Engine::open_rank(order.at("model").get<std::string>(), options, group));
  LOTSE_TRY(channel.send({}));
  return follow(channel, engine->executable());
}

}  // namespace

// Rank 0's executable with those of the other ranks behind it.
class TeamExecutable final : public Executable {
 public:
  TeamExecutable(Team& team, std::unique_ptr<Executable> own) : team_(team), own_(std::move(own)) {}

  Result<std::span<const float>> run(const Batch& batch) override {
    return run_on_all(batch, [&] { return own_->run(batch); });
  }

  // The other ranks' logits are for themselves, so that only this one need choose among them.
  int64_t max_top() const override { return own_->max_top(); }
  Result<TopLogits> run_top(const Batch& batch, const TopRequest& request) override {
    return run_on_all(batch, [&] { return own_->run_top(batch, request); });
  }
  Result<std::span<const float>> last_logits() override { return own_->last_logits(); }

  Result<std::span<const float>> last_hidden() override { return own_->last_hidden(); }
  // The other ranks know whole steps only.
  Result<std::span<const float>> run_hidden(const Batch& batch) override {
    LOTSE_TRY(run(batch));
    return own_->last_hidden();
  }

  Steps steps() const override { return own_->steps(); }

  void observe(Observer* observer) override { own_->observe(observer); }
  Memory memory() const override { return own_->memory(); }
  double device_seconds() const override { return own_->device_seconds(); }

 private:
  // A step by `run` here and run() on the other ranks.
  template <class Run>
  auto run_on_all(const Batch& batch, Run&& run) -> decltype(run()) {
    if (failure_) return std::unexpected(*failure_);
    auto result = try_on_all(batch, run);
    if (result) return result;
    failure_ = team_.explain(result.error());
    team_.dismiss();
    return std::unexpected(*failure_);
  }

  template <class Run>
  auto try_on_all(const Batch& batch, Run&& run) -> decltype(run()) {
    const std::vector<std::byte> message = to_message(batch);
    for (Channel& channel : team_.channels_) LOTSE_TRY(channel.send(message));
    auto result = LOTSE_TRY(run());
    for (size_t i = 0; i < team_.channels_.size(); ++i) {
      const auto done = team_.channels_[i].receive(rank_timeout());
      if (!done) return std::unexpected(about(i, done.error()));
    }
    return result;
  }

  Team& team_;
  std::unique_ptr<Executable> own_;
  std::optional<Error> failure_;
};

Result<std::unique_ptr<Team>> Team::start(const std::filesystem::path& model,
                                          const EngineOptions& options) {
  // The vendor's own limits would keep a rank waiting for half an hour.
  const std::string seconds =
      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(rank_timeout()).count());
  ::setenv("HCCL_EXEC_TIMEOUT", seconds.c_str(), 0);
  std::unique_ptr<Team> team(new Team());
  team->channels_.reserve(static_cast<size_t>(options.ranks));
  const std::filesystem::path path = std::filesystem::absolute(model);
  for (int32_t rank = 1; rank < options.ranks; ++rank) {
    LOTSE_TRY(team->start_rank(rank, order_for(path, options, rank)));
  }
  team->group_ = std::make_unique<StarGroup>(0, options.ranks, team->channels_);
  return team;
}

Result<void> Team::start_rank(int32_t rank, const std::string& order) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return fail(ErrorCode::io, "no channel to rank {}: {}", rank, std::strerror(errno));
  }
  Channel mine(ends[0]);
  const Channel theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], kWorkerDescriptor);
  std::string words[] = {"lotse",     "worker",
                         "--channel", std::to_string(kWorkerDescriptor),
                         "--rank",    std::to_string(rank)};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = -1;
  const int error =
      ::posix_spawn(&process, "/proc/self/exe", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return fail(ErrorCode::io, "rank {} cannot be started: {}", rank, std::strerror(error));
  }
  processes_.push_back(process);
  channels_.push_back(std::move(mine));
  return channels_.back().send(bytes_of(order));
}

Result<void> Team::wait_until_ready() {
  for (size_t i = 0; i < channels_.size(); ++i) {
    const auto ready = channels_[i].receive();
    if (!ready) return std::unexpected(explain(about(i, ready.error())));
  }
  return {};
}

std::unique_ptr<Executable> Team::lead(std::unique_ptr<Executable> own) {
  return std::make_unique<TeamExecutable>(*this, std::move(own));
}

bool Team::has_lost_a_rank() const { return std::ranges::any_of(channels_, &Channel::is_closed); }

Error Team::explain(Error error) {
  for (size_t i = 0; i < channels_.size(); ++i) {
    while (!channels_[i].told() && channels_[i].receive(kLastWords)) {
    }
    if (channels_[i].told()) return about(i, *channels_[i].told());
    if (channels_[i].is_closed()) return {ErrorCode::io, how_it_ended(i)};
  }
  return error;
}

std::string Team::how_it_ended(size_t worker) {
  int status = 0;
  pid_t& process = processes_[worker];
  const auto start = std::chrono::steady_clock::now();
  while (process > 0 && ::waitpid(process, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() - start > kLastWords) {
      return fmt::format("rank {} (process {}) has closed its channel", worker + 1, process);
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  const pid_t ended = std::exchange(process, -1);
  if (WIFSIGNALED(status)) {
    return fmt::format("rank {} (process {}) was ended by signal {} ({})", worker + 1, ended,
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
  }
  return fmt::format("rank {} (process {}) has ended with exit code {}", worker + 1, ended,
                     WEXITSTATUS(status));
}

void Team::dismiss() {
  for (pid_t& process : processes_) {
    if (process <= 0) continue;
    ::kill(process, SIGKILL);
    ::waitpid(std::exchange(process, -1), nullptr, 0);
  }
}

Team::~Team() {
  group_.reset();
  channels_.clear();
  const auto start = std::chrono::steady_clock::now();
  for (pid_t& process : processes_) {
    while (process > 0 && std::chrono::steady_clock::now() - start < kFarewell) {
      if (::waitpid(process, nullptr, WNOHANG) != 0) process = -1;
      if (process > 0) std::this_thread::sleep_for(milliseconds(2));
    }
  }
  dismiss();
}

Result<void> serve_as_rank(int descriptor) {
  // Ctrl-C on the terminal is the leader's to handle.
  ::signal(SIGINT, SIG_IGN);
  Channel channel(descriptor);
  const auto message = LOTSE_TRY(channel.receive());
  const Json order =
      Json::parse(std::string_view(reinterpret_cast<const char*>(message.data()), message.size()));
  const Result<void> done = take_part(channel, order);
  if (done) return done;
  LOTSE_TRY(channel.send_error(done.error()));
  return done;
}

}  // namespace lotse
