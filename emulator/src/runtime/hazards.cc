#include "runtime/hazards.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

#include "runtime/address_space.h"
#include "runtime/stream.h"

namespace lotse::emulator {
namespace {

constexpr size_t kMostCells = size_t{1} << 14;
constexpr size_t kPruneSlack = 256;

uint64_t time_in(const VectorClock& clock, size_t slot) {
  return slot < clock.size() ? clock[slot] : 0;
}

void join(VectorClock& clock, const VectorClock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

// Tensors of which an operator touches only what its other arguments choose.
bool chosen_by_values(std::string_view task, std::string_view argument) {
  struct Rule {
    std::string_view task, argument;
  };
  static constexpr Rule kRules[] = {
      {"Index", "self"},   {"Scatter", "self"},     {"Scatter", "data"},  {"Gather", "self"},
      {"Slice", "self"},   {"Embedding", "weight"}, {"Attention", "key"}, {"Attention", "value"},
      {"MlaProlog", "kv"}, {"MlaProlog", "kr"},     {"Cache", ""},
  };
  return std::ranges::any_of(kRules, [&](const Rule& rule) {
    return task.find(rule.task) != task.npos && argument.starts_with(rule.argument);
  });
}

Footprint footprint_of(const std::string& task, const Access& access) {
  Footprint result{.begin = access.begin, .end = access.begin + access.size};
  result.run = access.run;
  result.period = access.period;
  result.partial = access.irregular || chosen_by_values(task, access.argument);
  return result;
}

bool dense(const Footprint& footprint) { return footprint.period == 0 && !footprint.partial; }

// Whether a dense range holds a byte of one of the footprint's runs.
bool meets_run(const Footprint& footprint, uintptr_t begin, uintptr_t end) {
  const size_t phase = (begin - footprint.begin) % footprint.period;
  return phase < footprint.run || begin + (footprint.period - phase) < end;
}

// Whether both certainly touch a common byte.
bool overlap(const Footprint& a, const Footprint& b) {
  const uintptr_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
  if (begin >= end) return false;
  if (a.partial || b.partial) {
    const auto covers = [](const Footprint& whole, const Footprint& part) {
      return dense(whole) && whole.begin <= part.begin && part.end <= whole.end;
    };
    return covers(a, b) || covers(b, a);
  }
  if (a.period == 0 && b.period == 0) return true;
  if (a.period == 0) return meets_run(b, begin, end);
  if (b.period == 0) return meets_run(a, begin, end);
  if (a.period != b.period || end - begin < a.period) return false;
  const Footprint& first = a.begin < b.begin ? a : b;
  const Footprint& second = a.begin < b.begin ? b : a;
  const size_t shift = (second.begin - first.begin) % a.period;
  return shift < first.run || shift + second.run > a.period;
}

std::string common_bytes(const Footprint& a, const Footprint& b) {
  const uintptr_t begin = std::max(a.begin, b.begin), end = std::min(a.end, b.end);
  return fmt::format("device memory {:#x} to {:#x}", begin, end);
}

}  // namespace

std::string HazardDetector::Origin::text() const {
  return fmt::format("{} (argument {}) on stream {} of device {}", task, argument, stream, device);
}

HazardDetector::Actor& HazardDetector::actor(int64_t stream) {
  const auto [found, added] = actors_.try_emplace(stream);
  if (added) {
    if (free_slots_.empty()) {
      found->second.slot = slots_++;
    } else {
      found->second.slot = free_slots_.back();
      free_slots_.pop_back();
    }
    found->second.clock = host_;
  }
  return found->second;
}

std::optional<std::string> HazardDetector::add(int64_t stream, int32_t device, const Task& task) {
  const std::lock_guard lock(mutex_);
  Actor& self = actor(stream);
  self.device = device;
  self.meets_others = self.meets_others || task.meets_others;
  join(self.clock, host_);
  self.clock.resize(std::max(self.clock.size(), self.slot + 1));
  const uint64_t now = ++self.clock[self.slot];
  std::optional<std::string> race;
  std::vector<Use> uses;
  for (const Access& access : task.accesses) {
    const bool is_tracked =
        access.is_object || is_device_address(reinterpret_cast<const void*>(access.begin));
    if (access.size == 0 || !is_tracked) {
      continue;
    }
    auto origin =
        std::make_shared<const Origin>(Origin{task.name, access.argument, stream, device,
                                              self.meets_others, footprint_of(task.name, access)});
    if (!race) {
      if (const Use* other = find_conflict(origin->footprint, access.writes, self.clock, &self)) {
        race = fmt::format(
            "race: {} {} {}, which {} {}, and nothing orders the two; record an event after the "
            "first and let the other stream wait for it, or synchronise between them",
            origin->text(), access.writes ? "writes" : "reads",
            common_bytes(origin->footprint, other->origin->footprint), other->origin->text(),
            other->writes ? "writes" : "reads");
      }
    }
    uses.push_back({self.slot, now, access.writes, std::move(origin)});
  }
  for (const Use& use : uses) insert(use.origin->footprint, use);
  if (cells_.size() > kMostCells) {
    prune();
    if (cells_.size() > kMostCells) cells_.clear();
  }
  return race;
}

VectorClock HazardDetector::record(int64_t stream) {
  const std::lock_guard lock(mutex_);
  Actor& self = actor(stream);
  join(self.clock, host_);
  return self.clock;
}

void HazardDetector::wait(int64_t stream, const VectorClock& recorded) {
  const std::lock_guard lock(mutex_);
  join(actor(stream).clock, recorded);
}

void HazardDetector::end(int64_t stream) {
  const std::lock_guard lock(mutex_);
  const auto found = actors_.find(stream);
  if (found == actors_.end()) return;
  join(host_, found->second.clock);
  free_slots_.push_back(found->second.slot);
  actors_.erase(found);
}

void HazardDetector::host_waited(const VectorClock& recorded) {
  const std::lock_guard lock(mutex_);
  join(host_, recorded);
  if (cells_.size() > prune_at_) prune();
}

std::optional<std::string> HazardDetector::host_access(const char* function, const Access& access) {
  if (access.size == 0 || !is_device_address(reinterpret_cast<const void*>(access.begin))) {
    return std::nullopt;
  }
  const std::lock_guard lock(mutex_);
  const Footprint footprint = footprint_of(function, access);
  const Use* other = find_conflict(footprint, access.writes, host_, nullptr);
  if (other == nullptr) return std::nullopt;
  return fmt::format(
      "argument {}: the host {} {}, which {} may still {}; synchronise that stream, or an event "
      "recorded after it, first",
      access.argument, access.writes ? "writes" : "reads",
      common_bytes(footprint, other->origin->footprint), other->origin->text(),
      other->writes ? "write" : "read");
}

std::optional<HazardDetector::EarlyFree> HazardDetector::freed(uintptr_t begin, size_t size) {
  const std::lock_guard lock(mutex_);
  const Footprint footprint{.begin = begin, .end = begin + size};
  std::optional<EarlyFree> early;
  if (const Use* use = find_conflict(footprint, true, host_, nullptr)) {
    early = {
        use->origin->stream,
        fmt::format("{} bytes at {:#x} were freed while {} may still {} them; synchronise that "
                    "stream, or an event recorded after it, before freeing",
                    size, begin, use->origin->text(), use->writes ? "write" : "read")};
  }
  erase(begin, begin + size);
  return early;
}

void HazardDetector::forget(uintptr_t begin, size_t size) {
  const std::lock_guard lock(mutex_);
  erase(begin, begin + size);
}

HazardDetector::Cells::iterator HazardDetector::first_touching(uintptr_t begin) {
  auto it = cells_.upper_bound(begin);
  if (it != cells_.begin() && std::prev(it)->second.end > begin) --it;
  return it;
}

// A use that `known` does not cover. `self` is the stream that asks; null for the host.
const HazardDetector::Use* HazardDetector::find_conflict(const Footprint& footprint, bool writes,
                                                         const VectorClock& known,
                                                         const Actor* self) const {
  auto it = cells_.upper_bound(footprint.begin);
  if (it != cells_.begin()) --it;
  for (; it != cells_.end() && it->first < footprint.end; ++it) {
    if (it->second.end <= footprint.begin) continue;
    for (const Use& use : it->second.uses) {
      if (!writes && !use.writes) continue;
      if (use.time <= time_in(known, use.slot)) continue;
      const bool met = self != nullptr && self->meets_others && use.origin->meets_others &&
                       self->device != use.origin->device;
      if (!met && overlap(use.origin->footprint, footprint)) return &use;
    }
  }
  return nullptr;
}

void HazardDetector::split_at(uintptr_t address) {
  const auto it = first_touching(address);
  if (it == cells_.end() || it->first >= address) return;
  Cell upper = it->second;
  it->second.end = address;
  cells_.emplace(address, std::move(upper));
}

void HazardDetector::erase(uintptr_t begin, uintptr_t end) {
  split_at(begin);
  split_at(end);
  cells_.erase(cells_.lower_bound(begin), cells_.lower_bound(end));
}

void HazardDetector::insert(const Footprint& footprint, const Use& use) {
  if (use.writes && dense(footprint)) {
    erase(footprint.begin, footprint.end);
    cells_.emplace(footprint.begin, Cell{footprint.end, {use}});
    return;
  }
  split_at(footprint.begin);
  split_at(footprint.end);
  uintptr_t at = footprint.begin;
  for (auto it = cells_.lower_bound(at); at < footprint.end; ++it) {
    const bool gap = it == cells_.end() || it->first > at;
    if (gap) {
      const uintptr_t next =
          it == cells_.end() ? footprint.end : std::min(it->first, footprint.end);
      it = cells_.emplace_hint(it, at, Cell{next, {}});
    }
    auto& uses = it->second.uses;
    std::erase_if(uses, [&](const Use& other) {
      return known_to_host(other) || (other.slot == use.slot && other.writes == use.writes);
    });
    uses.push_back(use);
    at = it->second.end;
  }
}

// What the host waited for comes before everything that is enqueued from now on.
bool HazardDetector::known_to_host(const Use& use) const {
  return use.time <= time_in(host_, use.slot);
}

void HazardDetector::prune() {
  for (auto it = cells_.begin(); it != cells_.end();) {
    std::erase_if(it->second.uses, [this](const Use& use) { return known_to_host(use); });
    it = it->second.uses.empty() ? cells_.erase(it) : std::next(it);
  }
  prune_at_ = 2 * cells_.size() + kPruneSlack;
}

HazardDetector* hazards() {
  static HazardDetector* const instance = [] {
    const char* text = std::getenv("LOTSE_EMULATOR_HAZARDS");
    const bool off = text != nullptr && std::string_view(text) == "off";
    return off ? nullptr : new HazardDetector;
  }();
  return instance;
}

}  // namespace lotse::emulator
