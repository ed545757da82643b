// What dispatch and combination of experts over ranks have in common: who holds which expert, and
// which rows every rank sends.
#pragma once

#include <vector>

#include "ops/op.h"

namespace lotse::emulator {

// The calls' arguments, which must be the same on all ranks but for `rank`.
struct ExpertGroup {
  std::shared_ptr<RankGroup> group;
  int64_t ranks = 0, rank = 0;
  int64_t experts = 0, shared = 0, shared_ranks = 0;
  int64_t global_tokens = 0;  // of all ranks; 0 where each has as many

  bool is_shared_rank(int64_t r) const { return r < shared_ranks; }
  int64_t local_of(int64_t r) const {
    return is_shared_rank(r) ? 1 : experts / (ranks - shared_ranks);
  }
  int64_t local() const { return local_of(rank); }
  // Rows that this rank receives at most, when it brings `tokens` itself.
  int64_t capacity(int64_t tokens, int64_t chosen) const;
};

// One row that a rank sends: to which rank and which of that rank's experts. `choice` is the
// expert's place in expertIds, or that of the shared expert behind those.
struct Route {
  int64_t token, choice, rank, local;
};

// All of a rank's rows in the order in which they are sent: by token, then by choice.
std::vector<Route> routes_of(const ExpertGroup& g, const std::vector<int64_t>& experts,
                             int64_t tokens, int64_t chosen, const std::vector<int64_t>& mask);

ExpertGroup expert_group(Op& op, const char* name, int64_t ranks, int64_t rank, int64_t experts,
                         int64_t tensor_parallel, int64_t shard_type, int64_t shared,
                         int64_t shared_ranks, int64_t global_tokens);

// Limits of the chip on tokens, columns and chosen experts.
void expect_sizes(const Op& op, const ExpertGroup& g, const Tensor& rows, const Tensor& experts);

// Messages begin with what must be the same everywhere, so that a difference is told, not guessed.
class MessageWriter {
 public:
  explicit MessageWriter(const ExpertGroup& g, int64_t columns);
  void add(const void* data, size_t size);
  void add_number(int64_t value) { add(&value, sizeof value); }
  void add_row(aclDataType type, const std::vector<float>& values);  // stored as `type`
  Message take() { return std::move(message_); }

 private:
  Message message_;
};

class MessageReader {
 public:
  // Throws kVectorFault when rank `from` called with other arguments.
  MessageReader(const Message& message, const ExpertGroup& g, int64_t columns, int64_t from);
  const std::byte* take(size_t size);
  int64_t take_number();
  const std::byte* take_row(aclDataType type, int64_t columns);  // for load_run
  size_t left() const { return message_.size() - at_; }

 private:
  const Message& message_;
  size_t at_ = 0;
};

}  // namespace lotse::emulator
