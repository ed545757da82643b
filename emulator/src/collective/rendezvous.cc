#include "collective/rendezvous.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "collective/collective_segment.h"
#include "collective/hccl_error.h"

namespace lotse::emulator {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kVersion = 1;
constexpr int kBacklog = 128;
constexpr std::chrono::seconds kGrace{2};  // within which the rendezvous answers a late rank

using Secret = std::array<uint8_t, 16>;

// The beginning of HcclRootInfo's bytes.
struct Address {
  char magic[8] = {'L', 'o', 't', 's', 'e', 'H', 'C', 'L'};
  uint32_t version = kVersion;
  int32_t process = 0;
  Secret secret{};
  char socket[64] = {};  // in the abstract name space
};
static_assert(sizeof(Address) <= HCCL_ROOT_INFO_BYTES);

struct Hello {
  Secret secret;
  uint32_t version, ranks, rank;
  int32_t process;
  uint64_t process_namespace;
};

struct Reply {
  HcclResult code = 0;
  char text[1000] = {};
};

class File {
 public:
  File() = default;
  explicit File(int number) : number_(number) {}
  File(File&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~File() {
    if (number_ >= 0) close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

Secret random_bytes() {
  Secret bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    fail(HCCL_E_SYSCALL, "no random numbers: {}", std::strerror(errno));
  }
  return bytes;
}

std::string random_hex() {
  std::string text;
  for (const uint8_t byte : random_bytes()) text += fmt::format("{:02x}", byte);
  return text;
}

File new_socket() {
  File file(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (file.get() < 0) fail(HCCL_E_SYSCALL, "no Unix socket: {}", std::strerror(errno));
  return file;
}

std::pair<sockaddr_un, socklen_t> socket_address(const char* name) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
  const size_t length = offsetof(sockaddr_un, sun_path) + 1 + std::strlen(name);
  return {address, static_cast<socklen_t>(length)};
}

bool same_user(int connection) {
  ucred peer = {};
  socklen_t length = sizeof peer;
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.uid == geteuid();
}

void send_reply(int connection, const Reply& reply, int file) {
  iovec part = {const_cast<Reply*>(&reply), sizeof reply};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  // A rank that is gone is found when the others wait for it.
  [[maybe_unused]] const auto sent = sendmsg(connection, &message, MSG_NOSIGNAL);
}

// Nothing when the connection ended.
std::optional<std::pair<Reply, File>> receive_reply(int connection) {
  Reply reply;
  iovec part = {&reply, sizeof reply};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  int file = -1;
  if (const cmsghdr* header = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
      header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    std::memcpy(&file, CMSG_DATA(header), sizeof file);
  }
  File received(file);
  if (size != static_cast<ssize_t>(sizeof reply)) return std::nullopt;
  reply.text[sizeof reply.text - 1] = '\0';
  return std::pair{reply, std::move(received)};
}

int milliseconds_until(Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left + 1, 0, 1'000'000));
}

// The side that waits for all ranks.
class Rendezvous {
 public:
  Rendezvous(File listener, Secret secret)
      : listener_(std::move(listener)),
        secret_(secret),
        patience_(seconds_from("HCCL_CONNECT_TIMEOUT", 120)) {}

  void serve() {
    try {
      while (ranks_ == 0 || arrived_.size() < ranks_) wait_for_next();
      const File segment(Segment::create(ranks_, new_communicator_name()));
      introduce(Segment(segment.get()));
      answer_all({}, segment.get());
    } catch (const Error& error) {
      Reply reply{.code = error.code()};
      std::snprintf(reply.text, sizeof reply.text, "%s", error.text().c_str());
      answer_all(reply, -1);
    }
  }

 private:
  struct Arrived {
    File connection;
    uint32_t rank;
    int32_t process;
    uint64_t process_namespace;
  };

  void introduce(const Segment& segment) const {
    for (const Arrived& one : arrived_) {
      segment.rank(one.rank).process = one.process;
      segment.rank(one.rank).process_namespace = one.process_namespace;
    }
  }

  void wait_for_next() {
    std::vector<pollfd> polled = {{listener_.get(), POLLIN, 0}};
    for (const File& file : strangers_) polled.push_back({file.get(), POLLIN, 0});
    for (const Arrived& one : arrived_) polled.push_back({one.connection.get(), POLLIN, 0});
    const int timeout = arrived_.empty() ? -1 : milliseconds_until(deadline_);
    if (poll(polled.data(), polled.size(), timeout) == 0) fail_missing();
    const size_t strangers = strangers_.size();
    for (size_t i = 0; i < arrived_.size(); ++i) {
      if (polled[1 + strangers + i].revents != 0) {
        fail(HCCL_E_TIMEOUT, "EI0006: rank {} left while {} of {} ranks had come", arrived_[i].rank,
             arrived_.size(), ranks_);
      }
    }
    for (size_t i = strangers; i-- > 0;) {
      if (polled[1 + i].revents != 0) greet(i);
    }
    if (polled[0].revents != 0) {
      File connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (connection.get() >= 0 && same_user(connection.get())) {
        strangers_.push_back(std::move(connection));
      }
    }
  }

  void greet(size_t index) {
    File connection = std::move(strangers_[index]);
    strangers_.erase(strangers_.begin() + static_cast<ptrdiff_t>(index));
    Hello hello = {};
    const auto size = recv(connection.get(), &hello, sizeof hello, MSG_DONTWAIT);
    if (size != static_cast<ssize_t>(sizeof hello) || hello.version != kVersion ||
        hello.secret != secret_ || hello.ranks == 0 || hello.ranks > kMaxRanks ||
        hello.rank >= hello.ranks) {
      return;
    }
    if (arrived_.empty()) {
      ranks_ = hello.ranks;
      began_ = Clock::now();
      deadline_ = began_ + patience_;
    }
    const uint32_t expected = ranks_;
    bool twice = false;
    for (const Arrived& one : arrived_) twice = twice || one.rank == hello.rank;
    arrived_.push_back({std::move(connection), hello.rank, hello.process, hello.process_namespace});
    if (hello.ranks != expected) {
      fail(HCCL_E_PARA, "argument nRanks: rank {} says {}, but others say {}", hello.rank,
           hello.ranks, expected);
    }
    if (twice) fail(HCCL_E_PARA, "argument rank: {} came twice", hello.rank);
  }

  [[noreturn]] void fail_missing() const {
    std::string missing;
    for (uint32_t rank = 0; rank < ranks_; ++rank) {
      bool here = false;
      for (const Arrived& one : arrived_) here = here || one.rank == rank;
      if (!here) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
    }
    fail(HCCL_E_TIMEOUT,
         "EI0006: rank {} of {} did not come within {} s (HCCL_CONNECT_TIMEOUT); see whether its "
         "process runs and got the same root info",
         missing, ranks_, patience_.count());
  }

  void answer_all(const Reply& reply, int file) const {
    for (const Arrived& one : arrived_) send_reply(one.connection.get(), reply, file);
  }

  File listener_;
  const Secret secret_;
  const std::chrono::seconds patience_;
  uint32_t ranks_ = 0;
  Clock::time_point began_{}, deadline_{};
  std::vector<File> strangers_;  // connected, but did not say who they are
  std::vector<Arrived> arrived_;
};

}  // namespace

std::chrono::seconds seconds_from(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::chrono::seconds(otherwise);
  char* end = nullptr;
  const long long seconds = std::strtoll(text, &end, 10);
  if (*text == '\0' || *end != '\0' || seconds < 0 || seconds > 1'000'000) {
    fail(HCCL_E_PARA, "{}: got \"{}\", expected a number of seconds", variable, text);
  }
  return std::chrono::seconds(seconds);
}

uint64_t process_namespace() {
  struct stat status = {};
  return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

std::string new_communicator_name() { return "hccl-" + random_hex().substr(0, 8); }

HcclRootInfo open_rendezvous() {
  Address address;
  address.process = getpid();
  address.secret = random_bytes();
  std::snprintf(address.socket, sizeof address.socket, "lotse-hccl-%s", random_hex().c_str());
  File listener = new_socket();
  const auto [name, length] = socket_address(address.socket);
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0 ||
      listen(listener.get(), kBacklog) != 0) {
    fail(HCCL_E_SYSCALL, "cannot listen on a Unix socket: {}", std::strerror(errno));
  }
  Rendezvous rendezvous(std::move(listener), address.secret);
  std::thread([rendezvous = std::move(rendezvous)]() mutable { rendezvous.serve(); }).detach();
  HcclRootInfo info = {};
  std::memcpy(info.internal, &address, sizeof address);
  return info;
}

int join_rendezvous(const HcclRootInfo& root_info, uint32_t ranks, uint32_t rank) {
  Address address;
  const Address expected;
  std::memcpy(&address, root_info.internal, sizeof address);
  if (std::memcmp(address.magic, expected.magic, sizeof address.magic) != 0 ||
      address.version != kVersion) {
    fail(HCCL_E_PARA, "argument rootInfo: not made by this emulator's HcclGetRootInfo");
  }
  address.socket[sizeof address.socket - 1] = '\0';
  const auto begin = Clock::now();
  const auto deadline = begin + seconds_from("HCCL_CONNECT_TIMEOUT", 120) + kGrace;
  const File connection = new_socket();
  const auto [name, length] = socket_address(address.socket);
  const Hello hello = {address.secret, kVersion, ranks, rank, getpid(), process_namespace()};
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0 ||
      send(connection.get(), &hello, sizeof hello, MSG_NOSIGNAL) < 0) {
    fail(HCCL_E_TIMEOUT,
         "EI0006: nobody waits at the root info's address ({}): process {}, which made it, has "
         "ended, waited in vain, or its communicator is complete",
         std::strerror(errno), address.process);
  }
  pollfd polled = {connection.get(), POLLIN, 0};
  auto reply = poll(&polled, 1, milliseconds_until(deadline)) > 0 ? receive_reply(connection.get())
                                                                  : std::nullopt;
  if (!reply) {
    fail(HCCL_E_TIMEOUT,
         "EI0006: process {}, which made the root info, did not answer; rank {} of {} waited {} s",
         address.process, rank, ranks,
         std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begin).count());
  }
  if (reply->first.code != 0) fail(reply->first.code, "{}", reply->first.text);
  return reply->second.release();
}

}  // namespace lotse::emulator
