#include "runtime/rank_group.h"

#include <map>
#include <mutex>

namespace lotse::emulator {
namespace {

struct Groups {
  std::mutex mutex;
  std::map<std::pair<std::string, int32_t>, std::weak_ptr<RankGroup>> all;
};

Groups& groups() {
  static auto& instance = *new Groups;
  return instance;
}

}  // namespace

void add_group(const std::shared_ptr<RankGroup>& group) {
  const std::lock_guard lock(groups().mutex);
  groups().all[{group->name(), group->device()}] = group;
}

void remove_group(const RankGroup& group) {
  const std::lock_guard lock(groups().mutex);
  groups().all.erase({group.name(), group.device()});
}

std::shared_ptr<RankGroup> find_group(const std::string& name, int32_t device) {
  const std::lock_guard lock(groups().mutex);
  const auto found = groups().all.find({name, device});
  return found == groups().all.end() ? nullptr : found->second.lock();
}

}  // namespace lotse::emulator
