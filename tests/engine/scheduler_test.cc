#include "engine/scheduler.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "base/checked.h"

namespace lotse {
namespace {

PrefixHash named(int value) {
  const std::array<int32_t, 1> tokens = {value};
  return hash_block(hash_salt(""), tokens);
}

TEST(BlockCache, SharesAPrefixUntilItsBlockIsNeeded) {
  BlockCache cache(2, true);
  const int32_t a = cache.allocate().value();
  cache.publish(a, named(1));
  EXPECT_EQ(cache.find(named(1)), a);  // held twice
  cache.release(a);
  EXPECT_EQ(cache.available(), 1);
  cache.release(a);
  EXPECT_EQ(cache.available(), 2);
  EXPECT_EQ(cache.cached(), 1);
  const int32_t b = cache.allocate().value();  // the unused one first
  EXPECT_NE(b, a);
  EXPECT_EQ(cache.find(named(1)), a);
  cache.release(a);
  EXPECT_EQ(cache.allocate(), a);
  EXPECT_EQ(cache.find(named(1)), std::nullopt);
  EXPECT_EQ(cache.allocate(), std::nullopt);
}

TEST(BlockCache, GivesUpTheLeastRecentlyReleased) {
  BlockCache cache(3, true);
  std::vector<int32_t> blocks;
  for (int i = 0; i < 3; ++i) {
    blocks.push_back(cache.allocate().value());
    cache.publish(blocks.back(), named(i));
  }
  for (const int i : {1, 0, 2}) cache.release(blocks[static_cast<size_t>(i)]);
  EXPECT_EQ(cache.find(named(1)), blocks[1]);
  cache.release(blocks[1]);  // now the most recent
  EXPECT_EQ(cache.allocate(), blocks[0]);
  EXPECT_EQ(cache.allocate(), blocks[2]);
  EXPECT_EQ(cache.allocate(), blocks[1]);
}

TEST(BlockCache, KeepsNothingWhenToldSo) {
  BlockCache cache(1, false);
  const int32_t block = cache.allocate().value();
  cache.publish(block, named(1));
  cache.release(block);
  EXPECT_EQ(cache.find(named(1)), std::nullopt);
  EXPECT_EQ(cache.cached(), 0);
}

TEST(PrefixHash, TellsTokensOrderAndSaltApart) {
  const std::vector<int32_t> tokens = {1, 2};
  const std::vector<int32_t> swapped = {2, 1};
  std::set<PrefixHash> seen;
  for (const char* salt : {"", "a", "b"}) {
    for (const auto& list : {tokens, swapped}) {
      const PrefixHash first = hash_block(hash_salt(salt), list);
      EXPECT_TRUE(seen.insert(first).second);
      EXPECT_TRUE(seen.insert(hash_block(first, list)).second);
    }
  }
}

std::unique_ptr<Sequence> make_sequence(uint64_t id, std::vector<int32_t> prompt,
                                        int32_t priority = 0) {
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->priority = priority;
  sequence->prompt_length = std::ssize(prompt);
  sequence->tokens = std::move(prompt);
  sequence->salt = hash_salt("");
  return sequence;
}

std::vector<int32_t> tokens_from(int32_t first, int64_t count) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(first + static_cast<int32_t>(i));
  return tokens;
}

class SchedulerTest : public testing::Test {
 protected:
  // Plans a step, executes it and lets each sequence that reached its end grow by one token.
  std::vector<std::pair<uint64_t, int64_t>> step(Scheduler& scheduler) {
    std::vector<std::pair<uint64_t, int64_t>> shares;
    const auto planned = scheduler.plan();
    for (const ScheduledTokens& part : planned) {
      shares.emplace_back(part.sequence->id, part.tokens);
    }
    scheduler.commit(planned);
    for (const ScheduledTokens& part : planned) {
      if (part.reaches_end) part.sequence->tokens.push_back(7);
    }
    return shares;
  }

  using Shares = std::vector<std::pair<uint64_t, int64_t>>;
};

TEST_F(SchedulerTest, MixesChunksOfPromptsIntoSteps) {
  BlockCache blocks(100, true);
  Scheduler scheduler({4, 10, 8, 4}, blocks);
  scheduler.add(make_sequence(1, tokens_from(0, 3)));
  scheduler.add(make_sequence(2, tokens_from(100, 15)));
  scheduler.add(make_sequence(3, tokens_from(200, 2)));
  EXPECT_EQ(step(scheduler), (Shares{{1, 3}, {2, 7}}));
  EXPECT_EQ(step(scheduler), (Shares{{1, 1}, {2, 8}, {3, 1}}));
  EXPECT_EQ(step(scheduler), (Shares{{1, 1}, {2, 1}, {3, 1}}));
}

// Texts of an encoder: each in one step, however long the others are, in the order in which they
// came.
TEST_F(SchedulerTest, WholeSequencesWaitForAStepWithRoom) {
  BlockCache blocks(100, false);
  Scheduler scheduler({4, 10, 10, 4}, blocks);
  for (const auto& [id, length] : {std::pair{1, 6}, {2, 5}, {3, 4}, {4, 10}, {5, 1}}) {
    auto text = make_sequence(static_cast<uint64_t>(id), tokens_from(100 * id, length));
    text->is_whole = text->wants_all_rows = true;
    text->grows = false;
    scheduler.add(std::move(text));
  }
  const auto next = [&] {
    Shares shares;
    const auto planned = scheduler.plan();
    for (const ScheduledTokens& part : planned) {
      EXPECT_TRUE(part.reaches_end);
      shares.emplace_back(part.sequence->id, part.tokens);
    }
    scheduler.commit(planned);
    for (const auto& [id, tokens] : shares) scheduler.remove(id);
    return shares;
  };
  EXPECT_EQ(next(), (Shares{{1, 6}}));
  EXPECT_EQ(next(), (Shares{{2, 5}, {3, 4}}));
  EXPECT_EQ(next(), (Shares{{4, 10}}));
  EXPECT_EQ(next(), (Shares{{5, 1}}));
  EXPECT_EQ(blocks.available(), 100);
}

// What does not grow needs no room for a token more.
TEST_F(SchedulerTest, ATextMayFillTheWholeCache) {
  BlockCache blocks(2, true);
  Scheduler scheduler({4, 10, 8, 4}, blocks);
  auto text = make_sequence(1, tokens_from(0, 8));
  text->grows = false;
  scheduler.add(std::move(text));
  EXPECT_EQ(scheduler.plan().size(), 1);
  scheduler.remove(1);
  scheduler.add(make_sequence(2, tokens_from(0, 8)));
  EXPECT_TRUE(scheduler.plan().empty());
}

TEST_F(SchedulerTest, GeneratingSequencesAreNotHeldUpByAnEarlierPrompt) {
  BlockCache blocks(100, true);
  Scheduler scheduler({4, 4, 8, 4}, blocks);
  scheduler.add(make_sequence(2, tokens_from(0, 1)));
  EXPECT_EQ(step(scheduler), (Shares{{2, 1}}));
  scheduler.add(make_sequence(1, tokens_from(100, 30)));  // comes before
  EXPECT_EQ(step(scheduler), (Shares{{2, 1}, {1, 3}}));
  EXPECT_EQ(step(scheduler), (Shares{{2, 1}, {1, 3}}));
}

TEST_F(SchedulerTest, AdmitsByPriorityThenArrival) {
  BlockCache blocks(100, true);
  Scheduler scheduler({2, 100, 8, 4}, blocks);
  scheduler.add(make_sequence(1, tokens_from(0, 2), 5));
  scheduler.add(make_sequence(2, tokens_from(10, 2), 0));
  scheduler.add(make_sequence(3, tokens_from(20, 2), 0));
  EXPECT_EQ(step(scheduler), (Shares{{2, 2}, {3, 2}}));
  scheduler.remove(3);
  EXPECT_EQ(step(scheduler), (Shares{{2, 1}, {1, 2}}));
}

TEST_F(SchedulerTest, FindsWhatAnotherSequenceComputed) {
  BlockCache blocks(100, true);
  Scheduler scheduler({4, 100, 8, 4}, blocks);
  scheduler.add(make_sequence(1, tokens_from(0, 9)));
  EXPECT_EQ(step(scheduler), (Shares{{1, 9}}));
  scheduler.add(make_sequence(2, tokens_from(0, 9)));
  EXPECT_EQ(step(scheduler), (Shares{{1, 1}, {2, 1}}));  // two blocks of four found
  EXPECT_EQ(scheduler.prefix_hits(), 8);
  // All full blocks are there, but the last token has to be computed.
  scheduler.add(make_sequence(3, tokens_from(0, 8)));
  EXPECT_EQ(step(scheduler).back(), (std::pair<uint64_t, int64_t>{3, 4}));
  auto salted = make_sequence(4, tokens_from(0, 9));
  salted->salt = hash_salt("another tenant");
  scheduler.add(std::move(salted));
  EXPECT_EQ(step(scheduler).back(), (std::pair<uint64_t, int64_t>{4, 9}));
}

TEST_F(SchedulerTest, TheLastComerGivesItsBlocksBack) {
  BlockCache blocks(4, false);
  Scheduler scheduler({4, 100, 8, 4}, blocks);
  scheduler.add(make_sequence(1, tokens_from(0, 7)));
  scheduler.add(make_sequence(2, tokens_from(50, 7)));
  EXPECT_EQ(step(scheduler), (Shares{{1, 7}, {2, 7}}));
  EXPECT_EQ(step(scheduler), (Shares{{1, 1}, {2, 1}}));
  EXPECT_EQ(step(scheduler), (Shares{{1, 1}}));  // nine tokens need a third block
  EXPECT_EQ(scheduler.preemptions(), 1);
  EXPECT_EQ(scheduler.waiting(), 1);
  scheduler.remove(1);
  EXPECT_EQ(step(scheduler), (Shares{{2, 9}}));  // what it had generated counts as computed anew
}

// Random arrivals, priorities, lengths, cancellations: whatever happens, every sequence is computed
// in order, in blocks that nobody else writes, within all limits, and everything ends.
TEST_F(SchedulerTest, ThePromptsLastTokenTakesNoDraft) {
  BlockCache cache(8, true);
  Scheduler scheduler({.max_sequences = 2, .step_tokens = 4, .step_outputs = 4, .block_tokens = 4},
                      cache);
  auto added = make_sequence(0, tokens_from(0, 5));
  added->wants_all_rows = true;
  Sequence& sequence = *added;
  scheduler.add(std::move(added));
  step(scheduler);
  ASSERT_EQ(sequence.computed, 4);
  EXPECT_TRUE(scheduler.generating().empty());
  step(scheduler);
  ASSERT_EQ(scheduler.generating().size(), 1U);
  sequence.draft = tokens_from(100, 3);
  const auto planned = scheduler.plan();
  ASSERT_EQ(planned.size(), 1U);
  EXPECT_EQ(planned[0].drafted, 3);
}

TEST_F(SchedulerTest, KeepsItsPromisesUnderRandomLoad) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    const SchedulerLimits limits{pick(1, 6), pick(1, 20), pick(6, 10), pick(1, 5)};
    const int64_t longest = 40;
    BlockCache blocks(ceil_div(longest, limits.block_tokens) + pick(0, 20), pick(0, 3) > 0);
    Scheduler scheduler(limits, blocks);
    std::map<uint64_t, int64_t> wanted;                // length at which each ends
    std::map<int32_t, std::vector<int32_t>> contents;  // of each block, by position
    uint64_t next = 1;
    int64_t steps = 0;
    while (next <= 40 || !wanted.empty()) {
      ASSERT_LT(++steps, 5000) << "no progress, seed " << seed;
      if (next <= 40 && pick(0, 2) == 0) {
        // Few different beginnings, so that prefixes are shared.
        const int64_t length = pick(1, longest - 2);
        auto sequence = make_sequence(next, tokens_from(static_cast<int32_t>(pick(0, 2)), length),
                                      static_cast<int32_t>(pick(0, 1)));
        sequence->wants_all_rows = pick(0, 5) == 0;
        wanted[next++] = pick(length + 1, longest - 1);
        scheduler.add(std::move(sequence));
      }
      if (!wanted.empty() && pick(0, 20) == 0) {
        const uint64_t id = wanted.begin()->first;
        EXPECT_NE(scheduler.remove(id), nullptr);
        wanted.erase(id);
      }
      for (Sequence* sequence : scheduler.generating()) {
        if (pick(0, 1) == 0) continue;
        const int64_t room = longest - std::ssize(sequence->tokens);
        sequence->draft = tokens_from(1000, std::min(pick(0, 4), room));
      }
      const auto planned = scheduler.plan();
      int64_t tokens = 0;
      int64_t outputs = 0;
      std::set<int32_t> written;
      for (const ScheduledTokens& part : planned) {
        const Sequence& s = *part.sequence;
        ASSERT_GT(part.tokens, 0);
        tokens += part.tokens + part.drafted;
        outputs += part.drafted;
        outputs += s.wants_all_rows && s.computed < s.prompt_length ? part.tokens : 1;
        ASSERT_LE(s.computed + part.tokens + part.drafted,
                  std::ssize(s.blocks) * limits.block_tokens);
        // What it found in the cache is what its tokens are.
        for (int64_t p = 0; p < s.computed; ++p) {
          const int32_t block = s.blocks[static_cast<size_t>(p / limits.block_tokens)];
          ASSERT_EQ(contents[block].at(static_cast<size_t>(p % limits.block_tokens)),
                    s.tokens[static_cast<size_t>(p)]);
        }
        for (int64_t p = s.computed; p < s.computed + part.tokens; ++p) {
          const int32_t block = s.blocks[static_cast<size_t>(p / limits.block_tokens)];
          if (p == s.computed || p % limits.block_tokens == 0) {
            ASSERT_TRUE(written.insert(block).second) << "two sequences write one block";
          }
          contents[block].resize(static_cast<size_t>(limits.block_tokens), -1);
          contents[block][static_cast<size_t>(p % limits.block_tokens)] =
              s.tokens[static_cast<size_t>(p)];
        }
      }
      ASSERT_LE(tokens, limits.step_tokens);
      ASSERT_LE(outputs, limits.step_outputs);
      ASSERT_LE(scheduler.running(), limits.max_sequences);
      scheduler.commit(planned);
      for (const ScheduledTokens& part : planned) {
        if (!part.reaches_end) continue;
        part.sequence->tokens.push_back(static_cast<int32_t>(pick(0, 3)));
        for (int64_t i = 0; i < part.drafted && pick(0, 1) == 0; ++i) {
          Sequence& s = *part.sequence;
          const auto p = static_cast<size_t>(std::ssize(s.tokens) - 1);
          const auto block_tokens = static_cast<size_t>(limits.block_tokens);
          contents[s.blocks[p / block_tokens]].resize(block_tokens, -1);
          contents[s.blocks[p / block_tokens]][p % block_tokens] = s.tokens[p];
          scheduler.accept_drafted(s);
          s.tokens.push_back(static_cast<int32_t>(pick(0, 3)));
        }
        const uint64_t id = part.sequence->id;
        if (std::ssize(part.sequence->tokens) < wanted.at(id)) continue;
        scheduler.remove(id);
        wanted.erase(id);
      }
    }
    EXPECT_EQ(blocks.available(), blocks.total());
    EXPECT_EQ(scheduler.running() + scheduler.waiting(), 0);
  }
}

}  // namespace
}  // namespace lotse
