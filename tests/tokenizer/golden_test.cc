// Ids and texts against the reference implementation, by the golden files of make_golden.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/json.h"
#include "tests/tokenizer/tokenizer_test_util.h"
#include "tokenizer/tokenizer.h"

namespace lotse {
namespace {

using Ids = std::vector<int32_t>;

// Holds a tokenizer against one entry of a golden file.
class GoldenCheck {
 public:
  GoldenCheck(const Tokenizer& tokenizer, const Json& texts, const Json& golden)
      : tokenizer_(tokenizer), texts_(texts), golden_(golden) {}

  void run() const {
    check_plain();
    check_marked();
    check_decoded();
    check_shuffled();
  }

 private:
  void check_plain() const {
    for (size_t i = 0; i < texts_.size(); ++i) {
      const std::string text = texts_[i].get<std::string>();
      const auto ids = tokenizer_.encode(text, {.add_bos_eos = false});
      ASSERT_TRUE(ids) << ids.error().message;
      EXPECT_EQ(*ids, golden_["plain"][i].get<Ids>()) << "text " << i << ": " << texts_[i].dump();
    }
  }

  void check_marked() const {
    const auto around = tokenizer_.encode("", {});
    ASSERT_TRUE(around);
    EXPECT_EQ(*around, golden_["around"].get<Ids>());
    const Json& marked = golden_["marked"];
    for (size_t i = 0; i < marked.size(); ++i) {
      const auto ids = tokenizer_.encode(marked[i].get<std::string>(), {.parse_special = true});
      ASSERT_TRUE(ids) << ids.error().message;
      EXPECT_EQ(*ids, golden_["parsed"][i].get<Ids>()) << marked[i].dump();
    }
  }

  void check_decoded() const {
    for (size_t i = 0; i < texts_.size(); ++i) {
      const Json& decoded = golden_["decoded"][i];
      const Json& expected = decoded.is_null() ? texts_[i] : decoded;
      expect_decodes(golden_["plain"][i].get<Ids>(), false, expected.get<std::string>());
    }
  }

  void check_shuffled() const {
    for (const Json& entry : golden_["shuffled"]) {
      const Ids ids = entry["ids"].get<Ids>();
      expect_decodes(ids, false, entry["text"].get<std::string>());
      expect_decodes(ids, true, entry["skipped"].get<std::string>());
    }
  }

  void expect_decodes(const Ids& ids, bool skip_special, const std::string& text) const {
    EXPECT_EQ(tokenizer_.decode(ids, skip_special), text) << Json(ids).dump();
    EXPECT_EQ(stream_decoded(tokenizer_, ids, skip_special), text) << Json(ids).dump();
  }

  const Tokenizer& tokenizer_;
  const Json& texts_;
  const Json& golden_;
};

Json read_golden(const std::string& path) {
  auto golden = read_json_file(path, int64_t{1} << 30);
  if (golden) return std::move(*golden);
  ADD_FAILURE() << golden.error().message;
  return Json::object();
}

TEST(Golden, TinyTokenizersAgreeWithTheReference) {
  const Json golden = read_golden(data_path("tiny_goldens.json"));
  for (const auto& [name, expected] : golden["tokenizers"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = load_tiny(name);
    if (tokenizer) GoldenCheck(*tokenizer, golden["texts"], expected).run();
  }
}

TEST(Golden, RealTokenizersAgreeWithTheReference) {
  const char* const folder = std::getenv("LOTSE_TEST_DATA");
  if (folder == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const char* const other = std::getenv("LOTSE_TOKENIZER_GOLDENS");
  const Json golden = read_golden(other != nullptr ? other : data_path("real_goldens.json"));
  for (const auto& [name, expected] : golden["tokenizers"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer =
        load_file(std::string(folder) + "/tokenizers/" + name + "/tokenizer.json");
    if (tokenizer) GoldenCheck(*tokenizer, golden["texts"], expected).run();
  }
}

}  // namespace
}  // namespace lotse
