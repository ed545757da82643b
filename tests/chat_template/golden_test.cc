// Renderings compared with Jinja2's own, in Hugging Face's environment (see make_golden.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/hash.h"
#include "base/mmap.h"
#include "chat_template/chat_template.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

OrderedJson read_ordered(const std::string& path) {
  const auto text = read_text_file(path, int64_t{1} << 30);
  if (!text) ADD_FAILURE() << text.error().message;
  auto json = parse_ordered_json(text.value_or("null"), path);
  if (!json) ADD_FAILURE() << json.error().message;
  return json.value_or(OrderedJson());
}

OrderedJson read_test_file(const char* name) {
  return read_ordered(std::string(LOTSE_SOURCE_DIR "/tests/chat_template/") + name);
}

RenderOptions fixed_time() {
  RenderOptions options;
  options.local_time = [] {
    std::tm time{};
    time.tm_year = 2026 - 1900;
    time.tm_mon = 2;
    time.tm_mday = 7;
    time.tm_hour = 15;
    time.tm_min = 4;
    time.tm_sec = 5;
    time.tm_wday = 6;
    time.tm_yday = 65;
    return time;
  };
  return options;
}

Result<std::string> render(const std::string& source, const OrderedJson& context,
                           const std::string& origin) {
  const auto compiled = LOTSE_TRY(ChatTemplate::compile(source, origin));
  return compiled->render(context, fixed_time());
}

TEST(ChatTemplateGolden, OwnTemplates) {
  const OrderedJson golden = read_test_file("templates_golden.json");
  const OrderedJson cases = read_test_file("templates.json");
  ASSERT_EQ(cases.size(), golden.size());
  for (const OrderedJson& entry : cases) {
    const auto name = entry.at("name").get<std::string>();
    const OrderedJson& expected = golden.at(name);
    const auto source = entry.at("template").get<std::string>();
    const auto text = render(source, entry.value("context", OrderedJson::object()), name);
    if (expected.contains("error")) {
      EXPECT_FALSE(text) << name << ": Jinja2 raises " << expected.at("error") << "\n"
                         << source << "\n-> " << text.value_or("");
    } else if (!text) {
      ADD_FAILURE() << text.error().message << "\n" << source;
    } else {
      EXPECT_EQ(*text, expected.at("text").get<std::string>()) << name << "\n" << source;
    }
  }
}

// The source of a model's template: "chat-templates/a.jinja", "…/tokenizer_config.json", or
// "…/tokenizer_config.json#name" for one of a named list.
std::string template_source(const fs::path& data, const std::string& name) {
  if (name.ends_with(".jinja")) {
    return read_text_file(data / name, int64_t{1} << 30).value_or("");
  }
  const size_t hash = name.find('#');
  const OrderedJson chat_template = read_ordered(data / name.substr(0, hash)).at("chat_template");
  if (chat_template.is_string()) return chat_template.get<std::string>();
  for (const OrderedJson& entry : chat_template) {
    if (entry.at("name") == name.substr(hash + 1)) return entry.at("template").get<std::string>();
  }
  return "";
}

TEST(ChatTemplateGolden, ModelTemplates) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  const OrderedJson golden = read_test_file("models_golden.json");
  const OrderedJson contexts = read_test_file("contexts.json");
  int compared = 0;
  for (const auto& [name, expected] : golden.items()) {
    if (!fs::exists(fs::path(data) / name.substr(0, name.find('#')))) continue;
    const std::string source = template_source(data, name);
    for (const auto& [key, context] : contexts.items()) {
      const auto text = render(source, context, name);
      const std::string digest =
          text ? sha256_hex(std::as_bytes(std::span(*text))) : std::string("error");
      EXPECT_EQ(digest, expected.at(key).get<std::string>())
          << name << " with " << key << ": " << (text ? *text : text.error().message);
      ++compared;
    }
  }
  if (compared == 0) GTEST_SKIP() << "not run: no template of models_golden.json below " << data;
  RecordProperty("compared", compared);
}

}  // namespace
}  // namespace lotse
