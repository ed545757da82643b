// Tools and reasoning in all three APIs, with an engine that answers what it is told to: what the
// template gets, and what becomes of the model's text, whole and streamed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <sstream>

#include "engine/output/call_frame.h"
#include "server/api.h"
#include "tests/server/fakes.h"

namespace lotse {
namespace {

const std::filesystem::path kModel = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";

// In the manner of Qwen's: calls in tags, and reasoning that the prompt may open or close.
constexpr const char* kTemplate = R"({%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}
{{- message.content }}{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined %}<think>
{% if not enable_thinking %}
</think>

{% endif %}{% endif %}{% endif %})";

class ToolsTest : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::load(kModel);
    chat = *Chat::compile(kTemplate, "test");
    start();
  }

  void start() {
    models.emplace(std::vector{ModelSource{"nano", {}, true, [this] { return loaded(); }}},
                   ModelRegistryOptions());
    api.emplace(ApiOptions(), *models);
    models->start({});
    while (!models->is_ready()) std::this_thread::yield();
  }

  // With the call format of this name instead of the template's.
  void serve(std::string_view calls) {
    api.reset();
    models.reset();
    call_format = find_call_format(calls);
    start();
  }

  LoadedModel loaded() {
    ServedModel model{
        "nano", engine, *tokenizer, &*chat, 2048, 2048, {}, 1, longest_token(*tokenizer)};
    model.output_format = chat->output_format();
    if (call_format != nullptr) model.output_format.calls = call_format;
    model.grammars = std::make_shared<GrammarCache>(*tokenizer);
    return {nullptr, {std::move(model)}};
  }

  void answer(const std::string& text) {
    engine.answer = *tokenizer->encode(text, {.add_bos_eos = false, .parse_special = false});
  }

  HttpResponse ask(const std::string& path, const OrderedJson& body) {
    auto exchange = std::make_shared<FakeExchange>(
        HttpHead{"POST", path, {{"content-type", "application/json"}}}, body.dump());
    api->handle(exchange);
    exchange->wait();
    return exchange->response;
  }

  OrderedJson json(const std::string& path, const OrderedJson& body, int status = 200) {
    const HttpResponse response = ask(path, body);
    EXPECT_EQ(response.status, status) << response.body;
    return OrderedJson::parse(response.body);
  }

  // The data of a stream's events.
  std::vector<OrderedJson> events(const std::string& path, OrderedJson body) {
    body["stream"] = true;
    std::vector<OrderedJson> result;
    std::istringstream lines(ask(path, body).body);
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("data: ") || line == "data: [DONE]") continue;
      result.push_back(OrderedJson::parse(line.substr(6)));
    }
    return result;
  }

  std::string prompt() const { return tokenizer->decode(engine.requests.back().prompt, false); }

  FakeEngine engine;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<Chat> chat;
  const CallFormat* call_format = nullptr;
  std::optional<ModelRegistry> models;
  std::optional<Api> api;  // last: its thread uses the others
};

const OrderedJson kSchema = OrderedJson::parse(
    R"({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}})");

OrderedJson chat_body(OrderedJson more = OrderedJson::object()) {
  OrderedJson body = {{"messages", {{{"role", "user"}, {"content", "Rain?"}}}}};
  body["tools"] = OrderedJson::parse(R"([{"type": "function", "function": {"name": "weather"}}])");
  body["tools"][0]["function"]["parameters"] = kSchema;
  body.update(more);
  return body;
}

constexpr const char* kCalls =
    "Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Kiel\", "
    "\"days\": 2}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n"
    "</tool_call>";
constexpr const char* kChat = "/v1/chat/completions";

TEST_F(ToolsTest, ChatWhole) {
  answer(kCalls);
  const auto choice = json(kChat, chat_body())["choices"][0];
  EXPECT_NE(prompt().find(R"("name": "weather")"), std::string::npos) << prompt();
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  const auto& message = choice["message"];
  EXPECT_EQ(message["content"], "Let me see.");
  ASSERT_EQ(message["tool_calls"].size(), 2u);
  const auto& call = message["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"]["name"], "weather");
  EXPECT_EQ(call["function"]["arguments"], "{\"city\": \"Kiel\", \"days\": 2}");
  EXPECT_EQ(message["tool_calls"][1]["function"]["arguments"], "{}");
  EXPECT_EQ(call["id"].get<std::string>().size(), 9u);
  EXPECT_NE(call["id"], message["tool_calls"][1]["id"]);
}

TEST_F(ToolsTest, ChatStream) {
  answer(kCalls);
  std::string text;
  std::vector<OrderedJson> calls;
  std::string finish;
  for (const auto& chunk : events(kChat, chat_body())) {
    const auto& choice = chunk["choices"][0];
    if (choice["delta"].contains("content")) text += choice["delta"]["content"];
    if (choice["delta"].contains("tool_calls")) {
      const auto& part = choice["delta"]["tool_calls"][0];
      const size_t index = part["index"];
      if (index == calls.size()) {
        EXPECT_EQ(part["type"], "function");
        calls.push_back(part);
        continue;
      }
      ASSERT_EQ(index + 1, calls.size());
      EXPECT_FALSE(part.contains("id"));
      EXPECT_FALSE(part["function"].contains("name"));
      auto& arguments = calls.back()["function"]["arguments"];
      arguments = arguments.get<std::string>() + part["function"]["arguments"].get<std::string>();
    }
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
  }
  EXPECT_EQ(text, "Let me see.");
  EXPECT_EQ(finish, "tool_calls");
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0]["function"]["arguments"], "{\"city\": \"Kiel\", \"days\": 2}");
  EXPECT_NE(calls[0]["id"], calls[1]["id"]);
}

TEST_F(ToolsTest, NoToolsNoCalls) {
  answer(kCalls);
  for (const OrderedJson& more :
       {OrderedJson{{"tools", OrderedJson::array()}}, OrderedJson{{"tool_choice", "none"}}}) {
    const auto choice = json(kChat, chat_body(more))["choices"][0];
    EXPECT_EQ(choice["message"]["content"], kCalls);
    EXPECT_EQ(choice["finish_reason"], "stop");
    EXPECT_EQ(prompt().find("weather"), std::string::npos);
  }
}

TEST_F(ToolsTest, OneCallWhereTheyAreNotParallel) {
  answer(kCalls);
  const auto choice = json(kChat, chat_body({{"parallel_tool_calls", false}}))["choices"][0];
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1u);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
}

TEST_F(ToolsTest, CallsThatAreCut) {
  answer(kCalls);
  const auto choice = json(kChat, chat_body({{"max_tokens", 40}}))["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "length");
  const std::string arguments = choice["message"]["tool_calls"][0]["function"]["arguments"];
  EXPECT_TRUE(std::string("{\"city\": \"Kiel\", \"days\": 2}").starts_with(arguments));
}

TEST_F(ToolsTest, ConversationsReachTheTemplate) {
  answer("Yes.");
  OrderedJson body = chat_body();
  body["messages"].push_back(OrderedJson::parse(R"({"role": "assistant", "content": null,
      "reasoning": "Look.", "tool_calls": [{"id": "a", "type": "function",
      "function": {"name": "weather", "arguments": "{\"city\":\"Kiel\"}"}}]})"));
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "a"}, {"content", "wet"}});
  json(kChat, body);
  EXPECT_NE(prompt().find("<think>Look.</think><tool_call>\n{\"name\": \"weather\", \"arguments\": "
                          "{\"city\": \"Kiel\"}}\n</tool_call><|im_end|>\n<|im_start|>tool\nwet<"),
            std::string::npos)
      << prompt();
}

TEST_F(ToolsTest, Reasoning) {
  answer("<think>\nClouds.\n</think>\n\nYes.");
  const auto whole = json(kChat, chat_body());
  const auto& message = whole["choices"][0]["message"];
  EXPECT_EQ(message["content"], "Yes.");
  EXPECT_EQ(message["reasoning"], "Clouds.");
  EXPECT_EQ(message["reasoning_content"], "Clouds.");
  const int64_t reasoning = whole["usage"]["completion_tokens_details"]["reasoning_tokens"];
  EXPECT_GT(reasoning, 0);
  EXPECT_LT(reasoning, whole["usage"]["completion_tokens"].get<int64_t>());

  std::string text, thought;
  for (const auto& chunk : events(kChat, chat_body())) {
    const auto& delta = chunk["choices"][0]["delta"];
    if (delta.contains("content")) text += delta["content"];
    if (delta.contains("reasoning")) thought += delta["reasoning"];
  }
  EXPECT_EQ(text, "Yes.");
  EXPECT_EQ(thought, "Clouds.");

  const auto hidden = json(kChat, chat_body({{"include_reasoning", false}}));
  EXPECT_FALSE(hidden["choices"][0]["message"].contains("reasoning"));
  EXPECT_EQ(hidden["choices"][0]["message"]["content"], "Yes.");
}

TEST_F(ToolsTest, ReasoningThatThePromptOpens) {
  answer("Clouds.</think>Yes.");
  const auto ask_with = [&](const OrderedJson& more) {
    return json(kChat, chat_body(more))["choices"][0]["message"];
  };
  for (const OrderedJson& more :
       {OrderedJson{{"reasoning_effort", "high"}},
        OrderedJson{{"chat_template_kwargs", {{"enable_thinking", true}}}}}) {
    const auto message = ask_with(more);
    EXPECT_TRUE(prompt().ends_with("<think>\n")) << prompt();
    EXPECT_EQ(message["reasoning"], "Clouds.");
    EXPECT_EQ(message["content"], "Yes.");
  }
  // Where it is switched off, the text is the answer.
  EXPECT_EQ(ask_with({{"reasoning_effort", "none"}})["content"], "Clouds.</think>Yes.");
  EXPECT_TRUE(prompt().ends_with("</think>\n\n")) << prompt();
  // The template's own variables count more.
  ask_with({{"reasoning_effort", "none"}, {"chat_template_kwargs", {{"enable_thinking", true}}}});
  EXPECT_TRUE(prompt().ends_with("<think>\n"));
}

TEST_F(ToolsTest, Responses) {
  answer(std::string("<think>Hm.</think>") + kCalls);
  const OrderedJson tool = {{"type", "function"}, {"name", "weather"}, {"parameters", kSchema}};
  OrderedJson body = {{"input", OrderedJson::parse(R"([{"role": "user", "content": "Rain?"},
      {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "Look."}]},
      {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{\"days\": 1}"},
      {"type": "function_call_output", "call_id": "a", "output": "wet"}])")},
                      {"tools", OrderedJson::array({tool})}};
  const auto whole = json("/v1/responses", body);
  EXPECT_NE(prompt().find("<think>Look.</think><tool_call>\n{\"name\": \"weather\", \"arguments\": "
                          "{\"days\": 1}}\n</tool_call><|im_end|>\n<|im_start|>tool\nwet<"),
            std::string::npos)
      << prompt();
  EXPECT_EQ(whole["tools"], body["tools"]);
  EXPECT_EQ(whole["tool_choice"], "auto");
  const auto& output = whole["output"];
  ASSERT_EQ(output.size(), 4u);
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"][0]["text"], "Hm.");
  EXPECT_EQ(output[1]["content"][0]["text"], "Let me see.");
  EXPECT_EQ(output[2]["type"], "function_call");
  EXPECT_EQ(output[2]["name"], "weather");
  EXPECT_EQ(output[2]["arguments"], "{\"city\": \"Kiel\", \"days\": 2}");
  EXPECT_GT(whole["usage"]["output_tokens_details"]["reasoning_tokens"], 0);

  std::vector<std::string> types;
  std::vector<std::string> parts(4);
  std::set<std::string> ids;
  const auto all = events("/v1/responses", body);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i]["sequence_number"], i);
    const std::string type = all[i]["type"];
    if (types.empty() || types.back() != type) types.push_back(type);
    if (type.ends_with(".delta")) parts[all[i]["output_index"]] += all[i]["delta"];
    if (type == "response.output_item.added") ids.insert(all[i]["item"]["id"]);
    if (type == "response.output_item.done") EXPECT_EQ(all[i]["item"]["status"], "completed");
  }
  EXPECT_EQ(ids.size(), 4u);
  EXPECT_EQ(parts, (std::vector<std::string>{"Hm.", "Let me see.",
                                             "{\"city\": \"Kiel\", \"days\": 2}", "{}"}));
  const std::vector<std::string> call = {
      "response.output_item.added", "response.function_call_arguments.delta",
      "response.function_call_arguments.done", "response.output_item.done"};
  std::vector<std::string> expected = {"response.created", "response.in_progress"};
  for (const char* kind : {"reasoning_text", "output_text"}) {
    const std::string name = std::string("response.") + kind;
    expected.insert(expected.end(),
                    {"response.output_item.added", "response.content_part.added", name + ".delta",
                     name + ".done", "response.content_part.done", "response.output_item.done"});
  }
  expected.insert(expected.end(), call.begin(), call.end());
  expected.insert(expected.end(), call.begin(), call.end());
  expected.push_back("response.completed");
  EXPECT_EQ(types, expected);
  auto last = all.back()["response"]["output"];
  EXPECT_EQ(last[2]["arguments"], output[2]["arguments"]);
}

TEST_F(ToolsTest, Messages) {
  answer(std::string("Hm.</think>") + kCalls);
  const OrderedJson body = {
      {"messages", OrderedJson::parse(R"([{"role": "user", "content": "Rain?"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "Look.", "signature": ""},
          {"type": "text", "text": "I look."},
          {"type": "tool_use", "id": "a", "name": "weather", "input": {"days": 1}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a",
          "content": [{"type": "text", "text": "wet"}]}, {"type": "text", "text": "And?"}]}])")},
      {"max_tokens", 400},
      {"thinking", {{"type", "enabled"}, {"budget_tokens", 1024}}},
      {"tools", {{{"name", "weather"}, {"input_schema", kSchema}}}}};
  const auto whole = json("/v1/messages", body);
  EXPECT_NE(prompt().find("<think>Look.</think>I look.<tool_call>\n{\"name\": \"weather\", "
                          "\"arguments\": {\"days\": 1}}\n</tool_call><|im_end|>\n"
                          "<|im_start|>tool\nwet<|im_end|>\n<|im_start|>user\nAnd?<"),
            std::string::npos)
      << prompt();
  EXPECT_EQ(whole["stop_reason"], "tool_use");
  const auto& content = whole["content"];
  ASSERT_EQ(content.size(), 4u);
  EXPECT_EQ(content[0]["thinking"], "Hm.");
  EXPECT_EQ(content[1]["text"], "Let me see.");
  EXPECT_EQ(content[2]["type"], "tool_use");
  EXPECT_EQ(content[2]["input"], OrderedJson::parse(R"({"city": "Kiel", "days": 2})"));

  std::vector<OrderedJson> blocks;
  std::vector<std::string> parts;
  for (const auto& event : events("/v1/messages", body)) {
    if (event["type"] == "content_block_start") {
      EXPECT_EQ(event["index"], blocks.size());
      blocks.push_back(event["content_block"]);
      parts.emplace_back();
    }
    if (event["type"] == "content_block_delta") {
      EXPECT_EQ(event["index"].get<size_t>() + 1, blocks.size());
      for (const char* key : {"text", "thinking", "partial_json"}) {
        if (event["delta"].contains(key)) parts.back() += event["delta"][key];
      }
    }
    if (event["type"] == "message_delta") EXPECT_EQ(event["delta"]["stop_reason"], "tool_use");
  }
  ASSERT_EQ(blocks.size(), 4u);
  EXPECT_EQ(parts, (std::vector<std::string>{"Hm.", "Let me see.",
                                             "{\"city\": \"Kiel\", \"days\": 2}", "{}"}));
  EXPECT_EQ(blocks[0]["type"], "thinking");
  EXPECT_EQ(blocks[3]["name"], "weather");

  // Without being asked for, there is no reasoning.
  OrderedJson plain = body;
  plain.erase("thinking");
  json("/v1/messages", plain);
  EXPECT_TRUE(prompt().ends_with("</think>\n\n"));
}

// What the engine would write under the request's constraint, if the model chose at random.
std::string random_answer(const GenerationRequest& request, const Tokenizer& tokenizer,
                          std::mt19937& random) {
  std::vector<int32_t> chosen;
  std::vector<float> logits(static_cast<size_t>(tokenizer.vocab_size()));
  while (!request.constraint->is_finished() && chosen.size() < 4000) {
    for (float& logit : logits) logit = std::uniform_real_distribution<float>(0, 1)(random);
    // Ends are preferred, so that texts stay short.
    for (const char* end : {"\"", "}", "\"}", "]", "]}"}) {
      if (const auto id = tokenizer.token_to_id(end)) logits[static_cast<size_t>(*id)] = 2;
    }
    request.constraint->mask(logits);
    const auto best = std::ranges::max_element(logits);
    if (!std::isfinite(*best)) break;
    chosen.push_back(static_cast<int32_t>(best - logits.begin()));
    request.constraint->accept(chosen.back());
  }
  EXPECT_TRUE(request.constraint->can_end());
  return tokenizer.decode(chosen, false);
}

// Every format whose calls are JSON, with two tools of which one or any is to be called.
TEST_F(ToolsTest, ForcedCallsAreValid) {
  const auto tools = OrderedJson::parse(R"([
      {"type": "function", "function": {"name": "weather", "parameters": {"type": "object",
        "properties": {"city": {"$ref": "#/$defs/city"}, "days": {"type": "integer"}},
        "required": ["city", "days"], "additionalProperties": false,
        "$defs": {"city": {"enum": ["Kiel", "Bonn"]}}}}},
      {"type": "function", "function": {"name": "clock", "parameters": {"type": "object",
        "properties": {"zone": {"type": "string", "maxLength": 5}},
        "required": ["zone"], "additionalProperties": false}}}])");
  const OrderedJson named = {{"type", "function"}, {"function", {{"name", "weather"}}}};
  std::mt19937 random(3);
  for (const std::string_view name : call_format_names()) {
    serve(name);
    for (const OrderedJson& choice : {named, OrderedJson("required")}) {
      answer("x");
      json(kChat,
           chat_body({{"tools", tools}, {"tool_choice", choice}, {"parallel_tool_calls", false}}));
      const auto& request = engine.requests.back();
      ASSERT_NE(request.constraint, nullptr) << name;
      OutputFormat format = {find_call_format(name), nullptr};
      const CallRest rest = call_frame(*format.calls, "weather").rest;
      const bool is_json =
          rest != CallRest::free && (choice == named || rest != CallRest::arguments);
      if (!is_json) continue;
      const std::string text = random_answer(request, *tokenizer, random);
      const auto parser = make_output_parser(format, {{{"weather"}, {"clock"}}, false});
      auto events = parser->push(text);
      for (auto& event : parser->finish()) events.push_back(event);
      ASSERT_EQ(events.size(), 3u) << name << ": " << text;
      const auto arguments = OrderedJson::parse(events[1].text);
      if (choice == named) EXPECT_EQ(events[0].text, "weather");
      if (events[0].text == "weather") {
        EXPECT_TRUE(arguments["city"] == "Kiel" || arguments["city"] == "Bonn") << text;
        EXPECT_TRUE(arguments["days"].is_number_integer()) << text;
      } else {
        EXPECT_EQ(events[0].text, "clock");
        EXPECT_TRUE(arguments["zone"].is_string()) << text;
      }
      EXPECT_EQ(arguments.size(), events[0].text == "weather" ? 2u : 1u);
    }
  }
}

TEST_F(ToolsTest, ForcedCallsComeAfterReasoning) {
  answer("x");
  json(kChat, chat_body({{"tool_choice", "required"}, {"reasoning_effort", "low"}}));
  const auto& constraint = *engine.requests.back().constraint;
  EXPECT_FALSE(constraint.can_end());
  const auto say = [&](const std::string& text) {
    const auto tokens = tokenizer->encode(text, {.add_bos_eos = false});
    for (const int32_t token : *tokens) {
      engine.requests.back().constraint->accept(token);
    }
  };
  say("Hm.</think>");
  say("<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}");
  EXPECT_TRUE(constraint.is_finished());
}

TEST_F(ToolsTest, Errors) {
  const auto param = [&](const std::string& path, const OrderedJson& body) -> std::string {
    const auto error = json(path, body, 400)["error"];
    return error.value("param", error["message"].get<std::string>());
  };
  const auto with_tools = [](const char* tools) {
    return chat_body({{"tools", OrderedJson::parse(tools)}});
  };
  EXPECT_EQ(param(kChat, with_tools("[1]")), "tools[0]");
  EXPECT_EQ(param(kChat, with_tools(R"([{"type": "web_search"}])")), "tools[0].type");
  EXPECT_EQ(param(kChat, with_tools(R"([{"type": "function"}])")), "tools[0].function");
  EXPECT_EQ(param(kChat, with_tools(R"([{"type": "function", "function": {"name": "a b"}}])")),
            "tools[0]");
  EXPECT_EQ(param(kChat, with_tools(R"([{"type": "function", "function": {"name": "a",
                                         "parameters": 5}}])")),
            "tools[0].parameters");
  EXPECT_EQ(param(kChat, with_tools(R"([{"type": "function", "function": {"name": "a"}},
                                        {"type": "function", "function": {"name": "a"}}])")),
            "tools[1]");
  EXPECT_EQ(param(kChat, chat_body({{"tool_choice", "sometimes"}})), "tool_choice");
  EXPECT_EQ(
      param(kChat,
            chat_body({{"tool_choice", {{"type", "function"}, {"function", {{"name", "b"}}}}}})),
      "tool_choice");
  EXPECT_EQ(param(kChat, chat_body({{"tools", nullptr}, {"tool_choice", "required"}})),
            "tool_choice");
  const auto with_message = [](const char* message) {
    OrderedJson body = chat_body();
    body["messages"].push_back(OrderedJson::parse(message));
    return body;
  };
  EXPECT_EQ(param(kChat, with_message(R"({"role": "assistant", "tool_calls": 5})")),
            "messages[1].tool_calls");
  EXPECT_EQ(param(kChat, with_message(R"({"role": "assistant", "tool_calls": [{"id": "a"}]})")),
            "messages[1].tool_calls[0]");
  EXPECT_EQ(param(kChat, with_message(R"({"role": "assistant",
                                          "tool_calls": [{"id": "a", "function": {}}]})")),
            "messages[1].tool_calls[0].function.name");
  const auto input = [](const char* item) {
    return OrderedJson{{"input", OrderedJson::array({OrderedJson::parse(item)})}};
  };
  EXPECT_EQ(param("/v1/responses", input(R"({"type": "function_call"})")), "input[0].call_id");
  EXPECT_EQ(param("/v1/responses", input(R"({"type": "item_reference"})")), "input[0].type");
  EXPECT_EQ(param(kChat, chat_body({{"tool_choice", "required"},
                                    {"response_format", {{"type", "json_object"}}}})),
            "tool_choice");
  EXPECT_EQ(param(kChat, chat_body({{"tool_choice", "required"},
                                    {"tools", OrderedJson::parse(R"([{"type": "function",
                                        "function": {"name": "a", "parameters": {"not": {}}}}])")}})),
            "tools");
  EXPECT_TRUE(engine.requests.empty());
}

}  // namespace
}  // namespace lotse
