#include "device/buffer_plan.h"

#include <algorithm>

#include "base/checked.h"

namespace lotse {
namespace {

struct Lifetime {
  size_t first = SIZE_MAX;
  size_t last = 0;
};

std::vector<Lifetime> lifetimes(const Program& program) {
  std::vector<Lifetime> lives(program.values.size());
  const auto touch = [&](ValueId id, size_t op) {
    Lifetime& life = lives[static_cast<size_t>(id)];
    life.first = std::min(life.first, op);
    life.last = std::max(life.last, op);
  };
  for (size_t op = 0; op < program.ops.size(); ++op) {
    touch(output_of(program.ops[op].operation), op);
    for (const ValueId id : inputs_of(program.ops[op].operation)) touch(id, op);
  }
  for (const ValueId result : {program.logits, program.hidden}) {
    if (result != kNone) touch(result, program.ops.size());
  }
  return lives;
}

}  // namespace

BufferPlan plan_buffers(const Program& program, int64_t max_tokens, int64_t max_outputs) {
  const std::vector<Lifetime> lives = lifetimes(program);
  BufferPlan plan;
  plan.offset.assign(program.values.size(), 0);
  const auto size_of = [&](size_t id) {
    const Value& value = program.values[id];
    const int64_t rows = value.rows == Rows::tokens ? max_tokens : max_outputs;
    return round_up(rows * value.columns * int64_t{sizeof(float)}, 64);
  };
  std::vector<size_t> placed;
  for (size_t id = 0; id < program.values.size(); ++id) {
    // First fit among the already placed values whose lifetimes overlap, in order of offset.
    std::vector<size_t> rivals;
    for (const size_t other : placed) {
      if (lives[other].first <= lives[id].last && lives[id].first <= lives[other].last) {
        rivals.push_back(other);
      }
    }
    std::sort(rivals.begin(), rivals.end(),
              [&](size_t a, size_t b) { return plan.offset[a] < plan.offset[b]; });
    int64_t offset = 0;
    for (const size_t other : rivals) {
      if (offset + size_of(id) <= plan.offset[other]) break;
      offset = std::max(offset, plan.offset[other] + size_of(other));
    }
    plan.offset[id] = offset;
    plan.bytes = std::max(plan.bytes, offset + size_of(id));
    placed.push_back(id);
  }
  return plan;
}

}  // namespace lotse
