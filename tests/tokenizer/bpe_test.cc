// Byte-pair encoding against the plain algorithm, with random merges in any order: the shortcuts of
// the implementation must never show.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/tokenizer/tokenizer_test_util.h"
#include "tokenizer/byte_level.h"

namespace lotse {
namespace {

using Strings = std::vector<std::string>;
using Merges = std::vector<std::pair<std::string, std::string>>;

// Merges the leftmost pair of the lowest rank until none is left.
Strings plain_bpe(Strings symbols, const Merges& merges) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t i = 0; i < merges.size(); ++i) ranks[merges[i]] = i;
  while (true) {
    size_t best = merges.size();
    size_t at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = ranks.find({symbols[i], symbols[i + 1]});
      if (it == ranks.end() || it->second >= best) continue;
      best = it->second;
      at = i;
    }
    if (best == merges.size()) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at + 1));
  }
}

std::string byte_level(std::string_view bytes) {
  std::string out;
  append_byte_level(out, bytes);
  return out;
}

// Random merges of tokens that exist by then; with `shuffle`, in an order that no training gives.
Merges random_merges(Strings tokens, size_t count, bool shuffle, std::mt19937& random) {
  Merges merges;
  for (size_t tries = 0; merges.size() < count && tries < 20 * count; ++tries) {
    const std::string left = tokens[random() % tokens.size()];
    const std::string right = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 12) continue;
    const std::pair<std::string, std::string> merge(left, right);
    if (std::ranges::find(merges, merge) != merges.end()) continue;
    merges.push_back(merge);
    if (std::ranges::find(tokens, left + right) == tokens.end()) tokens.push_back(left + right);
  }
  if (shuffle) std::ranges::shuffle(merges, random);
  return merges;
}

struct Built {
  std::shared_ptr<const Tokenizer> tokenizer;
  Strings tokens;  // by id
};

Built build(Strings alphabet, const Merges& merges, bool bytes) {
  Built built;
  built.tokens = std::move(alphabet);
  for (const auto& [left, right] : merges) {
    if (std::ranges::find(built.tokens, left + right) == built.tokens.end()) {
      built.tokens.push_back(left + right);
    }
  }
  const auto written = [&](const std::string& s) { return bytes ? byte_level(s) : s; };
  Json model = {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}};
  for (size_t id = 0; id < built.tokens.size(); ++id)
    model["vocab"][written(built.tokens[id])] = id;
  for (const auto& [left, right] : merges) {
    model["merges"].push_back(Json::array({written(left), written(right)}));
  }
  Json json = {{"model", model}};
  if (bytes) {
    json["pre_tokenizer"] = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  }
  auto tokenizer = Tokenizer::from_json(json.dump(), "test");
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  if (tokenizer) built.tokenizer = *tokenizer;
  return built;
}

Strings tokens_of(const Built& built, const std::string& text) {
  Strings tokens;
  const auto ids = built.tokenizer->encode(text);
  EXPECT_TRUE(ids) << ids.error().message;
  if (!ids) return tokens;
  for (const int32_t id : *ids) tokens.push_back(built.tokens[static_cast<size_t>(id)]);
  return tokens;
}

Strings single_chars(const std::string& text, bool bytes) {
  Strings symbols;
  for (const char c : text) {
    const bool continues = (static_cast<uint8_t>(c) & 0xc0) == 0x80;
    if (bytes || !continues) {
      symbols.emplace_back(1, c);
    } else {
      symbols.back() += c;
    }
  }
  return symbols;
}

void check_random(const Strings& chars, bool bytes, int rounds, size_t most_merges) {
  std::mt19937 random(17);
  Strings alphabet = chars;
  if (bytes) {
    alphabet.clear();
    for (int byte = 0; byte < 256; ++byte) alphabet.emplace_back(1, static_cast<char>(byte));
  }
  Strings used;  // the symbols of the texts, from which merges are made
  for (const std::string& c : chars) {
    for (const std::string& symbol : single_chars(c, bytes)) {
      if (std::ranges::find(used, symbol) == used.end()) used.push_back(symbol);
    }
  }
  for (int round = 0; round < rounds; ++round) {
    const Merges merges = random_merges(used, 1 + random() % most_merges, round % 2 == 1, random);
    const Built built = build(alphabet, merges, bytes);
    ASSERT_TRUE(built.tokenizer);
    for (int i = 0; i < 12; ++i) {
      std::string text;
      const size_t length = i < 8 ? 1 + random() % 12 : 20 + random() % 120;
      for (size_t k = 0; k < length; ++k) text += chars[random() % chars.size()];
      ASSERT_EQ(tokens_of(built, text), plain_bpe(single_chars(text, bytes), merges))
          << "round " << round << ": " << text;
    }
  }
}

TEST(Bpe, OfBytesIsExact) {
  check_random({"a", "b", " ", "\u00e9", "\u00e8", "\u4e2d", "\u4e0d", "\u4f60", "\u732b"}, true,
               400, 60);
}

TEST(Bpe, OfFewBytesIsExact) { check_random({"a", "b", "\u4e2d"}, true, 300, 40); }

TEST(Bpe, OfCharactersIsExact) {
  check_random({"\u2581", "\u2581", "a", "b", "c", "\u4e2d"}, false, 400, 40);
}

// Merges as SentencePiece trains them: the space only begins tokens, so text is cut before it.
TEST(Bpe, CutAtSpacesIsExact) {
  std::mt19937 random(23);
  const Strings chars = {"\u2581", "a", "b", "c"};
  for (int round = 0; round < 200; ++round) {
    Merges merges = random_merges(chars, 30, round % 2 == 1, random);
    std::erase_if(merges, [](const auto& merge) {
      const std::string whole = merge.first + merge.second;
      const size_t letters = whole.find_first_of("abc");
      return letters != std::string::npos && whole.find("\u2581", letters) != std::string::npos;
    });
    const Built built = build(chars, merges, false);
    ASSERT_TRUE(built.tokenizer);
    for (int i = 0; i < 12; ++i) {
      std::string text;
      for (size_t k = 0; k < 1 + random() % 100; ++k) text += chars[random() % chars.size()];
      ASSERT_EQ(tokens_of(built, text), plain_bpe(single_chars(text, false), merges)) << text;
    }
  }
}

// A chain a, aa, aaa, … of 100 merges, in every notation, so that the reader's blocks show.
TEST(Bpe, AFaultyMergeIsNamedWhereverItStands) {
  Json json = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b c", 101}, {"b", 102}}}}}};
  Json& model = json["model"];
  std::string token = "a";
  for (int id = 1; id <= 100; ++id) {
    model["merges"].push_back(id % 2 == 0 ? Json(token + " a") : Json::array({token, "a"}));
    token += "a";
    model["vocab"][token] = id;
  }
  const auto loaded = Tokenizer::from_json(json.dump(), "chain");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(*(*loaded)->encode("aaa"), std::vector<int32_t>{2});
  for (const size_t index : {0u, 31u, 32u, 33u, 70u, 99u}) {
    for (const Json& faulty : {Json("a"), Json("a x"), Json("b a"), Json("x x x"), Json(7),
                               Json::array({"a"}), Json::array({"a", "x"})}) {
      Json changed = json;
      changed["model"]["merges"][index] = faulty;
      const auto refused = Tokenizer::from_json(changed.dump(), "chain");
      ASSERT_FALSE(refused) << faulty;
      const std::string place = "chain: model.merges[" + std::to_string(index) + "]:";
      EXPECT_TRUE(refused.error().message.starts_with(place)) << refused.error().message;
    }
    // A token with a space: the second space divides this line.
    Json changed = json;
    changed["model"]["vocab"]["b ca"] = 103;
    changed["model"]["merges"][index] = "b c a";
    EXPECT_TRUE(Tokenizer::from_json(changed.dump(), "chain"));
  }
}

TEST(Bpe, LongWordTakesNoQuadraticTime) {
  const auto tokenizer = load_tiny("llama3");
  ASSERT_TRUE(tokenizer);
  for (const char* const unit : {"a", "harbour", "\u6e2f"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += unit;
    const auto start = std::clock();
    const auto ids = tokenizer->encode(text);
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 20.0);
    ASSERT_TRUE(ids);
    EXPECT_EQ(tokenizer->decode(*ids, true), text);
  }
}

}  // namespace
}  // namespace lotse
