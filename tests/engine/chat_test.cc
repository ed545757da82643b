// What chat templates tell of how their models call tools.
#include "engine/chat.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lotse {
namespace {

namespace fs = std::filesystem;

TEST(Chat, FindsHowATemplateTakesCalls) {
  const auto style = [](const std::string& call) {
    const auto chat =
        Chat::compile("{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}" +
                          call + "{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
                      "test");
    EXPECT_TRUE(chat);
    const CallMessageStyle found = chat->call_style();
    return std::make_pair(found.arguments_are_text, found.content_is_null);
  };
  using Style = std::pair<bool, bool>;
  EXPECT_EQ(style("{{ c.function.name }}{{ c.function.arguments | tojson }}"), Style(false, false));
  EXPECT_EQ(style("{{ c.function.name + c.function.arguments }}"), Style(true, false));
  EXPECT_EQ(
      style("{% if m.content is none %}{{ c.function.name + c.function.arguments }}{% endif %}"),
      Style(true, true));
  EXPECT_EQ(style("{% if m.content is none %}{{ c.function | tojson }}{% endif %}"),
            Style(false, true));
  EXPECT_EQ(style("no calls"), Style(false, false));
}

TEST(Chat, FindsItForRealTemplates) {
  const char* data = std::getenv("LOTSE_TEST_DATA");
  if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
  int text_arguments = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(data) / "chat-templates")) {
    std::ifstream in(entry.path());
    const std::string source{std::istreambuf_iterator<char>(in), {}};
    const auto chat = Chat::compile(source, entry.path().filename());
    ASSERT_TRUE(chat) << chat.error().message;
    const bool is_older =
        entry.path().filename() == "deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja";
    EXPECT_EQ(chat->call_style().arguments_are_text, is_older) << entry.path();
    EXPECT_EQ(chat->call_style().content_is_null, is_older) << entry.path();
    text_arguments += chat->call_style().arguments_are_text ? 1 : 0;
  }
  EXPECT_EQ(text_arguments, 1);
}

}  // namespace
}  // namespace lotse
