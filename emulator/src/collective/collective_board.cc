#include "collective/collective_board.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "collective/collective_arithmetic.h"
#include "collective/collective_calls.h"
#include "collective/hccl_error.h"
#include "collective/rendezvous.h"
#include "runtime/memory.h"

namespace lotse::emulator {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kDefaultExecTimeout = 1836;
constexpr long kLookAroundNs = 20'000'000;  // how often a waiting rank looks whether others live
constexpr int64_t kPieceAlignment = 64;

bool has_reached(uint32_t value, uint32_t target) {
  return static_cast<int32_t>(value - target) >= 0;
}

void wait_for_change(const std::atomic<uint32_t>& counter, uint32_t seen) {
  const timespec time = {0, kLookAroundNs};
  syscall(SYS_futex, &counter, FUTEX_WAIT, seen, &time, nullptr, 0);
}

void raise_to(std::atomic<uint32_t>& counter, uint32_t value) {
  counter.store(value, std::memory_order_release);
  syscall(SYS_futex, &counter, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

int open_process(const RankRecord& record) {
  const int32_t process = record.process;
  if (process == 0 || process == getpid() || record.process_namespace != process_namespace()) {
    return -1;
  }
  return static_cast<int>(syscall(SYS_pidfd_open, process, 0));
}

std::byte* located(const void* address, int64_t size, int32_t device, const char* argument) {
  if (size == 0) return nullptr;
  try {
    return resolve(address, static_cast<size_t>(size), device, kCollectiveFault);
  } catch (const Error& error) {
    fail(error.code(), "argument {}: {}", argument, error.text());
  }
}

void copy(std::byte* to, const std::byte* from, int64_t size) {
  std::memcpy(to, from, static_cast<size_t>(size));
}

}  // namespace

Membership::Membership(const Segment& segment, uint32_t rank)
    : segment_(segment),
      rank_(rank),
      patience_(seconds_from("HCCL_EXEC_TIMEOUT", kDefaultExecTimeout)) {
  for (uint32_t peer = 0; peer < segment.ranks(); ++peer) {
    processes_.push_back(open_process(segment.rank(peer)));
  }
}

Membership::~Membership() {
  auto present = RankState::present;
  segment_.rank(rank_).state.compare_exchange_strong(present, RankState::left);
  for (const int process : processes_) {
    if (process >= 0) close(process);
  }
}

bool Membership::process_ended(uint32_t peer) const {
  if (processes_[peer] < 0) return false;
  pollfd polled = {processes_[peer], POLLIN, 0};
  return poll(&polled, 1, 0) > 0;
}

void Membership::await(const std::atomic<uint32_t>& counter, uint32_t target, uint32_t peer,
                       const std::string& operation) {
  const auto begin = Clock::now();
  const auto give_up_on = [&](int code, const std::string& why) {
    if (has_reached(counter.load(std::memory_order_acquire), target)) return;
    const std::chrono::duration<double> waited = Clock::now() - begin;
    fail(code,
         "EI0002: {} on communicator {}: rank {} waits for rank {}, which {}; waited {:.1f} s",
         operation, name(), rank_, peer, why, waited.count());
  };
  while (true) {
    const uint32_t seen = counter.load(std::memory_order_acquire);
    if (has_reached(seen, target)) return;
    const RankRecord& record = segment_.rank(peer);
    const RankState state = record.state.load(std::memory_order_acquire);
    if (state == RankState::failed) {
      give_up_on(kCollectiveFault, fmt::format("gave up ({})", record.reason));
    } else if (state == RankState::left) {
      give_up_on(kCollectiveTimeout, "has destroyed its communicator");
    } else if (process_ended(peer)) {
      give_up_on(kCollectiveTimeout,
                 fmt::format("is missing: its process {} has ended", record.process.load()));
    } else if (patience_.count() > 0 && Clock::now() - begin > patience_) {
      give_up_on(kCollectiveTimeout, "did not come in time (HCCL_EXEC_TIMEOUT)");
    }
    wait_for_change(counter, seen);
  }
}

void Membership::give_up(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  RankRecord& record = segment_.rank(rank_);
  if (record.state != RankState::present) return;
  std::snprintf(record.reason, sizeof record.reason, "%s", reason.c_str());
  record.state.store(RankState::failed, std::memory_order_release);
}

bool Membership::whole() const { return segment_.rank(rank_).state == RankState::present; }

void Membership::require_whole() const {
  const RankRecord& record = segment_.rank(rank_);
  if (record.state.load(std::memory_order_acquire) != RankState::present) {
    fail(kCollectiveFault, "communicator {} failed earlier: {}", name(), record.reason);
  }
}

Place::Place(Membership& membership, Board board, std::vector<uint32_t> ranks, uint32_t side)
    : membership_(membership), board_(board), ranks_(std::move(ranks)), side_(side) {}

uint64_t Place::take_turn() {
  const std::lock_guard lock(mutex_);
  return next_turn_++;
}

void Place::finish_turn(uint64_t turn) {
  const std::lock_guard lock(mutex_);
  finished_.insert(turn);
  while (finished_.erase(serving_) > 0) ++serving_;
  turned_.notify_all();
}

void Place::abandon(uint64_t turn, const std::string& operation, const std::string& reason) {
  membership_.give_up(fmt::format("its {} did not run: {}", operation, reason));
  finish_turn(turn);
}

Timing Place::run(uint64_t turn, const Exchange& exchange, int32_t device, double start_us) {
  {
    std::unique_lock lock(mutex_);
    turned_.wait(lock, [&] { return serving_ == turn; });
  }
  try {
    const Timing timing = perform(exchange, device, start_us);
    finish_turn(turn);
    return timing;
  } catch (const std::exception& error) {
    membership_.give_up(error.what());
    finish_turn(turn);
    throw;
  }
}

int64_t Place::piece_bytes(Operation operation) const {
  if (!per_destination(operation)) return board_.stage_bytes;
  return board_.stage_bytes / board_.members & -kPieceAlignment;
}

Timing Place::perform(const Exchange& exchange, int32_t device, double start_us) {
  membership_.require_whole();
  const auto host = [](const void* address) {
    return static_cast<std::byte*>(const_cast<void*>(address));
  };
  const Buffers buffers =
      exchange.on_host
          ? Buffers{host(exchange.send), host(exchange.receive)}
          : Buffers{located(exchange.send, exchange.send_bytes, device, "sendBuf"),
                    located(exchange.receive, exchange.receive_bytes, device, "recvBuf")};
  Exchange mine = exchange;
  mine.call.start_us = start_us;
  post_step(mine, buffers, 0, true);
  meet(exchange.name);
  const std::vector<CallRecord> calls = agreed_calls();
  int64_t longest = 0;
  for (uint32_t from = 0; from < board_.members; ++from) {
    for (uint32_t to = 0; to < board_.members; ++to) {
      longest = std::max(longest, message_bytes(calls[from], from, to));
    }
  }
  const int64_t piece = piece_bytes(exchange.call.operation);
  take_step(mine, buffers, calls, 0);
  for (int64_t at = piece; at < longest; at += piece) {
    post_step(mine, buffers, at, false);
    meet(exchange.name);
    take_step(mine, buffers, calls, at);
  }
  Timing timing{.start_us = start_us, .duration = {transfer_us(calls), Limit::link}};
  for (const CallRecord& call : calls) timing.start_us = std::max(timing.start_us, call.start_us);
  return timing;
}

std::vector<CallRecord> Place::agreed_calls() const {
  std::vector<CallRecord> calls;
  for (uint32_t i = 0; i < board_.members; ++i) {
    calls.push_back(board_.sides[i].calls[step_ % 2]);
  }
  require_agreement(calls, ranks_);
  return calls;
}

// Publishes this member's call and the pieces of its messages that begin at byte `at`.
void Place::post_step(const Exchange& exchange, const Buffers& buffers, int64_t at, bool first) {
  for (uint32_t i = 0; i < board_.members; ++i) {
    membership_.await(board_.sides[i].taken, step_ - 1, ranks_[i], exchange.name);
  }
  SideRecord& side = board_.sides[side_];
  if (first) side.calls[step_ % 2] = exchange.call;
  const int64_t piece = piece_bytes(exchange.call.operation);
  std::byte* const stage = board_.stage(side_, step_);
  const bool many = per_destination(exchange.call.operation);
  for (uint32_t to = 0; to < board_.members; ++to) {
    const int64_t left = message_bytes(exchange.call, side_, to) - at;
    if (left <= 0) continue;
    copy(stage + (many ? to * piece : 0), buffers.send + exchange.send_offsets[many ? to : 0] + at,
         std::min(left, piece));
    if (!many) break;
  }
  raise_to(side.posted, step_ + 1);
}

void Place::meet(const std::string& operation) {
  for (uint32_t i = 0; i < board_.members; ++i) {
    membership_.await(board_.sides[i].posted, step_ + 1, ranks_[i], operation);
  }
}

// Takes what the others posted for this member.
void Place::take_step(const Exchange& exchange, const Buffers& buffers,
                      const std::vector<CallRecord>& calls, int64_t at) {
  const Operation operation = exchange.call.operation;
  const int64_t piece = piece_bytes(operation);
  for (uint32_t from = 0; from < board_.members; ++from) {
    const int64_t left = message_bytes(calls[from], from, side_) - at;
    if (left <= 0) continue;
    const int64_t size = std::min(left, piece);
    if (reduces(operation)) {
      reduce(exchange, buffers, at, size);
      break;
    }
    const std::byte* const staged =
        board_.stage(from, step_) + (per_destination(operation) ? side_ * piece : 0);
    copy(buffers.receive + exchange.receive_offsets[from] + at, staged, size);
  }
  raise_to(board_.sides[side_].taken, step_ + 1);
  ++step_;
}

void Place::reduce(const Exchange& exchange, const Buffers& buffers, int64_t at, int64_t size) {
  const Operation operation = exchange.call.operation;
  const int64_t offset = per_destination(operation) ? side_ * piece_bytes(operation) : 0;
  std::vector<const std::byte*> pieces;
  for (uint32_t from = 0; from < board_.members; ++from) {
    pieces.push_back(board_.stage(from, step_) + offset);
  }
  reduce_pieces(exchange.call.type, exchange.call.reduce_op, pieces,
                size / size_of(exchange.call.type), buffers.receive + at);
}

}  // namespace lotse::emulator
