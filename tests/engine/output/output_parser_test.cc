// Every format: what its texts mean, in whatever pieces they come.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "tests/engine/output/events.h"

namespace lotse {
namespace {

using Lines = std::vector<std::string>;

const std::vector<ToolSignature> kTools = {{"add", {"a", "b"}}, {"say", {}}};

struct Case {
  const char* format;
  std::string text;
  Lines events;
  bool reasons = false;
  bool begins_in_reasoning = false;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      // Hermes
      {"hermes", "Hello <b> there", {"text Hello <b> there"}},
      {"hermes", "ends in a marker's half <tool_c", {"text ends in a marker's half <tool_c"}},
      {"hermes", "  white space \n", {"text   white space \n"}},
      {"hermes",
       "I add.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": [2, "
       "\"}\"]}}\n</tool_call>",
       {"text I add.", "call 0 add", "args 0 {\"a\": 1, \"b\": [2, \"}\"]}", "end 0"}},
      {"hermes",
       "<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"say\","
       "\"arguments\":{\"x\":\"</tool_call>\"}}</tool_call>\n",
       {"call 0 add", "args 0 {}", "end 0", "call 1 say", "args 1 {\"x\":\"</tool_call>\"}",
        "end 1"}},
      {"hermes",
       "<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"add\"}</tool_call> done",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0", "text done"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>)",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0"}},
      {"hermes", R"(<tool_call>{"name": "add"}</tool_call>)", {"call 0 add", "args 0 {}", "end 0"}},
      {"hermes",
       R"(<tool_call>{"name": "add", "arguments": null}</tool_call>)",
       {"call 0 add", "args 0 {}", "end 0"}},
      {"hermes",
       R"(<tool_call>[{"name": "add", "arguments": {}}, {"name": "say"}]</tool_call>)",
       {"call 0 add", "args 0 {}", "end 0", "call 1 say", "args 1 {}", "end 1"}},
      // Malformed: content, or a call cut short
      {"hermes",
       "<tool_call>{\"nom\": \"add\"}</tool_call>",
       {"text <tool_call>{\"nom\": \"add\"}</tool_call>"}},
      {"hermes",
       "<tool_call>{\"name\": 5, \"arguments\": {}}",
       {"text <tool_call>{\"name\": 5, \"arguments\": {}}"}},
      {"hermes",
       "<tool_call>{\"name\": \"a b\", \"arguments\": {}}",
       {"text <tool_call>{\"name\": \"a b\", \"arguments\": {}}"}},
      {"hermes", "a <tool_call> b", {"text a <tool_call> b"}},
      {"hermes",
       "<tool_call><tool_call>{\"name\": \"add\"}</tool_call>",
       {"text <tool_call>", "call 0 add", "args 0 {}", "end 0"}},
      {"hermes", "<tool_call>[]</tool_call>", {"text <tool_call>[]</tool_call>"}},
      {"hermes",
       "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": 1",
       {"call 0 add", "args 0 {\"a\": 1", "end 0"}},
      {"hermes",
       "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": x}}",
       {"call 0 add", "args 0 {\"a\": ", "end 0", "text x}}"}},
      {"hermes",
       "<tool_call>{\"name\": \"add\", \"arguments\": {}\n</tool_call>\n",
       {"call 0 add", "args 0 {}", "end 0"}},
      {"hermes",
       "<tool_call>[{\"name\": \"add\"}, {\"nom\": 1}]",
       {"call 0 add", "args 0 {}", "end 0", "text , {\"nom\": 1}]"}},
      {"hermes", "</tool_call> alone", {"text </tool_call> alone"}},
      // Reasoning
      {"hermes",
       "<think>\nFirst,\nthen.\n</think>\n\nDone.",
       {"think First,\nthen.", "text Done."},
       true},
      {"hermes", "First.</think>Done.", {"think First.", "text Done."}, true, true},
      {"hermes", "\n\n</think>\n\nDone. \n", {"text Done. \n"}, true, true},
      {"hermes", "never ends </thi", {"think never ends </thi"}, true, true},
      {"hermes", "No <think> here</think>.", {"text No <think> here</think>."}, true},
      {"hermes", " \n<thi", {"text  \n<thi"}, true},
      {"hermes",
       "<think>call <tool_call>{</think>\n<tool_call>{\"name\": \"say\"}</tool_call>",
       {"think call <tool_call>{", "call 0 say", "args 0 {}", "end 0"},
       true},
      // Llama
      {"llama3",
       R"({"name": "add", "parameters": {"a": 1}})",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0"}},
      {"llama3",
       R"( {"type": "function", "name": "add", "parameters": {}}; {"name": "say", "parameters": {}})",
       {"call 0 add", "args 0 {}", "end 0", "call 1 say", "args 1 {}", "end 1"}},
      {"llama3",
       R"(<|python_tag|>{"name": "other", "parameters": {}})",
       {"call 0 other", "args 0 {}", "end 0"}},
      {"llama3", R"({"name": "Alice", "age": 5})", {R"(text {"name": "Alice", "age": 5})"}},
      {"llama3", R"({"answer": {"name": "add"}})", {R"(text {"answer": {"name": "add"}})"}},
      {"llama3",
       R"(Or {"name": "add", "parameters": {}})",
       {R"(text Or {"name": "add", "parameters": {}})"}},
      {"llama3", "<|python_tag|>print(1)", {"text <|python_tag|>print(1)"}},
      // Mistral
      {"mistral",
       R"([TOOL_CALLS][{"name": "add", "arguments": {"a": 1}, "id": "abcdefghi"}, {"name": "say", "arguments": {}}])",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0", "call 1 say", "args 1 {}", "end 1"}},
      {"mistral",
       R"(So: [TOOL_CALLS]add[CALL_ID]abc123xyz[ARGS]{"a": 1}[TOOL_CALLS]say[ARGS]{})",
       {"text So:", "call 0 add abc123xyz", "args 0 {\"a\": 1}", "end 0", "call 1 say", "args 1 {}",
        "end 1"}},
      {"mistral", "[TOOL_CALLS]add[ARGS]1", {"text [TOOL_CALLS]add[ARGS]1"}},
      {"mistral", "[TOOL_CALLS] none", {"text [TOOL_CALLS] none"}},
      // DeepSeek
      {"deepseek",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>add<｜tool▁sep｜>{\"a\": "
       "1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>say<｜tool▁sep｜>{}<｜tool▁call▁end｜><"
       "｜tool▁calls▁"
       "end｜>",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0", "call 1 say", "args 1 {}", "end 1"}},
      {"deepseek",
       "<think>Hm</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n"
       "```json\n{\"a\": 1}\n```<｜tool▁call▁end｜>\n<｜tool▁calls▁end｜>",
       {"think Hm", "call 0 add", "args 0 {\"a\": 1}", "end 0"},
       true},
      {"deepseek", "<｜tool▁calls▁begin｜>oh", {"text <｜tool▁calls▁begin｜>oh"}},
      {"deepseek", "```\ncode\n```", {"text ```\ncode\n```"}},
      {"deepseek-v3.2",
       "Now.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"add\">\n<｜DSML｜parameter "
       "name=\"a\" "
       "string=\"false\">1</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"say\">\n"
       "<｜DSML｜parameter name=\"x\" string=\"true\">a \"b\"\n</｜DSML｜parameter>\n"
       "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
       {"text Now.", "call 0 add", "args 0 {\"a\": 1}", "end 0", "call 1 say",
        "args 1 {\"x\": \"a \\\"b\\\"\\n\"}", "end 1"}},
      // Kimi
      {"kimi-k2",
       "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{"
       "\"a\": 1}<|tool_call_end|><|tool_calls_section_end|>",
       {"call 0 add functions.add:0", "args 0 {\"a\": 1}", "end 0"}},
      // Between tags
      {"qwen3-coder",
       "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n<parameter=b>\nTrue\n"
       "</parameter>\n</function>\n</tool_call>",
       {"call 0 add", "args 0 {\"a\": 1, \"b\": true}", "end 0"}},
      {"qwen3-coder",
       "<tool_call>\n<function=say>\n<parameter=x>\n\n a\n<b>\n\n</parameter>\n</function>\n"
       "</tool_call>\n<tool_call>\n<function=say>\n</function>\n</tool_call>",
       {"call 0 say", "args 0 {\"x\": \"\\n a\\n<b>\\n\"}", "end 0", "call 1 say", "args 1 {}",
        "end 1"}},
      {"qwen3-coder",
       "<function=add><parameter=a>{\"x\": </parameter></function>",
       {"call 0 add", "args 0 {\"a\": \"{\\\"x\\\": \"}", "end 0"}},
      {"qwen3-coder",
       "<tool_call>\n<function=say>\n<parameter=x>\n1\n</parameter>\n<oh>",
       {"call 0 say", "args 0 {\"x\": \"1\"", "end 0", "text <oh>"}},
      {"qwen3-coder", "<tool_call>\nnone", {"text <tool_call>\nnone"}},
      {"seed-oss",
       "<seed:tool_call>\n<function=say>\n<parameter=x>y</parameter>\n</function>\n"
       "</seed:tool_call>",
       {"call 0 say", "args 0 {\"x\": \"y\"}", "end 0"}},
      {"glm-4.5",
       "Yes\n<tool_call>add\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>c</arg_key>\n"
       "<arg_value>one</arg_value>\n</tool_call>\n<tool_call>say</tool_call>",
       {"text Yes", "call 0 add", "args 0 {\"a\": 1, \"c\": \"one\"}", "end 0", "call 1 say",
        "args 1 {}", "end 1"}},
      {"minimax-m2",
       "<minimax:tool_call>\n<invoke name=\"add\">\n<parameter "
       "name=\"a\">1</parameter>\n</invoke>\n"
       "<invoke name=\"say\">\n</invoke>\n</minimax:tool_call>",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0", "call 1 say", "args 1 {}", "end 1"}},
      // Channels
      {"harmony",
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
       "I "
       "add.<|end|><|start|>assistant<|channel|>commentary to=functions.add "
       "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
       {"think Hm.", "text I add.", "call 0 add", "args 0 {\"a\": 1}", "end 0"}},
      {"harmony",
       "<|channel|>final<|message|>Done, <b> and <|x|>.\n<|return|>",
       {"text Done, <b> and <|x|>.\n"}},
      {"harmony",
       " to=functions.say<|channel|>commentary json<|message|>{}",
       {"call 0 say", "args 0 {}", "end 0"}},
      {"harmony",
       "<|channel|>commentary to=functions.say<|message|>{\"a\": x}",
       {"call 0 say", "args 0 {\"a\": ", "end 0", "text x}"}},
      {"harmony",
       "<|channel|>analysis to=browser.search<|message|>{}",
       {"text <|channel|>analysis to=browser.search<|message|>{}"}},
      {"harmony", "Plain <|message|>.", {"text Plain <|message|>."}},
      {"harmony", "<|channel|>anal", {"text <|channel|>anal"}},
      // JSON behind other markers
      {"nemotron",
       R"(<TOOLCALL>[{"name": "add", "arguments": {}}]</TOOLCALL>)",
       {"call 0 add", "args 0 {}", "end 0"}},
      {"granite",
       R"(<|tool_call|>[{"name": "add", "arguments": {}}])",
       {"call 0 add", "args 0 {}", "end 0"}},
      {"firefunction",
       R"( functools[{"name": "add", "arguments": {}}])",
       {"call 0 add", "args 0 {}", "end 0"}},
      {"functionary",
       R"(<function=add>{"a": 1}</function>)",
       {"call 0 add", "args 0 {\"a\": 1}", "end 0"}},
  };
  return all;
}

OutputFormat format_of(const Case& c) {
  OutputFormat format;
  if (c.reasons) format = detect_output_format("<think> </think>");
  format.calls = find_call_format(c.format);
  return format;
}

OutputOptions options_of(const Case& c) { return {kTools, c.begins_in_reasoning}; }

std::vector<size_t> every_byte(std::string_view text) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < text.size(); ++i) cuts.push_back(i);
  return cuts;
}

std::vector<size_t> random_cuts(std::string_view text, std::mt19937& random) {
  std::vector<size_t> cuts;
  const int one_in = std::uniform_int_distribution(2, 20)(random);
  for (size_t i = 1; i < text.size(); ++i) {
    if (std::uniform_int_distribution(1, one_in)(random) == 1) cuts.push_back(i);
  }
  return cuts;
}

TEST(OutputParser, TextsMeanWhatTheyShould) {
  for (const Case& c : cases()) {
    EXPECT_EQ(parse(format_of(c), options_of(c), c.text), c.events) << c.format << ": " << c.text;
  }
}

TEST(OutputParser, EveryFormatHasCases) {
  for (const std::string_view name : call_format_names()) {
    EXPECT_TRUE(std::ranges::any_of(cases(), [&](const Case& c) { return c.format == name; }))
        << name;
  }
}

TEST(OutputParser, PiecesMakeNoDifference) {
  std::mt19937 random(7);
  for (const Case& c : cases()) {
    const auto format = format_of(c);
    EXPECT_EQ(parse(format, options_of(c), c.text, every_byte(c.text)), c.events) << c.text;
    for (size_t cut = 1; cut < c.text.size(); ++cut) {
      ASSERT_EQ(parse(format, options_of(c), c.text, {cut}), c.events) << c.text << " at " << cut;
    }
    for (int i = 0; i < 30; ++i) {
      ASSERT_EQ(parse(format, options_of(c), c.text, random_cuts(c.text, random)), c.events);
    }
  }
}

// Fragments of a format's texts in any order.
std::string scrambled(const CallFormat& calls, std::mt19937& random) {
  const std::string_view calls_name = name(calls);
  OutputFormat format{&calls, nullptr};
  std::vector<std::string> parts;
  for (const auto marker : markers(format)) parts.emplace_back(marker);
  for (const char* part : {"<think>",
                           "</think>",
                           "{\"name\": \"add\", \"arguments\": {\"a\": 1}}",
                           "{\"name\": \"say\"}",
                           "[",
                           "]",
                           "{",
                           "}",
                           "\"name\"",
                           "\"arguments\"",
                           ":",
                           ",",
                           " ",
                           "\n",
                           "word",
                           "add",
                           "\"",
                           "<parameter=a>",
                           "</parameter>",
                           "</function>",
                           "add\n",
                           "add>",
                           "é",
                           "\xff",
                           "`",
                           "<",
                           "1"}) {
    parts.emplace_back(part);
  }
  for (const Case& c : cases()) {
    if (c.format == calls_name) parts.push_back(c.text);
  }
  std::string text;
  const int count = std::uniform_int_distribution(1, 12)(random);
  for (int i = 0; i < count; ++i) {
    text += parts[std::uniform_int_distribution<size_t>(0, parts.size() - 1)(random)];
  }
  return text;
}

// Calls begin and end in turn, with numbers that count up; texts are not empty.
void expect_order(const std::vector<OutputEvent>& events, const std::string& text) {
  int32_t begun = 0;
  bool open = false;
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case OutputEvent::Kind::call_begin:
        ASSERT_FALSE(open) << text;
        ASSERT_EQ(event.call, begun++) << text;
        ASSERT_FALSE(event.text.empty()) << text;
        open = true;
        break;
      case OutputEvent::Kind::call_end:
        ASSERT_TRUE(open) << text;
        ASSERT_EQ(event.call, begun - 1) << text;
        open = false;
        break;
      case OutputEvent::Kind::call_arguments:
        ASSERT_TRUE(open) << text;
        [[fallthrough]];
      default:
        ASSERT_FALSE(event.text.empty()) << text;
    }
  }
  ASSERT_FALSE(open) << text;
}

TEST(OutputParser, ScrambledTexts) {
  std::mt19937 random(11);
  int64_t calls = 0;
  for (const std::string_view name : call_format_names()) {
    for (int i = 0; i < 3000; ++i) {
      OutputFormat format = detect_output_format(i % 2 == 0 ? "" : "</think>");
      format.calls = find_call_format(name);
      const std::string text = scrambled(*format.calls, random);
      const OutputOptions options{kTools, i % 4 == 3};
      const auto parser = make_output_parser(format, options);
      auto events = parser->push(text);
      append(events, parser->finish());
      ASSERT_NO_FATAL_FAILURE(expect_order(events, text));
      const Lines whole = shown(events);
      for (const auto& line : whole) calls += line.starts_with("call ") ? 1 : 0;
      ASSERT_EQ(parse(format, options, text, every_byte(text)), whole) << text;
      ASSERT_EQ(parse(format, options, text, random_cuts(text, random)), whole) << text;
    }
  }
  EXPECT_GT(calls, 1000);
}

TEST(OutputParser, WithoutToolsCallsAreContent) {
  for (const Case& c : cases()) {
    if (c.reasons || c.format == std::string_view("harmony")) continue;
    EXPECT_EQ(parse(format_of(c), {}, c.text), Lines{"text " + c.text});
  }
}

// Texts that make a parser hold back as much as it ever does.
TEST(OutputParser, HostileTextsTakeLinearTime) {
  constexpr size_t kBytes = 1 << 16;
  const std::vector<std::string> hostile = {"<tool_call>{\"arguments\": {\"a\": \"",
                                            "{\"name\": \"",
                                            "[",
                                            "<tool_call>",
                                            "<",
                                            "\n",
                                            "<function=say><parameter=x>\n",
                                            "<function=add><parameter=a>",
                                            "<think>",
                                            "</thin",
                                            "[TOOL_CALLS]",
                                            "<tool_call>{\"arguments\":{}, \"type\":\"",
                                            "{\"a\":",
                                            "\xff"};
  for (const std::string_view name : call_format_names()) {
    OutputFormat format = detect_output_format("</think>");
    format.calls = find_call_format(name);
    std::vector<std::string> seeds = hostile;
    for (const Case& c : cases()) {
      if (c.format == name) seeds.push_back(c.text);
    }
    for (const std::string& seed : seeds) {
      std::string repeated;
      while (repeated.size() < kBytes) repeated += seed;
      for (const std::string& text : {repeated, seed + std::string(kBytes, 'x')}) {
        std::vector<size_t> cuts;
        for (size_t cut = 5; cut < text.size(); cut += 5) cuts.push_back(cut);
        const std::clock_t begin = std::clock();
        parse(format, {kTools, false}, text, cuts);
        const auto took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        ASSERT_LT(took, 0.5) << name << ": " << seed;
      }
    }
  }
}

TEST(OutputParser, TellsWhetherItReasons) {
  const auto parser = make_output_parser(detect_output_format("</think>"), {});
  EXPECT_FALSE(parser->is_reasoning());
  parser->push("<think>");
  EXPECT_TRUE(parser->is_reasoning());
  parser->push("a</think>");
  EXPECT_FALSE(parser->is_reasoning());
  const auto format = detect_output_format("</think>");
  EXPECT_TRUE(opens_reasoning(format, "<｜Assistant｜><think>\n"));
  EXPECT_FALSE(opens_reasoning(format, "<think>\n\n</think>\n\n"));
  EXPECT_FALSE(opens_reasoning({}, "<think>"));
}

}  // namespace
}  // namespace lotse
