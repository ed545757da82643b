#include "collective/collective_calls.h"

#include <algorithm>

#include "collective/collective_arithmetic.h"
#include "collective/hccl_error.h"
#include "runtime/cost.h"
#include "runtime/soc.h"

namespace lotse::emulator {
namespace {

const char* function_of(Operation operation, uint32_t member) {
  switch (operation) {
    case Operation::all_reduce:
      return "HcclAllReduce";
    case Operation::reduce:
      return "HcclReduce";
    case Operation::reduce_scatter:
      return "HcclReduceScatter";
    case Operation::all_gather:
      return "HcclAllGather";
    case Operation::broadcast:
      return "HcclBroadcast";
    case Operation::scatter:
      return "HcclScatter";
    case Operation::all_to_all:
      return "HcclAlltoAll";
    case Operation::all_to_all_v:
      return "HcclAlltoAllV";
    case Operation::barrier:
      return "HcclBarrier";
    case Operation::transfer:
      return member == 0 ? "HcclSend" : "HcclRecv";
    case Operation::dispatch:
      return "aclnnMoeDistributeDispatch";
    case Operation::combine:
      return "aclnnMoeDistributeCombine";
  }
  return "?";
}

bool has_root(Operation operation) {
  return operation == Operation::reduce || operation == Operation::broadcast ||
         operation == Operation::scatter;
}

bool agree(const CallRecord& a, const CallRecord& b) {
  if (a.operation != b.operation || a.type != b.type) return false;
  if (reduces(a.operation) && a.reduce_op != b.reduce_op) return false;
  if (has_root(a.operation) && a.root != b.root) return false;
  return a.count == b.count;
}

void require_matching_counts(std::span<const CallRecord> calls) {
  for (size_t from = 0; from < calls.size(); ++from) {
    for (size_t to = 0; to < calls.size(); ++to) {
      const uint64_t sent = calls[from].send_counts[to];
      const uint64_t received = calls[to].receive_counts[from];
      if (sent != received) {
        fail(kCollectiveFault,
             "EI0005: the ranks' HcclAlltoAllV do not fit together: rank {} sends {} elements to "
             "rank {}, which receives {}",
             from, sent, to, received);
      }
    }
  }
}

const Link& link_of(size_t members) {
  for (const Link& link : soc().links) {
    if (members <= static_cast<size_t>(link.devices)) return link;
  }
  return soc().links.back();
}

// What the busiest member sends to or receives from others.
double busiest_bytes(std::span<const CallRecord> calls) {
  const auto count = static_cast<uint32_t>(calls.size());
  int64_t most = 0;
  for (uint32_t one = 0; one < count; ++one) {
    int64_t sent = 0, received = 0;
    for (uint32_t other = 0; other < count; ++other) {
      if (other == one) continue;
      sent += message_bytes(calls[one], one, other);
      received += message_bytes(calls[other], other, one);
    }
    most = std::max({most, sent, received});
  }
  return static_cast<double>(most);
}

double link_bytes(std::span<const CallRecord> calls) {
  const CallRecord& call = calls[0];
  const auto members = static_cast<double>(calls.size());
  const double message = static_cast<double>(call.count) * static_cast<double>(size_of(call.type));
  switch (call.operation) {
    case Operation::all_reduce:
      return 2 * (members - 1) / members * message;
    case Operation::reduce:
    case Operation::broadcast:
      return message;  // through a ring, piece by piece
    default:
      return busiest_bytes(calls);
  }
}

}  // namespace

bool per_destination(Operation operation) {
  return operation == Operation::reduce_scatter || operation == Operation::scatter ||
         operation == Operation::all_to_all || operation == Operation::all_to_all_v ||
         operation == Operation::dispatch || operation == Operation::combine;
}

bool reduces(Operation operation) {
  return operation == Operation::all_reduce || operation == Operation::reduce ||
         operation == Operation::reduce_scatter;
}

int64_t message_bytes(const CallRecord& call, uint32_t from, uint32_t to) {
  uint64_t count = call.count;
  switch (call.operation) {
    case Operation::reduce:
      if (to != call.root) count = 0;
      break;
    case Operation::broadcast:
      if (from != call.root || to == call.root) count = 0;
      break;
    case Operation::scatter:
      if (from != call.root) count = 0;
      break;
    case Operation::all_to_all_v:
      count = call.send_counts[to];
      break;
    case Operation::barrier:
      count = 0;
      break;
    case Operation::transfer:
      if (from != 0 || to != 1) count = 0;
      break;
    default:
      break;
  }
  return static_cast<int64_t>(count) * size_of(call.type);
}

std::string text_of(const CallRecord& call, uint32_t member) {
  std::string text = function_of(call.operation, member);
  const bool is_operator =
      call.operation == Operation::dispatch || call.operation == Operation::combine;
  if (call.operation == Operation::barrier || is_operator) return text + "()";
  text += call.operation == Operation::all_to_all_v
              ? fmt::format("({}", name_of(call.type))
              : fmt::format("(count {}, {}", call.count, name_of(call.type));
  if (reduces(call.operation)) text += fmt::format(", {}", name_of(call.reduce_op));
  if (has_root(call.operation)) text += fmt::format(", root {}", call.root);
  return text + ")";
}

void require_agreement(std::span<const CallRecord> calls, std::span<const uint32_t> ranks) {
  for (uint32_t i = 1; i < calls.size(); ++i) {
    if (agree(calls[0], calls[i])) continue;
    fail(kCollectiveFault,
         "EI0005: the ranks' calls differ: rank {} calls {}, but rank {} calls {}", ranks[0],
         text_of(calls[0], 0), ranks[i], text_of(calls[i], i));
  }
  if (calls[0].operation == Operation::all_to_all_v) require_matching_counts(calls);
}

double transfer_us(std::span<const CallRecord> calls) {
  if (calls.size() == 1) {
    const double bytes = 2.0 * static_cast<double>(message_bytes(calls[0], 0, 0));
    return duration_of({.bytes = bytes, .launch = Launch::other}).us;
  }
  const Link& link = link_of(calls.size());
  const double rate =
      std::min(link.bytes_per_us, link.peer_bytes_per_us * static_cast<double>(calls.size() - 1));
  return link.latency_us + link_bytes(calls) / rate;
}

}  // namespace lotse::emulator
