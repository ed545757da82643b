// Models by name: who is loaded, who waits, who goes.
#include "server/model_registry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "tests/server/fakes.h"

namespace lotse {
namespace {

using namespace std::chrono_literals;

class ModelRegistryTest : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::load(std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano");
  }

  // Counts how often each was loaded.
  ModelSource source(const std::string& id, bool is_pinned = false) {
    return {id, {}, is_pinned, [this, id]() -> Result<LoadedModel> {
              const std::scoped_lock lock(mutex);
              ++loads[id];
              if (const auto it = failures.find(id); it != failures.end()) {
                const Error error = it->second;
                if (error.code == ErrorCode::limit) failures.erase(it);
                return std::unexpected(error);
              }
              auto engine = std::make_unique<FakeEngine>();
              FakeEngine& served = *engine;
              LoadedModel loaded{std::move(engine), {}};
              loaded.models.push_back({id, served, *tokenizer, nullptr, 64, 2048, {}, 1, 1});
              return loaded;
            }};
  }

  static Result<ModelRegistry::Lease> load(ModelRegistry& models, const std::string& id) {
    std::promise<Result<ModelRegistry::Lease>> promise;
    models.load(id, [&](const Result<ModelRegistry::Lease>& lease) { promise.set_value(lease); });
    return promise.get_future().get();
  }

  static std::string loaded(const ModelRegistry& models) {
    std::string ids;
    for (const auto& model : models.status()) ids += model.model ? model.id : "";
    return ids;
  }

  static void wait_until(const auto& condition) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      std::this_thread::sleep_for(1ms);
    }
  }

  std::shared_ptr<const Tokenizer> tokenizer;
  std::mutex mutex;
  std::map<std::string, int> loads;
  std::map<std::string, Error> failures;
};

TEST_F(ModelRegistryTest, PinnedOnesAreLoadedAtTheStartOthersWhenAskedFor) {
  ModelRegistry models({source("a"), source("b", true), source("c")}, {});
  EXPECT_EQ(models.default_id(), "a");
  EXPECT_FALSE(models.is_ready());
  std::promise<std::string> first;
  models.start({.loaded = [&](const ServedModel& model, double) {
    if (model.id == "b") first.set_value(model.id);
  }});
  EXPECT_EQ(first.get_future().get(), "b");
  EXPECT_TRUE(models.is_ready());
  EXPECT_EQ(loaded(models), "b");
  EXPECT_EQ(models.find("a"), nullptr);
  EXPECT_FALSE(models.has("d"));
  const auto lease = load(models, "a");
  ASSERT_TRUE(lease);
  EXPECT_EQ((*lease)->id, "a");
  EXPECT_EQ(models.find("a"), *lease);
  EXPECT_EQ(loaded(models), "ab");
}

TEST_F(ModelRegistryTest, ManyWhoWaitShareOneLoad) {
  ModelRegistry models({source("a")}, {});
  std::atomic<int> answers = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      models.load("a", [&](const Result<ModelRegistry::Lease>& lease) { answers += !!lease; });
    });
  }
  for (auto& thread : threads) thread.join();
  wait_until([&] { return answers == 8; });
  EXPECT_EQ(loads["a"], 1);
}

TEST_F(ModelRegistryTest, IdleOnesGoButNoneThatIsHeldOrPinned) {
  ModelRegistry models({source("a", true), source("b"), source("c")}, {.idle_unload = 20ms});
  models.start({});
  auto held = load(models, "b");
  ASSERT_TRUE(load(models, "c"));
  wait_until([&] { return loaded(models) == "ab"; });
  std::this_thread::sleep_for(60ms);
  EXPECT_EQ(loaded(models), "ab");
  held = ModelRegistry::Lease();
  wait_until([&] { return loaded(models) == "a"; });
  ASSERT_TRUE(load(models, "b"));
  EXPECT_EQ(loads["b"], 2);
}

TEST_F(ModelRegistryTest, TheOneUsedLeastRecentlyMakesRoom) {
  ModelRegistry models({source("a"), source("b"), source("c")}, {.max_loaded = 2});
  ASSERT_TRUE(load(models, "a"));
  ASSERT_TRUE(load(models, "b"));
  models.find("a");
  auto c = load(models, "c");
  ASSERT_TRUE(c);
  EXPECT_EQ(loaded(models), "ac");
  const auto a = models.find("a");
  const auto refused = load(models, "b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit);
  c = ModelRegistry::Lease();
  EXPECT_TRUE(load(models, "b"));
  EXPECT_EQ(loaded(models), "ab");
}

TEST_F(ModelRegistryTest, WhereMemoryLacksAnIdleOneGoes) {
  ModelRegistry models({source("a"), source("b")}, {});
  ASSERT_TRUE(load(models, "a"));
  failures["b"] = Error{ErrorCode::limit, "no memory"};  // the first time
  ASSERT_TRUE(load(models, "b"));
  EXPECT_EQ(loads["b"], 2);
  EXPECT_EQ(loaded(models), "b");
}

TEST_F(ModelRegistryTest, AnAdapterIsANameOfItsModel) {
  auto base = source("base");
  base.adapters = {"one", "two"};
  base.load = [load = base.load]() -> Result<LoadedModel> {
    auto loaded = load();
    for (const char* id : {"one", "two"}) {
      ServedModel model = loaded->models.front();
      model.id = id;
      model.adapter = static_cast<int32_t>(loaded->models.size());
      loaded->models.push_back(std::move(model));
    }
    return loaded;
  };
  ModelRegistry models({base, source("other")}, {});
  const auto two = load(models, "two");
  ASSERT_TRUE(two);
  EXPECT_EQ((*two)->id, "two");
  EXPECT_EQ((*two)->adapter, 2);
  EXPECT_EQ(models.find("base")->adapter, 0);
  EXPECT_EQ(loads["base"], 1);
  EXPECT_EQ(loaded(models), "baseonetwo");
  (*two)->metrics->count_cancelled(1);
  const auto all = models.status();
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].base + '/' + all[1].base + '/' + all[3].base, "/base/");
  EXPECT_EQ(all[2].metrics->snapshot().cancelled, 1);
  EXPECT_EQ(all[0].metrics->snapshot().cancelled, 0);
}

TEST_F(ModelRegistryTest, AFailureIsToldAndTriedAgain) {
  ModelRegistry models({source("a")}, {});
  failures["a"] = Error{ErrorCode::invalid_input, "broken"};
  const auto failed = load(models, "a");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "broken");
  failures.clear();
  EXPECT_TRUE(load(models, "a"));
}

TEST_F(ModelRegistryTest, DrainAnswersThoseWhoWait) {
  std::promise<void> begun, go;
  auto slow = source("slow");
  slow.load = [&begun, wait = go.get_future().share(), load = slow.load] {
    begun.set_value();
    wait.wait();
    return load();
  };
  ModelRegistry models({slow, source("next")}, {.max_waiting = 2});
  std::vector<std::string> answers;  // of the registry's thread, then of this one
  const auto note = [&](const Result<ModelRegistry::Lease>& lease) {
    answers.push_back(lease ? (*lease)->id : lease.error().message);
  };
  models.load("slow", note);
  models.load("next", note);
  begun.get_future().wait();
  const auto refused = load(models, "next");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit);
  std::thread drain([&] { models.drain(); });
  wait_until([&] {
    const auto after = load(models, "slow");
    return !after && after.error().code == ErrorCode::cancelled;
  });
  go.set_value();
  drain.join();
  EXPECT_EQ(answers, (std::vector<std::string>{"slow", "the server is shutting down"}));
}

TEST_F(ModelRegistryTest, RandomUseLeavesNothingBehind) {
  ModelRegistry models({source("a", true), source("b"), source("c"), source("d")},
                       {.idle_unload = 1ms, .max_loaded = 3});
  models.start({});
  std::vector<std::thread> threads;
  std::atomic<int> refused = 0;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 300; ++i) {
        const std::string id(1, "abcd"[random() % 4]);
        auto lease = models.find(id);
        if (!lease) {
          auto loaded = load(models, id);
          if (!loaded) {
            ++refused;
            continue;
          }
          lease = *loaded;
        }
        EXPECT_EQ(lease->id, id);
        lease->metrics->count_cancelled(1);
        if (random() % 2 == 0) std::this_thread::yield();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  int64_t counted = 0;
  for (const auto& model : models.status()) counted += model.metrics->snapshot().cancelled;
  EXPECT_EQ(counted + refused, 4 * 300);  // counts outlive the models
  wait_until([&] { return loaded(models) == "a"; });
}

}  // namespace
}  // namespace lotse
