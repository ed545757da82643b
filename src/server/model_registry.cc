#include "server/model_registry.h"

#include <algorithm>

namespace lotse {
namespace {

// How much later than asked for an idle model may be unloaded.
constexpr std::chrono::milliseconds kSweep{250};

Error draining() { return {ErrorCode::cancelled, "the server is shutting down"}; }

}  // namespace

ModelRegistry::ModelRegistry(std::vector<ModelSource> sources, ModelRegistryOptions options)
    : options_(std::move(options)) {
  LOTSE_CHECK(!sources.empty());
  for (ModelSource& source : sources) {
    entries_.push_back(std::make_unique<Entry>());
    for (size_t i = 0; i <= source.adapters.size(); ++i) {
      entries_.back()->metrics.push_back(std::make_shared<ServerMetrics>());
    }
    entries_.back()->source = std::move(source);
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

ModelRegistry::~ModelRegistry() { drain(); }

void ModelRegistry::start(ModelEvents events) {
  events_ = std::move(events);
  for (const auto& entry : entries_) {
    if (entry->source.is_pinned) load(entry->source.id, [](const Result<Lease>&) {});
  }
}

bool ModelRegistry::is_ready() const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::all_of(entries_, [](const auto& entry) {
    return !entry->source.is_pinned || entry->loaded != nullptr;
  });
}

ModelRegistry::Name ModelRegistry::find_name(std::string_view id) const {
  for (const auto& entry : entries_) {
    if (entry->source.id == id) return {entry.get(), 0};
    const auto& adapters = entry->source.adapters;
    const auto it = std::ranges::find(adapters, id);
    if (it == adapters.end()) continue;
    return {entry.get(), 1 + static_cast<size_t>(it - adapters.begin())};
  }
  return {};
}

ModelRegistry::Lease ModelRegistry::lease(const Name& name) {
  const auto& loaded = name.entry->loaded;
  if (loaded == nullptr) return nullptr;
  return {loaded, &loaded->models[name.model]};
}

ModelRegistry::Lease ModelRegistry::find(std::string_view id) {
  const Name name = find_name(id);
  if (name.entry == nullptr) return nullptr;
  const std::scoped_lock lock(mutex_);
  name.entry->last_use = Clock::now();
  return lease(name);
}

void ModelRegistry::load(std::string_view id, Loaded done) {
  const Name name = find_name(id);
  Entry* const wanted = name.entry;
  LOTSE_CHECK(wanted != nullptr);
  std::unique_lock lock(mutex_);
  wanted->last_use = Clock::now();
  Result<Lease> answer = lease(name);
  if (is_draining_) {
    answer = std::unexpected(draining());
  } else if (*answer == nullptr && waiting_ >= options_.max_waiting) {
    answer = fail(ErrorCode::limit, "{} requests wait for models that are being loaded", waiting_);
  } else if (*answer == nullptr) {
    ++waiting_;
    wanted->waiting.emplace_back(name.model, std::move(done));
    if (!std::exchange(wanted->is_queued, true)) queue_.push_back(wanted);
    wake_.notify_one();
    return;
  }
  lock.unlock();
  done(answer);
}

std::vector<ModelRegistry::Status> ModelRegistry::status() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Status> all;
  for (const auto& entry : entries_) {
    const ModelSource& source = entry->source;
    all.push_back({source.id, "", source.is_pinned, lease({entry.get(), 0}), entry->metrics[0]});
    for (size_t i = 0; i < source.adapters.size(); ++i) {
      all.push_back({source.adapters[i], source.id, source.is_pinned, lease({entry.get(), i + 1}),
                     entry->metrics[i + 1]});
    }
  }
  return all;
}

void ModelRegistry::drain() {
  {
    const std::scoped_lock lock(mutex_);
    is_draining_ = true;
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  // The thread has ended: nobody loads or unloads any more.
  for (const auto& entry : entries_) {
    if (entry->loaded != nullptr && entry->loaded->engine) entry->loaded->engine->drain();
  }
}

void ModelRegistry::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto has_work = [this] { return !queue_.empty(); };
  while (!is_draining_) {
    if (options_.idle_unload.count() > 0) {
      wake_.wait_for(lock, stop, std::min(kSweep, options_.idle_unload), has_work);
      unload_idle(lock);
    } else {
      wake_.wait(lock, stop, has_work);
    }
    if (!queue_.empty() && !is_draining_) load_next(lock);
  }
  for (const auto& entry : entries_) {
    for (const auto& [model, done] : std::exchange(entry->waiting, {})) {
      lock.unlock();
      done(std::unexpected(draining()));
      lock.lock();
    }
  }
}

void ModelRegistry::load_next(std::unique_lock<std::mutex>& lock) {
  Entry& next = *queue_.front();
  queue_.pop_front();
  const auto start = Clock::now();
  auto loaded = load_now(next, lock);
  const std::chrono::duration<double> seconds = Clock::now() - start;
  if (loaded) {
    LOTSE_CHECK(loaded->models.size() == next.metrics.size());
    for (size_t i = 0; i < next.metrics.size(); ++i) loaded->models[i].metrics = next.metrics[i];
    next.loaded = std::make_shared<LoadedModel>(*std::move(loaded));
  }
  next.is_queued = false;
  next.last_use = Clock::now();
  const auto waiting = std::exchange(next.waiting, {});
  waiting_ -= std::ssize(waiting);
  const std::shared_ptr<LoadedModel> held = next.loaded;
  lock.unlock();
  if (held && events_.loaded) events_.loaded(held->models[0], seconds.count());
  if (!held && events_.failed) events_.failed(next.source.id, loaded.error());
  for (const auto& [model, done] : waiting) {
    if (held) {
      done(Lease(held, &held->models[model]));
    } else {
      done(std::unexpected(loaded.error()));
    }
  }
  lock.lock();
}

Result<LoadedModel> ModelRegistry::load_now(const Entry& entry,
                                            std::unique_lock<std::mutex>& lock) {
  while (is_full()) {
    if (!unload_one(lock)) {
      return fail(ErrorCode::limit,
                  "{} models are loaded, as many as allowed (--max-loaded), and all are in use",
                  options_.max_loaded);
    }
  }
  for (;;) {
    lock.unlock();
    auto loaded = entry.source.load();
    lock.lock();
    const bool lacks_memory = !loaded && loaded.error().code == ErrorCode::limit;
    if (!lacks_memory || !unload_one(lock)) return loaded;
  }
}

bool ModelRegistry::is_full() const {
  if (options_.max_loaded == 0) return false;
  const auto is_loaded = [](const auto& entry) { return entry->loaded != nullptr; };
  return std::ranges::count_if(entries_, is_loaded) >= options_.max_loaded;
}

// Among those that may be unloaded: nobody has a lease, and only find() makes new ones.
ModelRegistry::Entry* ModelRegistry::least_recently_used() {
  Entry* found = nullptr;
  for (const auto& entry : entries_) {
    if (entry->source.is_pinned || entry->loaded.use_count() != 1) continue;
    if (found == nullptr || entry->last_use < found->last_use) found = entry.get();
  }
  return found;
}

bool ModelRegistry::unload_one(std::unique_lock<std::mutex>& lock) {
  Entry* const idle = least_recently_used();
  if (idle != nullptr) unload(*idle, lock);
  return idle != nullptr;
}

// Waits for the model's own thread, without the lock.
void ModelRegistry::unload(Entry& entry, std::unique_lock<std::mutex>& lock) {
  Unloaded model = std::exchange(entry.loaded, nullptr);
  lock.unlock();
  model.reset();
  if (events_.unloaded) events_.unloaded(entry.source.id);
  lock.lock();
}

void ModelRegistry::unload_idle(std::unique_lock<std::mutex>& lock) {
  const auto now = Clock::now();
  for (const auto& entry : entries_) {
    if (entry->loaded.use_count() > 1) entry->last_use = now;  // a request runs
    if (entry->loaded == nullptr || entry->source.is_pinned) continue;
    if (now - entry->last_use >= options_.idle_unload) unload(*entry, lock);
  }
}

}  // namespace lotse
