// Stop strings in every split of short texts, against a search in the whole text.
#include "server/stop_strings.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace lotse {
namespace {

struct Found {
  std::string text;
  std::optional<std::string> stop;
};

// Looks at ever longer beginnings of the text for one that ends with a stop string.
Found search(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string begun = text.substr(0, end);
    std::string longest;
    for (const std::string& stop : stops) {
      if (begun.ends_with(stop) && stop.size() > longest.size()) longest = stop;
    }
    if (!longest.empty()) {
      return {include ? begun : begun.substr(0, end - longest.size()), longest};
    }
  }
  return {text, std::nullopt};
}

void expect_same_in_every_split(const std::string& text, const std::vector<std::string>& stops) {
  for (const bool include : {false, true}) {
    const Found expected = search(text, stops, include);
    for (uint32_t cuts = 0; cuts < (1u << (text.size() - 1)); ++cuts) {
      StopStrings stop(stops, include);
      std::string shown;
      size_t begin = 0;
      for (size_t i = 1; i <= text.size(); ++i) {
        if (i < text.size() && (cuts >> (i - 1) & 1) == 0) continue;
        shown += stop.push(text.substr(begin, i - begin));
        // Whatever is shown early is never taken back.
        ASSERT_TRUE(expected.text.starts_with(shown)) << text << " in split " << cuts;
        begin = i;
      }
      shown += stop.flush();
      ASSERT_EQ(shown, expected.text) << text << " in split " << cuts;
      ASSERT_EQ(stop.found(), expected.stop) << text << " in split " << cuts;
    }
  }
}

TEST(StopStrings, EverySplit) {
  const std::vector<std::vector<std::string>> sets = {
      {"ab"}, {"aab"}, {"aba", "bb"}, {"b", "ab"}, {"abab", "ba"}, {"aaaaa"}, {}};
  for (const auto& stops : sets) {
    for (uint32_t bits = 0; bits < 256; ++bits) {
      std::string text;
      for (int i = 0; i < 8; ++i) text += (bits >> i & 1) != 0 ? 'a' : 'b';
      expect_same_in_every_split(text, stops);
    }
  }
}

TEST(StopStrings, HoldsBackOnlyWhatMayBegin) {
  StopStrings stop({"</answer>"}, false);
  EXPECT_EQ(stop.push("a < b"), "a < b");
  EXPECT_EQ(stop.push(" </ans"), " ");
  EXPECT_EQ(stop.push("werk"), "</answerk");
  EXPECT_EQ(stop.push("</answer> and more"), "");
  EXPECT_EQ(stop.found(), "</answer>");
  EXPECT_EQ(stop.push("more"), "");
  EXPECT_EQ(stop.flush(), "");
}

TEST(StopStrings, ShowsWhatWasHeldAtTheEnd) {
  StopStrings stop({"end."}, false);
  EXPECT_EQ(stop.push("the en"), "the ");
  EXPECT_EQ(stop.flush(), "en");
}

}  // namespace
}  // namespace lotse
