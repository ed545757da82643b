#include "engine/model_drafter.h"

#include <algorithm>
#include <map>

#include "engine/batch_builder.h"
#include "engine/block_cache.h"

namespace lotse {
namespace {

size_t offset_of(int64_t index) { return static_cast<size_t>(index); }

// Which tokens of which sequences the draft model has in its cache.
class DraftCache {
 public:
  struct Entry {
    std::vector<int32_t> tokens;  // in the cache
    std::vector<int32_t> blocks;
    std::vector<PrefixHash> prefixes;  // of the blocks that were published or found
  };

  DraftCache(const ExecutionLimits& limits, bool keeps_prefixes)
      : block_tokens_(limits.block_tokens), blocks_(limits.cache_blocks, keeps_prefixes) {}

  // What is right of a sequence's tokens but the last, which is always to be computed.
  Entry& find(const Sequence& sequence) {
    const auto [found, is_new] = entries_.try_emplace(sequence.id);
    Entry& entry = found->second;
    const auto wanted = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
    if (is_new) find_prefix(sequence, entry);
    const auto same = std::ranges::mismatch(entry.tokens, wanted).in1 - entry.tokens.begin();
    entry.tokens.resize(offset_of(same));
    publish(sequence, entry);
    return entry;
  }

  // Whether there are blocks for as many tokens.
  bool reserve(Entry& entry, int64_t tokens) {
    while (std::ssize(entry.blocks) * block_tokens_ < tokens) {
      const auto block = blocks_.allocate();
      if (!block) return false;
      entry.blocks.push_back(*block);
    }
    return true;
  }

  void forget(uint64_t id) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) return;
    std::vector<int32_t>& blocks = found->second.blocks;
    // Backwards, so that the end of a prefix is forgotten before its beginning.
    for (; !blocks.empty(); blocks.pop_back()) blocks_.release(blocks.back());
    entries_.erase(found);
  }

  void reset() {
    while (!entries_.empty()) forget(entries_.begin()->first);
    blocks_.forget();
  }

 private:
  PrefixHash next_prefix(const Sequence& sequence, const Entry& entry) const {
    const auto block = std::ssize(entry.prefixes);
    return hash_block(block == 0 ? sequence.salt : entry.prefixes.back(),
                      std::span(sequence.tokens)
                          .subspan(offset_of(block * block_tokens_), offset_of(block_tokens_)));
  }

  void find_prefix(const Sequence& sequence, Entry& entry) {
    const int64_t most = (std::ssize(sequence.tokens) - 1) / block_tokens_;
    while (std::ssize(entry.blocks) < most) {
      const PrefixHash prefix = next_prefix(sequence, entry);
      const auto block = blocks_.find(prefix);
      if (!block) break;
      entry.blocks.push_back(*block);
      entry.prefixes.push_back(prefix);
    }
    const auto end = sequence.tokens.begin() + std::ssize(entry.blocks) * block_tokens_;
    entry.tokens.assign(sequence.tokens.begin(), end);
  }

  // Names full blocks once no draft can change them any more.
  void publish(const Sequence& sequence, Entry& entry) {
    while ((std::ssize(entry.prefixes) + 1) * block_tokens_ <= std::ssize(entry.tokens)) {
      entry.prefixes.push_back(next_prefix(sequence, entry));
      blocks_.publish(entry.blocks[entry.prefixes.size() - 1], entry.prefixes.back());
    }
  }

  int64_t block_tokens_;
  BlockCache blocks_;
  std::map<uint64_t, Entry> entries_;
};

class ModelDrafter final : public Drafter {
 public:
  ModelDrafter(std::unique_ptr<Engine> engine, RandomStream stream, bool prefix_cache)
      : engine_(std::move(engine)), stream_(stream), cache_(engine_->limits(), prefix_cache) {}

  const char* name() const override { return "model"; }
  void forget(uint64_t id) override { cache_.forget(id); }
  void reset() override { cache_.reset(); }

  Result<void> propose(std::span<DraftWish> wishes) override {
    std::vector<Work> all = begin(wishes);
    std::vector<Work*> drafting;
    batch_.clear();
    for (Work& work : all) {
      if (catch_up(work)) drafting.push_back(&work);
    }
    while (!batch_.is_empty()) {
      const auto logits = LOTSE_TRY(engine_->executable().run(batch_.batch()));
      batch_.clear();
      const auto vocabulary = offset_of(engine_->config().vocabulary);
      for (size_t i = 0; i < drafting.size(); ++i) {
        draft(*drafting[i], logits.subspan(i * vocabulary, vocabulary));
      }
      std::erase_if(drafting, [](const Work* work) {
        return std::ssize(work->wish->draft.tokens) >= work->most;
      });
      for (Work* work : drafting) add(*work, std::span(work->wish->draft.tokens).last(1), 1);
    }
    return {};
  }

 private:
  struct Work {
    DraftWish* wish;
    DraftCache::Entry* entry;
    int64_t most;
    GuessChooser chooser;

    std::span<const int32_t> missing() const {
      return std::span(wish->sequence->tokens).subspan(entry->tokens.size());
    }
  };

  // Those that lack least come first: a long prompt does not hold up what others are ready for.
  std::vector<Work> begin(std::span<DraftWish> wishes) {
    std::vector<Work> all;
    for (DraftWish& wish : wishes) {
      const int64_t room = engine_->limits().max_context - std::ssize(wish.sequence->tokens);
      if (room < 0) continue;
      all.push_back({&wish, &cache_.find(*wish.sequence), std::min(wish.most, room + 1),
                     wish.chooser->guess(stream_)});
    }
    std::ranges::sort(all, {}, [](const Work& work) {
      return std::pair(work.missing().size(), work.wish->sequence->id);
    });
    return all;
  }

  // Adds what the cache lacks of a sequence to the batch, as far as there is room; whether that is
  // all of it and a draft can begin.
  bool catch_up(Work& work) {
    const auto missing = work.missing();
    const int64_t room = engine_->limits().max_tokens - batch_.tokens();
    const auto count = std::min(std::ssize(missing), room);
    const int64_t length = std::ssize(work.entry->tokens) + count;
    if (count == 0 || !cache_.reserve(*work.entry, length)) return false;
    const bool is_all = count == std::ssize(missing);
    // All but the last drafted token are computed.
    while (is_all && work.most > 1 && !cache_.reserve(*work.entry, length + work.most - 1)) {
      --work.most;
    }
    add(work, missing.first(offset_of(count)), is_all ? 1 : 0);
    return is_all;
  }

  void add(Work& work, std::span<const int32_t> tokens, int64_t rows) {
    DraftCache::Entry& entry = *work.entry;
    batch_.add(tokens, {}, std::ssize(entry.tokens), rows, entry.blocks);
    entry.tokens.insert(entry.tokens.end(), tokens.begin(), tokens.end());
  }

  static void draft(Work& work, std::span<const float> logits) {
    Draft& draft = work.wish->draft;
    draft.tokens.push_back(work.chooser.choose(logits, draft.from.emplace_back()));
  }

  const std::unique_ptr<Engine> engine_;
  const RandomStream stream_;
  DraftCache cache_;
  BatchBuilder batch_;
};

Result<void> expect_same_vocabulary(const Engine& target, const Engine& draft) {
  const int64_t size = target.config().vocabulary;
  if (draft.config().vocabulary != size) {
    return fail(ErrorCode::unsupported,
                "the draft model has a vocabulary of {} tokens and the model one of {}: a draft "
                "model must have the same tokens",
                draft.config().vocabulary, size);
  }
  if (target.tokenizer() == nullptr || draft.tokenizer() == nullptr) return {};
  const int64_t named = std::min(target.tokenizer()->vocab_size(), draft.tokenizer()->vocab_size());
  for (int64_t id = 0; id < named; ++id) {
    const auto token = static_cast<int32_t>(id);
    const std::string theirs = draft.tokenizer()->id_to_token(token);
    const std::string ours = target.tokenizer()->id_to_token(token);
    if (theirs == ours) continue;
    return fail(ErrorCode::unsupported,
                "token {} is \"{}\" to the draft model and \"{}\" to the model: a draft model must "
                "have the same tokens",
                id, theirs, ours);
  }
  return {};
}

}  // namespace

Result<TargetAndDraft> open_with_draft(const std::filesystem::path& target,
                                       const std::filesystem::path& draft,
                                       const EngineOptions& options) {
  TargetAndDraft opened;
  EngineOptions with_room = options;
  with_room.beside = LOTSE_TRY(memory_needs(draft, options));
  opened.target = LOTSE_TRY(Engine::open(target, with_room));
  EngineOptions small = options;
  small.ranks = 1;
  small.context = opened.target->memory_plan().context;
  small.cache_tokens = opened.target->memory_plan().cache_tokens;
  opened.draft = LOTSE_TRY(Engine::open(draft, small));
  LOTSE_TRY(expect_same_vocabulary(*opened.target, *opened.draft));
  return opened;
}

std::unique_ptr<Drafter> make_model_drafter(std::unique_ptr<Engine> draft, DraftRule rule,
                                            bool prefix_cache) {
  const RandomStream stream =
      rule == DraftRule::seeded ? RandomStream::choice : RandomStream::draft;
  return std::make_unique<ModelDrafter>(std::move(draft), stream, prefix_cache);
}

}  // namespace lotse
