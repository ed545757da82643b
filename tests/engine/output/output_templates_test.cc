// The chat templates of real models: calls as a template writes them are calls as the format that
// it is taken for reads them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "chat_template/chat_template.h"
#include "tests/engine/output/events.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

struct Expected {
  const char* file;
  const char* calls;  // the format
  bool reasons = false;
  int rendered_calls = 2;  // of one message; 0: the template cannot be rendered
  bool is_older = false;   // arguments are a text, and the content of such a message is null
};

// What each template must be taken for.
constexpr Expected kTemplates[] = {
    {"ByteDance-Seed-OSS.jinja", "seed-oss", true},
    {"GLM-4.6.jinja", "glm-4.5", true},
    {"Kimi-K2-Instruct.jinja", "kimi-k2", false, 0},
    {"moonshotai-Kimi-K2.jinja", "kimi-k2"},
    {"MiniMax-M2.jinja", "minimax-m2", true},
    {"Mistral-Small-3.2-24B-Instruct-2506.jinja", "mistral"},
    {"NVIDIA-Nemotron-Nano-v2.jinja", "nemotron", true},
    {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use.jinja", "hermes"},
    {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja", "hermes"},
    {"Qwen-QwQ-32B.jinja", "hermes", true},
    {"Qwen-Qwen2.5-7B-Instruct.jinja", "hermes"},
    {"Qwen-Qwen3-0.6B.jinja", "hermes", true},
    {"Qwen3-Coder.jinja", "qwen3-coder"},
    {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B.jinja", "deepseek", true, 2, true},
    {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "deepseek", true},
    {"deepseek-ai-DeepSeek-V3.1.jinja", "deepseek", true},
    {"deepseek-ai-DeepSeek-V3.2.jinja", "deepseek-v3.2", true},
    {"fireworks-ai-llama-3-firefunction-v2.jinja", "firefunction"},
    {"ibm-granite-granite-3.3-2B-Instruct.jinja", "granite", true, 0},
    {"llama-cpp-deepseek-r1.jinja", "deepseek", true, 0},
    {"meetkai-functionary-medium-v3.1.jinja", "functionary"},
    {"meta-llama-Llama-3.1-8B-Instruct.jinja", "llama3", false, 1},
    {"meta-llama-Llama-3.2-3B-Instruct.jinja", "llama3", false, 1},
    {"meta-llama-Llama-3.3-70B-Instruct.jinja", "llama3", false, 1},
    {"mistralai-Mistral-Nemo-Instruct-2407.jinja", "mistral"},
    {"openai-gpt-oss-120b.jinja", "harmony", false, 1},
    {"google-gemma-2-2b-it.jinja", nullptr},
    {"microsoft-Phi-3.5-mini-instruct.jinja", nullptr},
};

class OutputTemplates : public testing::Test {
 protected:
  void SetUp() override {
    const char* data = std::getenv("LOTSE_TEST_DATA");
    if (data == nullptr) GTEST_SKIP() << "not run: LOTSE_TEST_DATA is not set";
    folder = fs::path(data) / "chat-templates";
  }
  std::string read(const char* file) const {
    std::ifstream in(folder / file);
    EXPECT_TRUE(in) << file;
    return {std::istreambuf_iterator<char>(in), {}};
  }
  fs::path folder;
};

TEST_F(OutputTemplates, AreTakenForTheirFormat) {
  for (const Expected& expected : kTemplates) {
    const auto format = detect_output_format(read(expected.file));
    const std::string_view calls = format.calls == nullptr ? "none" : name(*format.calls);
    EXPECT_EQ(calls, expected.calls == nullptr ? "none" : expected.calls) << expected.file;
    EXPECT_EQ(format.reasoning != nullptr, expected.reasons) << expected.file;
  }
}

OrderedJson call(const char* name, OrderedJson arguments, const char* id) {
  return {{"id", id},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
}

OrderedJson tool(const char* name, OrderedJson properties) {
  return {{"type", "function"},
          {"function",
           {{"name", name},
            {"description", "Does it."},
            {"parameters", {{"type", "object"}, {"properties", std::move(properties)}}}}}};
}

// What the template writes of an assistant's message that calls, without the end of its turn.
std::string rendered_answer(const ChatTemplate& chat, const OrderedJson& calls,
                            const OrderedJson& content) {
  RenderOptions options;
  options.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "<eos>"}};
  OrderedJson context = {{"messages", {{{"role", "user"}, {"content", "Add."}}}},
                         {"tools",
                          {tool("add", {{"a", {{"type", "integer"}, {"description", "first"}}},
                                        {"list", {{"type", "array"}, {"description", "all"}}}}),
                           tool("say", {{"text", {{"type", "string"}, {"description", "said"}}}})}},
                         {"functions", "[]"},
                         {"datetime", "now"}};
  context["add_generation_prompt"] = true;
  const auto before = chat.render(context, options);
  context["add_generation_prompt"] = false;
  context["messages"].push_back(
      {{"role", "assistant"}, {"content", content}, {"tool_calls", calls}});
  const auto after = chat.render(context, options);
  if (!before || !after) return (before ? after : before).error().message;
  size_t same = 0;
  while (same < before->size() && (*before)[same] == (*after)[same]) ++same;
  // Where both differ within a marker, it begins before.
  const size_t marker = after->rfind('<', same - 1);
  const bool within = marker != std::string::npos && after->find('>', marker) >= same;
  return after->substr(within ? marker : same);
}

TEST_F(OutputTemplates, CallsAreReadAsTheyAreWritten) {
  const OrderedJson first = {{"a", 17}, {"list", {1, 25}}};
  const OrderedJson second = {{"text", "say \"hi\" {now}\nor é"}};
  for (const Expected& expected : kTemplates) {
    if (expected.calls == nullptr || expected.rendered_calls == 0) continue;
    const std::string source = read(expected.file);
    const auto chat = ChatTemplate::compile(source, expected.file);
    ASSERT_TRUE(chat) << chat.error().message;
    OrderedJson calls = OrderedJson::array({call("add", first, "abcdefgh1")});
    if (expected.rendered_calls > 1) calls.push_back(call("say", second, "abcdefgh2"));
    if (expected.is_older) {
      for (auto& item : calls) {
        item["function"]["arguments"] = item["function"]["arguments"].dump();
      }
    }
    const std::string text =
        rendered_answer(**chat, calls, expected.is_older ? OrderedJson(nullptr) : "");
    auto format = detect_output_format(source);
    format.reasoning = nullptr;
    const auto parser = make_output_parser(
        format, {{ToolSignature{"add", {"a", "list"}}, ToolSignature{"say", {}}}, false});
    std::vector<OutputEvent> events = parser->push(text);
    append(events, parser->finish());
    std::vector<std::pair<std::string, OrderedJson>> read;
    for (const OutputEvent& event : joined(events)) {
      if (event.kind == OutputEvent::Kind::call_begin) read.emplace_back(event.text, nullptr);
      if (event.kind == OutputEvent::Kind::call_arguments) {
        read.back().second = OrderedJson::parse(event.text, nullptr, false);
      }
    }
    ASSERT_EQ(read.size(), calls.size()) << expected.file << ":\n" << text;
    EXPECT_EQ(read[0].first, "add") << expected.file;
    EXPECT_EQ(read[0].second, first) << expected.file << ":\n" << text;
    if (read.size() < 2) continue;
    EXPECT_EQ(read[1].first, "say") << expected.file;
    EXPECT_EQ(read[1].second, second) << expected.file << ":\n" << text;
  }
}

}  // namespace
}  // namespace lotse
