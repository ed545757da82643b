#include "ops/moe_distribute.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/device.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kMostExperts = 1024;

bool is_a2() { return soc().name.starts_with("Ascend910B"); }

std::array<int64_t, 6> shared_arguments(const ExpertGroup& g, int64_t columns) {
  return {g.ranks, g.experts, g.shared, g.shared_ranks, g.global_tokens, columns};
}

}  // namespace

int64_t ExpertGroup::capacity(int64_t tokens, int64_t chosen) const {
  const int64_t all = global_tokens > 0 ? global_tokens : tokens * ranks;
  if (!is_shared_rank(rank)) return all * std::min(local(), chosen);
  const int64_t copies = shared_ranks / shared;
  return all / ranks * ((ranks + copies - 1) / copies);
}

std::vector<Route> routes_of(const ExpertGroup& g, const std::vector<int64_t>& experts,
                             int64_t tokens, int64_t chosen, const std::vector<int64_t>& mask) {
  std::vector<Route> routes;
  const bool by_choice = std::ssize(mask) == tokens * chosen && chosen > 1;
  const auto is_active = [&](int64_t token, int64_t choice) {
    if (mask.empty()) return true;
    return mask[static_cast<size_t>(by_choice ? token * chosen + choice : token)] != 0;
  };
  const int64_t each = g.experts / (g.ranks - g.shared_ranks);
  for (int64_t t = 0; t < tokens; ++t) {
    bool any = false;
    for (int64_t j = 0; j < chosen; ++j) {
      if (!is_active(t, j)) continue;
      any = true;
      const int64_t expert = experts[static_cast<size_t>(t * chosen + j)];
      if (expert < 0 || expert >= g.experts) {
        fail(kVectorFault, "argument expertIds: it holds {}, expected 0 to {}", expert,
             g.experts - 1);
      }
      routes.push_back({t, j, g.shared_ranks + expert / each, expert % each});
    }
    for (int64_t s = 0; any && g.shared_ranks > 0 && s < g.shared; ++s) {
      const int64_t copies = g.shared_ranks / g.shared;
      routes.push_back({t, chosen + s, s * copies + g.rank % copies, 0});
    }
  }
  return routes;
}

ExpertGroup expert_group(Op& op, const char* name, int64_t ranks, int64_t rank, int64_t experts,
                         int64_t tensor_parallel, int64_t shard_type, int64_t shared,
                         int64_t shared_ranks, int64_t global_tokens) {
  op.require(!soc().is_310p(), "{} does not have this operator", soc().name);
  if (name == nullptr) fail(kNullArgument, "argument groupEp is null");
  ExpertGroup g{find_group(name, current_device().id()),
                ranks,
                rank,
                experts,
                shared,
                shared_ranks,
                global_tokens};
  op.require(g.group != nullptr,
             "argument groupEp: device {} is in no communicator named {}; HcclGetCommName tells "
             "the name",
             current_device().id(), name);
  op.require(ranks == g.group->ranks(), "argument epWorldSize: got {}, but {} has {} ranks", ranks,
             name, g.group->ranks());
  op.require(rank == g.group->rank(), "argument epRankId: got {}, but this device is rank {} of {}",
             rank, g.group->rank(), name);
  op.require(ranks >= 2, "argument epWorldSize: got {}, expected at least 2", ranks);
  op.require(tensor_parallel == 0 || tensor_parallel == 1,
             "argument tpWorldSize: got {}; 0 and 1 (none) are emulated", tensor_parallel);
  op.require(shard_type == 0, "argument expertShardType: got {}, expected 0", shard_type);
  op.require(!is_a2() || shared_ranks == 0,
             "argument sharedExpertRankNum: got {}, but {} has no ranks for shared experts",
             shared_ranks, soc().name);
  op.require(shared_ranks >= 0 && shared_ranks < ranks,
             "argument sharedExpertRankNum: got {}, expected 0 to {}", shared_ranks, ranks - 1);
  op.require(shared >= 0 && shared <= 4, "argument sharedExpertNum: got {}, expected 0 to 4",
             shared);
  op.require(shared_ranks == 0 || (shared > 0 && shared_ranks % shared == 0),
             "argument sharedExpertRankNum: got {}, expected a multiple of the {} shared experts",
             shared_ranks, shared);
  op.require(
      experts >= 1 && experts <= kMostExperts && experts % (ranks - shared_ranks) == 0,
      "argument moeExpertNum: got {}, expected a multiple of the {} ranks that hold them, at "
      "most {}",
      experts, ranks - shared_ranks, kMostExperts);
  op.require(global_tokens >= 0 && global_tokens % ranks == 0,
             "argument globalBs: got {}, expected 0 or a multiple of the {} ranks", global_tokens,
             ranks);
  op.meet(g.group);
  return g;
}

void expect_sizes(const Op& op, const ExpertGroup& g, const Tensor& rows, const Tensor& experts) {
  const int64_t tokens = experts.size(0), chosen = experts.size(1), columns = rows.size(1);
  const int64_t most = is_a2() ? 256 : 512;
  op.require(tokens >= 1 && tokens <= most, "{}, expected 1 to {} tokens", experts.text(), most);
  op.require(chosen >= 1 && chosen <= std::min<int64_t>(16, g.experts),
             "{}, expected 1 to {} experts a token", experts.text(),
             std::min<int64_t>(16, g.experts));
  if (is_a2()) {
    op.require(columns <= 7168 && columns % 32 == 0,
               "{}, expected columns in multiples of 32, at most 7168", rows.text());
  } else {
    op.require(columns >= 1024 && columns <= 8192, "{}, expected 1024 to 8192 columns",
               rows.text());
  }
  op.require(g.global_tokens == 0 || tokens <= g.global_tokens / g.ranks,
             "argument globalBs: got {}, but rank {} brings {} tokens", g.global_tokens, g.rank,
             tokens);
}

MessageWriter::MessageWriter(const ExpertGroup& g, int64_t columns) {
  for (const int64_t value : shared_arguments(g, columns)) add_number(value);
}

void MessageWriter::add(const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  message_.insert(message_.end(), bytes, bytes + size);
}

void MessageWriter::add_row(aclDataType type, const std::vector<float>& values) {
  const auto count = std::ssize(values);
  const size_t first = message_.size();
  message_.resize(first + static_cast<size_t>(bytes_of(type, count)));
  store_run(type, message_.data() + first, 0, 1, count, values.data());
}

MessageReader::MessageReader(const Message& message, const ExpertGroup& g, int64_t columns,
                             int64_t from)
    : message_(message) {
  static constexpr const char* kNames[] = {"epWorldSize",         "moeExpertNum", "sharedExpertNum",
                                           "sharedExpertRankNum", "globalBs",     "columns"};
  const char* const* argument = kNames;
  for (const int64_t mine : shared_arguments(g, columns)) {
    const int64_t theirs = take_number();
    if (mine != theirs) {
      fail(kVectorFault, "argument {}: rank {} got {}, but rank {} got {}", *argument, g.rank, mine,
           from, theirs);
    }
    ++argument;
  }
}

const std::byte* MessageReader::take(size_t size) {
  if (size > left()) fail(kVectorFault, "a message ends early");
  const std::byte* data = message_.data() + at_;
  at_ += size;
  return data;
}

const std::byte* MessageReader::take_row(aclDataType type, int64_t columns) {
  return take(static_cast<size_t>(bytes_of(type, columns)));
}

int64_t MessageReader::take_number() {
  int64_t value = 0;
  std::memcpy(&value, take(sizeof value), sizeof value);
  return value;
}

}  // namespace lotse::emulator
