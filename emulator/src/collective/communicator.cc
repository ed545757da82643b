#include "collective/communicator.h"

#include <algorithm>
#include <exception>
#include <map>
#include <numeric>
#include <thread>

#include "collective/hccl_error.h"
#include "runtime/handles.h"

namespace lotse::emulator {
namespace {

std::vector<uint32_t> all_ranks(uint32_t count) {
  std::vector<uint32_t> ranks(count);
  std::iota(ranks.begin(), ranks.end(), 0u);
  return ranks;
}

struct Turn {
  PlacedExchange operation;
  uint64_t number = 0;
};

// Runs the operations of one place after each other, those of several places side by side; until
// the last has ended in virtual time.
Timing run_all(const std::vector<Turn>& turns, int32_t device, double start_us) {
  std::map<Place*, std::vector<const Turn*>> by_place;
  for (const Turn& turn : turns) by_place[turn.operation.place].push_back(&turn);
  Timing whole{.start_us = start_us, .duration = {}};
  double end = start_us;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run_place = [&](Place* place, const std::vector<const Turn*>& own) {
    double ready = start_us;
    for (const Turn* turn : own) {
      try {
        const Timing timing = place->run(turn->number, turn->operation.exchange, device, ready);
        ready = timing.start_us + timing.duration.us;
        const std::lock_guard lock(mutex);
        if (turns.size() == 1) whole = timing;
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
    const std::lock_guard lock(mutex);
    end = std::max(end, ready);
  };
  {
    std::vector<std::jthread> threads;
    for (auto it = std::next(by_place.begin()); it != by_place.end(); ++it) {
      threads.emplace_back([&run_place, it] { run_place(it->first, it->second); });
    }
    run_place(by_place.begin()->first, by_place.begin()->second);
  }
  if (failure) std::rethrow_exception(failure);
  if (turns.size() > 1) whole.duration = {end - start_us, Limit::link};
  return whole;
}

void add_accesses(Task& task, const Exchange& exchange) {
  const auto add = [&](const void* address, int64_t bytes, bool writes, const char* argument) {
    if (bytes == 0) return;
    task.accesses.push_back({.begin = reinterpret_cast<uintptr_t>(address),
                             .size = static_cast<size_t>(bytes),
                             .writes = writes,
                             .argument = argument});
  };
  add(exchange.send, exchange.send_bytes, false, "sendBuf");
  add(exchange.receive, exchange.receive_bytes, true, "recvBuf");
}

}  // namespace

Communicator::Communicator(int file, uint32_t rank, int32_t device)
    : segment_(file),
      device_(device),
      membership_(segment_, rank),
      collective_(membership_, segment_.collective(), all_ranks(segment_.ranks()), rank),
      pairs_(size_t{segment_.ranks()} * segment_.ranks()) {}

Place& Communicator::pair(uint32_t from, uint32_t to) {
  const std::lock_guard lock(mutex_);
  auto& slot = pairs_[size_t{from} * ranks() + to];
  if (!slot) {
    slot = std::make_unique<Place>(membership_, segment_.pair(from, to),
                                   std::vector<uint32_t>{from, to}, from == rank() ? 0u : 1u);
  }
  return *slot;
}

// Sizes first, then the messages: two turns.
uint64_t Communicator::take_exchange() {
  const std::lock_guard lock(mutex_);
  const uint64_t first = collective_.take_turn();
  collective_.take_turn();
  return first;
}

std::vector<Message> Communicator::exchange(uint64_t turn, Gathering kind, const char* operation,
                                            const std::vector<Message>& messages) {
  Timing& timing = running_timing();
  const double own_us = timing.duration.us;
  std::vector<int64_t> sent, received(ranks());
  for (const Message& message : messages) sent.push_back(std::ssize(message));
  Exchange sizes{
      .name = operation,
      .call = {.operation = kind == Gathering::dispatch ? Operation::dispatch : Operation::combine,
               .type = HCCL_DATA_TYPE_INT64,
               .count = 1},
      .send = sent.data(),
      .receive = received.data(),
      .on_host = true};
  for (int64_t i = 0; i < ranks(); ++i) sizes.send_offsets.push_back(i * int64_t{sizeof(int64_t)});
  sizes.receive_offsets = sizes.send_offsets;
  sizes.send_bytes = sizes.receive_bytes = ranks() * int64_t{sizeof(int64_t)};
  Timing met;
  try {
    met = collective_.run(turn, sizes, device_, timing.start_us);
  } catch (const std::exception& error) {
    collective_.abandon(turn + 1, operation, error.what());
    throw;
  }
  Exchange rows{.name = operation,
                .call = {.operation = Operation::all_to_all_v, .type = HCCL_DATA_TYPE_INT8},
                .on_host = true};
  Message out, in;
  for (uint32_t i = 0; i < ranks(); ++i) {
    rows.call.send_counts[i] = static_cast<uint64_t>(sent[i]);
    rows.call.receive_counts[i] = static_cast<uint64_t>(received[i]);
    rows.send_offsets.push_back(std::ssize(out));
    rows.receive_offsets.push_back(rows.receive_bytes);
    rows.receive_bytes += received[i];
    out.insert(out.end(), messages[i].begin(), messages[i].end());
  }
  in.resize(static_cast<size_t>(rows.receive_bytes));
  rows.send = out.data();
  rows.receive = in.data();
  rows.send_bytes = std::ssize(out);
  const Timing moved = collective_.run(turn + 1, rows, device_, met.start_us + met.duration.us);
  timing.start_us = met.start_us;
  timing.duration = {moved.start_us + moved.duration.us - met.start_us + own_us, Limit::link};
  std::vector<Message> result;
  for (uint32_t i = 0; i < ranks(); ++i) {
    const auto first = in.begin() + rows.receive_offsets[i];
    result.emplace_back(first, first + received[i]);
  }
  return result;
}

void Communicator::abandon(uint64_t turn, const char* operation, const std::string& reason) {
  collective_.abandon(turn, operation, reason);
  collective_.abandon(turn + 1, operation, reason);
}

void enqueue_exchanges(const CommunicatorHandle& communicator, const char* name,
                       std::vector<PlacedExchange> operations, aclrtStream stream) {
  Stream& target = stream_of(stream);
  const int32_t device = communicator->device();
  if (target.device() != device) {
    fail(HCCL_E_PARA, "argument stream: it is device {}'s, but the communicator is device {}'s",
         target.device(), device);
  }
  Task task{.name = name, .meets_others = true};
  for (const PlacedExchange& one : operations) add_accesses(task, one.exchange);
  task.issue = [communicator, device, operations = std::move(operations)](Task& issued) {
    std::vector<Turn> turns;
    for (const PlacedExchange& one : operations) turns.push_back({one, one.place->take_turn()});
    issued.abandon = [communicator, turns](const std::string& fault) {
      for (const Turn& turn : turns) {
        turn.operation.place->abandon(turn.number, turn.operation.exchange.name, fault);
      }
    };
    issued.run = [communicator, turns = std::move(turns), device] {
      Timing& timing = running_timing();
      timing = run_all(turns, device, timing.start_us);
    };
  };
  target.enqueue(std::move(task));
}

const CommunicatorHandle& communicator_of(HcclComm handle) {
  require_hccl_pointer(handle, "comm");
  check_handle(handle, HandleKind::communicator, "comm", HCCL_E_PARA);
  return *static_cast<CommunicatorHandle*>(handle);
}

}  // namespace lotse::emulator
