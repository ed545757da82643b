// The models of a server by name: loaded when they are asked for, unloaded when nobody does.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "server/metrics.h"
#include "server/served_model.h"

namespace lotse {

struct ModelSource {
  std::string id;
  std::vector<std::string> adapters = {};  // further names: of what is loaded with it
  bool is_pinned = false;                  // loaded at the start, and never unloaded
  // Called on the registry's thread, once for every time that the model is loaded.
  // As many models as there are names, in the same order.
  std::function<Result<LoadedModel>()> load = {};
};

struct ModelRegistryOptions {
  std::chrono::milliseconds idle_unload{0};  // after so long without a request; 0: never
  int64_t max_loaded = 0;                    // at once, pinned ones included; 0: no limit
  int64_t max_waiting = 256;                 // requests that wait until a model is loaded
};

// All are called on the registry's thread, and may be empty.
struct ModelEvents {
  std::function<void(const ServedModel& model, double seconds)> loaded = {};
  std::function<void(const std::string& id)> unloaded = {};
  std::function<void(const std::string& id, const Error& error)> failed = {};
};

// Every member may be called from any thread. Must outlive all leases.
class ModelRegistry {
 public:
  // Keeps a model loaded as long as it is held.
  using Lease = std::shared_ptr<const ServedModel>;
  using Loaded = std::function<void(const Result<Lease>& lease)>;

  struct Status {
    std::string id;
    std::string base;  // of an adapter: the model that it changes
    bool is_pinned;
    Lease model;  // null while it is not loaded
    std::shared_ptr<const ServerMetrics> metrics;
  };

  // At least one source; ids differ. The first is the one that a request without a name means.
  ModelRegistry(std::vector<ModelSource> sources, ModelRegistryOptions options);
  ~ModelRegistry();

  // Loads the pinned models, one after the other. To be called before any model is asked for.
  void start(ModelEvents events);
  // Whether all pinned models are loaded.
  bool is_ready() const;

  const std::string& default_id() const { return entries_.front()->source.id; }
  bool has(std::string_view id) const { return find_name(id).entry != nullptr; }
  // Null while the model is not loaded, or unknown.
  Lease find(std::string_view id);
  // Loads a known model and calls `done` on the registry's thread; at once, on the caller's, when
  // it is loaded already, too many wait, or after drain(). Where memory or max_loaded forbid
  // another model, idle ones go first, the one that was used least recently before others. Errors:
  // limit when it cannot be loaded beside those in use; what loading it said.
  void load(std::string_view id, Loaded done);

  // In the order given. The leases in it keep the models loaded.
  std::vector<Status> status() const;

  // Loads nothing more, answers those who wait, and lets every model finish its requests.
  void drain();

 private:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    ModelSource source;
    std::shared_ptr<LoadedModel> loaded;  // null while it is not
    Clock::time_point last_use = Clock::now();
    std::vector<std::pair<size_t, Loaded>> waiting;  // for one of its models
    bool is_queued = false;
    std::vector<std::shared_ptr<ServerMetrics>> metrics;  // of each model
  };
  struct Name {
    Entry* entry = nullptr;
    size_t model = 0;
  };
  using Unloaded = std::shared_ptr<LoadedModel>;

  Name find_name(std::string_view id) const;
  static Lease lease(const Name& name);
  void run(const std::stop_token& stop);
  void load_next(std::unique_lock<std::mutex>& lock);
  Result<LoadedModel> load_now(const Entry& entry, std::unique_lock<std::mutex>& lock);
  bool is_full() const;
  Entry* least_recently_used();
  bool unload_one(std::unique_lock<std::mutex>& lock);
  void unload(Entry& entry, std::unique_lock<std::mutex>& lock);
  void unload_idle(std::unique_lock<std::mutex>& lock);

  const ModelRegistryOptions options_;
  ModelEvents events_;
  std::vector<std::unique_ptr<Entry>> entries_;  // constant but for what the entries hold

  mutable std::mutex mutex_;  // of all that follows, and of the entries
  std::condition_variable_any wake_;
  std::deque<Entry*> queue_;
  int64_t waiting_ = 0;
  bool is_draining_ = false;
  std::jthread thread_;  // last: it uses everything above
};

}  // namespace lotse
