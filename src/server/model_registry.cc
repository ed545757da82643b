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

ModelRegistry::Entry* ModelRegistry::entry(std::string_view id) const {
  const auto it = std::ranges::find_if(entries_, [&](const auto& e) { return e->source.id == id; });
  return it == entries_.end() ? nullptr : it->get();
}

ModelRegistry::Lease ModelRegistry::lease(const Entry& entry) {
  if (entry.loaded == nullptr) return nullptr;
  return {entry.loaded, &entry.loaded->model};
}

ModelRegistry::Lease ModelRegistry::find(std::string_view id) {
  Entry* const found = entry(id);
  if (found == nullptr) return nullptr;
  const std::scoped_lock lock(mutex_);
  found->last_use = Clock::now();
  return lease(*found);
}

void ModelRegistry::load(std::string_view id, Loaded done) {
  Entry* const wanted = entry(id);
  LOTSE_CHECK(wanted != nullptr);
  std::unique_lock lock(mutex_);
  wanted->last_use = Clock::now();
  Result<Lease> answer = lease(*wanted);
  if (is_draining_) {
    answer = std::unexpected(draining());
  } else if (*answer == nullptr && waiting_ >= options_.max_waiting) {
    answer = fail(ErrorCode::limit, "{} requests wait for models that are being loaded", waiting_);
  } else if (*answer == nullptr) {
    ++waiting_;
    wanted->waiting.push_back(std::move(done));
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
    all.push_back({entry->source.id, entry->source.is_pinned, lease(*entry), entry->metrics});
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
    for (const Loaded& done : std::exchange(entry->waiting, {})) {
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
  Result<Lease> answer;
  if (loaded) {
    loaded->model.metrics = next.metrics;
    next.loaded = std::make_shared<LoadedModel>(*std::move(loaded));
    answer = lease(next);
  } else {
    answer = std::unexpected(loaded.error());
  }
  next.is_queued = false;
  next.last_use = Clock::now();
  const std::vector<Loaded> waiting = std::exchange(next.waiting, {});
  waiting_ -= std::ssize(waiting);
  lock.unlock();
  if (answer && events_.loaded) events_.loaded(**answer, seconds.count());
  if (!answer && events_.failed) events_.failed(next.source.id, answer.error());
  for (const Loaded& done : waiting) done(answer);
  answer = Lease();
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
