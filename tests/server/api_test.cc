// The API with an engine that answers what it is told to: shapes, streams, errors, cancellation.
#include "server/api.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <thread>

#include "tests/server/fakes.h"

namespace lotse {
namespace {

const std::filesystem::path kModel = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";

class ApiTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto checkpoint = open_checkpoint(kModel);
    ASSERT_TRUE(checkpoint) << checkpoint.error().message;
    tokenizer = *Tokenizer::load(kModel);
    chat = *Chat::load(*checkpoint);
    start({});
    serve();
  }

  void start(ApiOptions options) {
    options.version = "1.2.3";
    options.log = [this](const std::string& line) {
      const std::scoped_lock lock(log_mutex);
      log += line + "\n";
    };
    api.reset();
    models.emplace(std::vector{ModelSource{"nano", {}, true, [this] { return loaded(); }}},
                   ModelRegistryOptions());
    api.emplace(std::move(options), *models);
  }

  LoadedModel loaded() {
    return {nullptr,
            {{"nano", engine, *tokenizer, &*chat, 64, 2048, {}, 1234, longest_token(*tokenizer)}}};
  }

  void serve() {
    models->start({});
    while (!models->is_ready()) std::this_thread::yield();
  }

  std::vector<int32_t> tokens(const std::string& text) {
    return *tokenizer->encode(text, {.add_bos_eos = false, .parse_special = false});
  }

  // A whole request through refuse() and handle(), as the HTTP server calls them.
  std::shared_ptr<FakeExchange> send(const std::string& method, const std::string& path,
                                     const std::string& body, HttpHeaders headers = {}) {
    headers.emplace_back("content-type", "application/json");
    auto exchange =
        std::make_shared<FakeExchange>(HttpHead{method, path, std::move(headers)}, body);
    if (auto refused = api->refuse(exchange->head())) {
      exchange->respond(*std::move(refused));
    } else {
      api->handle(exchange);
    }
    return exchange;
  }

  std::shared_ptr<FakeExchange> ask(const std::string& path, const OrderedJson& body) {
    auto exchange = send("POST", path, body.dump());
    exchange->wait();
    return exchange;
  }

  OrderedJson json(const std::string& path, const OrderedJson& body, int status = 200) {
    const auto exchange = ask(path, body);
    EXPECT_EQ(exchange->response.status, status) << exchange->response.body;
    return OrderedJson::parse(exchange->response.body);
  }

  // The data of each event, [DONE] included; checks the framing.
  std::vector<std::string> events(const FakeExchange& exchange) {
    EXPECT_TRUE(exchange.is_stream) << exchange.response.body;
    EXPECT_TRUE(exchange.response.content_type.starts_with("text/event-stream"));
    std::vector<std::string> result;
    std::string rest = exchange.response.body;
    while (!rest.empty()) {
      const size_t end = rest.find("\n\n");
      if (end == std::string::npos) throw std::runtime_error("an event without end: " + rest);
      std::string event = rest.substr(0, end);
      if (event.starts_with("event: error\n")) event.erase(0, std::string("event: error\n").size());
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      EXPECT_EQ(event.find('\n'), std::string::npos) << event;
      result.push_back(event.substr(6));
      rest.erase(0, end + 2);
    }
    return result;
  }

  static OrderedJson question(OrderedJson more = OrderedJson::object()) {
    OrderedJson body = {{"model", "nano"},
                        {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
    body.update(more);
    return body;
  }

  FakeEngine engine;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<Chat> chat;
  std::mutex log_mutex;
  std::string log;
  std::optional<ModelRegistry> models;
  std::optional<Api> api;  // last: its thread uses the others
};

TEST_F(ApiTest, Chat) {
  engine.answer = tokens("Hi, how are you?");
  engine.cached_tokens = 3;
  const auto answer = json("/v1/chat/completions", question());
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_TRUE(answer["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(answer["model"], "nano");
  const auto& choice = answer["choices"][0];
  EXPECT_EQ(choice["message"],
            (OrderedJson{{"role", "assistant"}, {"content", "Hi, how are you?"}}));
  EXPECT_EQ(choice["finish_reason"], "stop");
  const auto& usage = answer["usage"];
  const auto& prompt = engine.requests[0].prompt;
  EXPECT_EQ(prompt, *chat->encode(*tokenizer, {{"user", "Hello"}}));
  EXPECT_EQ(usage["prompt_tokens"], prompt.size());
  EXPECT_EQ(usage["completion_tokens"], engine.answer.size());
  EXPECT_EQ(usage["total_tokens"], prompt.size() + engine.answer.size());
  EXPECT_EQ(usage["prompt_tokens_details"]["cached_tokens"], 3);
}

// lm-evaluation-harness takes the last log-probability for the generated token's.
TEST_F(ApiTest, ScoredPromptsHaveTheEndTokenThatFollowsThem) {
  engine.stop_logprob = GeneratedToken{7, -0.25F, {{7, -0.25F}}};
  const OrderedJson body = {{"prompt", {10, 20, 30}}, {"echo", true}, {"max_tokens", 1}};
  OrderedJson scored = body;
  scored["logprobs"] = 1;
  const auto choice = json("/v1/completions", scored)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "stop");
  ASSERT_EQ(choice["logprobs"]["token_logprobs"].size(), 4u);
  EXPECT_EQ(choice["logprobs"]["token_logprobs"][3], -0.25);
  const std::string prompt = tokenizer->decode(std::vector<int32_t>{10, 20, 30}, true);
  EXPECT_EQ(choice["text"], prompt);
  // The prompt is there without log-probabilities, too.
  EXPECT_EQ(json("/v1/completions", body)["choices"][0]["text"], prompt);
}

TEST_F(ApiTest, OtherHostsAndOriginsAreRefused) {
  ApiOptions options;
  options.checks_host = true;
  options.allowed_hosts = {"nano.lan"};
  options.cors_origins = {"https://app.example"};
  start(std::move(options));
  serve();
  const auto status = [&](const std::string& method, const std::string& path, HttpHeaders headers) {
    return send(method, path, R"({"prompt": "a"})", std::move(headers))->response.status;
  };
  EXPECT_EQ(status("GET", "/health", {{"host", "localhost:8000"}}), 200);
  EXPECT_EQ(status("GET", "/health", {}), 200);
  EXPECT_EQ(status("GET", "/health", {{"host", "NANO.lan.:80"}}), 200);
  EXPECT_EQ(status("GET", "/health", {{"host", "evil.example"}}), 403);
  EXPECT_EQ(status("GET", "/", {{"host", "evil.example"}}), 403);
  // What a browser asks before it sends.
  EXPECT_EQ(status("OPTIONS", "/v1/completions", {{"host", "evil.example"}}), 403);
  EXPECT_EQ(status("OPTIONS", "/v1/completions", {{"origin", "https://evil.example"}}), 204);
  for (const std::string origin : {"https://evil.example", "null", "https://app.example.evil"}) {
    const auto exchange =
        send("POST", "/v1/completions", "{}", {{"host", "localhost"}, {"origin", origin}});
    EXPECT_EQ(exchange->response.status, 403) << origin;
    EXPECT_NE(exchange->response.body.find("origin_not_allowed"), std::string::npos);
  }
  EXPECT_TRUE(engine.requests.empty());
}

// Keys are the better guard: with them, no request is refused for where it comes from.
TEST_F(ApiTest, KeysReplaceTheCheckOfOrigins) {
  ApiOptions options;
  options.keys = ApiKeys::from({"some-key-1"});
  start(std::move(options));
  serve();
  const auto exchange = send("POST", "/tokenize", R"({"prompt": "a"})",
                             {{"origin", "https://app.example"}, {"x-api-key", "some-key-1"}});
  exchange->wait();
  EXPECT_EQ(exchange->response.status, 200);
}

TEST_F(ApiTest, ChatStream) {
  engine.answer = tokens("Hi, how are you?");
  const auto exchange = ask("/v1/chat/completions", question({{"stream", true}}));
  const auto data = events(*exchange);
  ASSERT_EQ(data.size(), engine.answer.size() + 3);
  EXPECT_EQ(data.back(), "[DONE]");
  std::string text;
  std::set<std::string> ids;
  int finishes = 0;
  for (size_t i = 0; i + 1 < data.size(); ++i) {
    const auto chunk = OrderedJson::parse(data[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_FALSE(chunk.contains("usage"));
    ids.insert(chunk["id"].get<std::string>() + chunk["created"].dump());
    const auto& choice = chunk["choices"][0];
    EXPECT_EQ(choice["delta"].contains("role"), i == 0);
    if (i == 0) EXPECT_EQ(choice["delta"]["content"], "");
    if (choice["delta"].contains("content")) text += choice["delta"]["content"];
    if (!choice["finish_reason"].is_null()) {
      ++finishes;
      EXPECT_EQ(i + 2, data.size());
      EXPECT_EQ(choice["delta"], OrderedJson::object());
    }
  }
  EXPECT_EQ(text, "Hi, how are you?");
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(finishes, 1);
}

TEST_F(ApiTest, StreamWithUsage) {
  engine.answer = tokens("one two");
  auto data =
      events(*ask("/v1/chat/completions",
                  question({{"stream", true}, {"stream_options", {{"include_usage", true}}}})));
  data.pop_back();
  const auto last = OrderedJson::parse(data.back());
  EXPECT_EQ(last["choices"], OrderedJson::array());
  EXPECT_EQ(last["usage"]["completion_tokens"], engine.answer.size());
  data.pop_back();
  for (const auto& chunk : data) EXPECT_TRUE(OrderedJson::parse(chunk)["usage"].is_null());

  data = events(*ask(
      "/v1/completions",
      {{"prompt", "a"}, {"stream", true}, {"stream_options", {{"continuous_usage_stats", true}}}}));
  data.pop_back();
  int64_t before = 0;
  for (const auto& chunk : data) {
    const int64_t now = OrderedJson::parse(chunk)["usage"]["completion_tokens"];
    EXPECT_GE(now, before);
    before = now;
  }
  EXPECT_EQ(before, std::ssize(engine.answer));
}

TEST_F(ApiTest, StopStrings) {
  engine.answer = tokens("red green blue");
  for (const bool stream : {false, true}) {
    const OrderedJson body = {{"prompt", "x"}, {"stop", {"een"}}, {"stream", stream}};
    std::string text;
    OrderedJson last;
    if (stream) {
      auto data = events(*ask("/v1/completions", body));
      data.pop_back();
      for (const auto& chunk : data) {
        last = OrderedJson::parse(chunk)["choices"][0];
        text += last["text"];
      }
    } else {
      last = json("/v1/completions", body)["choices"][0];
      text = last["text"];
    }
    EXPECT_EQ(text, "red gr");
    EXPECT_EQ(last["finish_reason"], "stop");
    EXPECT_EQ(last["stop_reason"], "een");
  }
  const auto kept = json("/v1/completions",
                         {{"prompt", "x"}, {"stop", "een"}, {"include_stop_str_in_output", true}});
  EXPECT_EQ(kept["choices"][0]["text"], "red green");
}

TEST_F(ApiTest, SeveralAnswersHaveSeedsOfTheirOwn) {
  engine.answer = tokens("x");
  const auto answer =
      json("/v1/completions", {{"prompt", {"a", "b"}}, {"n", 3}, {"seed", -7}, {"temperature", 1}});
  ASSERT_EQ(answer["choices"].size(), 6u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(answer["choices"][i]["index"], i);
  std::set<uint64_t> seeds;
  for (const auto& request : engine.requests) seeds.insert(request.sampling.seed);
  EXPECT_EQ(seeds.size(), 3u);
  EXPECT_EQ(engine.requests[0].sampling.seed, static_cast<uint64_t>(int64_t{-7}));
  EXPECT_EQ(engine.requests[0].sampling.seed, engine.requests[3].sampling.seed);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 2);
}

TEST_F(ApiTest, FieldsReachTheEngine) {
  engine.answer = tokens("x");
  json("/v1/completions", {{"prompt", {5, 6, 7}},
                           {"max_tokens", 9},
                           {"min_tokens", 2},
                           {"temperature", 0.5},
                           {"top_p", 0.25},
                           {"top_k", -1},
                           {"min_p", 0.125},
                           {"repetition_penalty", 1.5},
                           {"presence_penalty", -1},
                           {"frequency_penalty", 2},
                           {"ignore_eos", true},
                           {"stop_token_ids", {1, 2}},
                           {"logit_bias", {{"12", -100}, {"13", 1.5}}},
                           {"allowed_token_ids", {3, 4}},
                           {"priority", -4},
                           {"truncate_prompt_tokens", 2},
                           {"cache_salt", "pepper"}});
  const GenerationRequest& r = engine.requests.at(0);
  EXPECT_EQ(r.prompt, (std::vector<int32_t>{6, 7}));
  EXPECT_EQ(r.max_tokens, 9);
  EXPECT_EQ(r.min_tokens, 2);
  EXPECT_EQ(r.sampling.temperature, 0.5F);
  EXPECT_EQ(r.sampling.top_p, 0.25F);
  EXPECT_EQ(r.sampling.top_k, 0);
  EXPECT_EQ(r.sampling.min_p, 0.125F);
  EXPECT_EQ(r.sampling.repetition_penalty, 1.5F);
  EXPECT_EQ(r.sampling.presence_penalty, -1);
  EXPECT_EQ(r.sampling.frequency_penalty, 2);
  EXPECT_TRUE(r.ignore_eos);
  EXPECT_EQ(r.stop_tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(r.logit_bias, (std::vector<std::pair<int32_t, float>>{{12, -100.0F}, {13, 1.5F}}));
  EXPECT_EQ(r.allowed_tokens, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(r.priority, -4);
  EXPECT_EQ(r.cache_salt, "pepper");
}

TEST_F(ApiTest, EchoAndLogprobs) {
  engine.answer = {300};
  const auto answer =
      json("/v1/completions",
           {{"prompt", {10, 20, 30}}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 1}});
  const auto& choice = answer["choices"][0];
  const std::vector<int32_t> all = {10, 20, 30, 300};
  EXPECT_EQ(choice["text"], tokenizer->decode(all, true));
  const auto& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["token_logprobs"], OrderedJson::parse("[null, -2.0, -2.0, -0.5]"));
  EXPECT_EQ(logprobs["tokens"].size(), 4u);
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["text_offset"][0], 0);

  const auto scored =
      json("/v1/completions",
           {{"prompt", {10, 20, 30}}, {"echo", true}, {"logprobs", 0}, {"max_tokens", 0}});
  EXPECT_EQ(scored["choices"][0]["logprobs"]["tokens"].size(), 3u);
  EXPECT_EQ(scored["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
}

TEST_F(ApiTest, ChatLogprobs) {
  engine.answer = tokens("Hi");
  const auto answer =
      json("/v1/chat/completions", question({{"logprobs", true}, {"top_logprobs", 2}}));
  const auto& content = answer["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), engine.answer.size());
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 2u);
  std::string text;
  for (const auto& item : content) {
    for (const auto& byte : item["bytes"]) text += static_cast<char>(byte.get<int>());
  }
  EXPECT_EQ(text, "Hi");
  const auto refused = json("/v1/chat/completions", question({{"top_logprobs", 2}}), 400);
  EXPECT_EQ(refused["error"]["param"], "top_logprobs");
}

TEST_F(ApiTest, ContinuesTheLastMessage) {
  OrderedJson body = question({{"continue_final_message", true}});
  body["messages"].push_back({{"role", "assistant"}, {"content", "I am"}});
  engine.answer = tokens("x");
  json("/v1/chat/completions", body);
  const std::string prompt = tokenizer->decode(engine.requests[0].prompt, false);
  EXPECT_TRUE(prompt.ends_with("I am")) << prompt;
  body["add_generation_prompt"] = true;
  EXPECT_EQ(json("/v1/chat/completions", body, 400)["error"]["param"], "continue_final_message");
}

TEST_F(ApiTest, Errors) {
  const auto expect = [&](const std::string& path, const OrderedJson& body, int status,
                          const OrderedJson& param) {
    const auto answer = json(path, body, status);
    const auto& error = answer["error"];
    EXPECT_EQ(answer.size(), 1u);
    EXPECT_EQ(error.size(), 4u);
    EXPECT_TRUE(error["message"].is_string());
    EXPECT_EQ(error["type"], status == 404 ? "not_found_error" : "invalid_request_error");
    EXPECT_EQ(error["param"], param) << error;
    return error;
  };
  EXPECT_EQ(expect("/v1/chat/completions", question({{"model", "other"}}), 404, "model")["code"],
            "model_not_found");
  expect("/v1/completions", {{"prompt", OrderedJson::array()}}, 400, "prompt");
  expect("/v1/completions", {{"prompt", {1, 5000}}}, 400, "prompt");
  expect("/v1/completions", {{"prompt", {1, -1}}}, 400, "prompt");
  expect("/v1/completions", {{"prompt", {{{"a", 1}}}}}, 400, "prompt");
  expect("/v1/completions", {{"prompt", "x"}, {"stop", {""}}}, 400, "stop");
  expect("/v1/completions", {{"prompt", "x"}, {"logit_bias", {{"x", 1}}}}, 400, "logit_bias");
  expect("/v1/completions", {{"prompt", "x"}, {"logit_bias", {{"1", 101}}}}, 400, "logit_bias");
  expect("/v1/completions", {{"prompt", "x"}, {"n", 0}}, 400, "n");
  expect("/v1/completions", {{"prompt", {"a", "b", "c"}}, {"n", 128}}, 400, "n");
  expect("/v1/completions", {{"prompt", "x"}, {"allowed_token_ids", {4000}}}, 400,
         "allowed_token_ids");
  expect("/v1/chat/completions", question({{"stream_options", OrderedJson::object()}}), 400,
         "stream_options");
  expect("/v1/chat/completions", {{"messages", {{{"role", "king"}}}}}, 400, "messages[0].role");
  expect("/v1/chat/completions",
         {{"messages", {{{"role", "user"}, {"content", {{{"type", "image_url"}}}}}}}}, 400,
         "messages[0].content");
  const auto long_prompt =
      expect("/v1/completions", {{"prompt", std::vector<int>(80, 1)}}, 400, "prompt");
  EXPECT_EQ(long_prompt["code"], "context_length_exceeded");
  EXPECT_NE(long_prompt["message"].get<std::string>().find("80 tokens"), std::string::npos);
  EXPECT_NE(long_prompt["message"].get<std::string>().find("context of 64"), std::string::npos);
  EXPECT_TRUE(engine.requests.empty());
}

TEST_F(ApiTest, BodiesThatAreNoJson) {
  for (const std::string& body :
       {std::string("{"), std::string("[]"), std::string("{\"prompt\":\"\xff\"}"),
        std::string(1000, '[') + std::string(1000, ']'), std::string("{\"n\":1e999}"),
        std::string("{\"prompt\":\"a\",\"prompt\":\"b\"}"), std::string("null")}) {
    const auto exchange = send("POST", "/v1/completions", body);
    exchange->wait();
    EXPECT_EQ(exchange->response.status, 400) << body.substr(0, 40);
  }
}

TEST_F(ApiTest, QueueFull) {
  engine.answer = tokens("x");
  engine.refusal = Error{ErrorCode::limit, "the queue is full: 2 requests wait"};
  engine.refuse_after = 2;
  const auto exchange = ask("/v1/completions", {{"prompt", "x"}, {"n", 3}});
  EXPECT_EQ(exchange->response.status, 429);
  EXPECT_FALSE(exchange->is_stream);
  bool has_retry = false;
  for (const auto& [name, value] : exchange->response.headers) has_retry |= name == "Retry-After";
  EXPECT_TRUE(has_retry);
  // Those that were taken already are given up.
  EXPECT_EQ(engine.cancelled, (std::vector<RequestId>{1, 2}));
}

TEST_F(ApiTest, DisconnectCancels) {
  engine.is_silent = true;
  const auto exchange = send("POST", "/v1/completions", R"({"prompt":"x","n":2,"stream":true})");
  for (int i = 0; i < 2000 && !exchange->is_stream; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  exchange->disconnect();
  EXPECT_EQ(engine.cancelled, (std::vector<RequestId>{1, 2}));
  // The engine's last words come later, and change nothing.
  RequestOutcome outcome;
  outcome.reason = FinishReason::cancelled;
  for (const auto& sink : engine.sinks) sink->on_end(outcome);
  engine.sinks.clear();
  EXPECT_EQ(exchange->response.body, "");
}

TEST_F(ApiTest, FailureInMidStream) {
  engine.answer = tokens("half an");
  engine.reason = FinishReason::error;
  engine.error = Error{ErrorCode::io, "the device is lost"};
  const auto exchange = ask("/v1/chat/completions", question({{"stream", true}}));
  const auto data = events(*exchange);
  EXPECT_EQ(data.back(), "[DONE]");
  const auto error = OrderedJson::parse(data[data.size() - 2])["error"];
  EXPECT_NE(error["message"].get<std::string>().find("the device is lost"), std::string::npos);
  EXPECT_NE(exchange->response.body.find("event: error\n"), std::string::npos);
}

TEST_F(ApiTest, HealthFollowsTheModel) {
  start({});
  const auto status = [&](const std::string& path) {
    const auto exchange = send("GET", path, "");
    exchange->wait();
    return exchange->response.status;
  };
  EXPECT_EQ(status("/health"), 503);
  EXPECT_EQ(status("/health/live"), 200);
  EXPECT_EQ(send("POST", "/v1/completions", "{}")->response.status, 503);
  serve();
  EXPECT_EQ(status("/health"), 200);
  EXPECT_EQ(status("/v1/models/nano"), 200);
  EXPECT_EQ(status("/v1/models/other"), 404);
  EXPECT_EQ(status("/v1/elsewhere"), 404);
  EXPECT_EQ(status("/v1/completions"), 405);
  EXPECT_EQ(status("/metrics"), 200);
  api->drain();
  EXPECT_EQ(status("/health"), 503);
  EXPECT_EQ(status("/health/live"), 200);
  EXPECT_EQ(send("POST", "/v1/completions", "{}")->response.status, 503);
}

TEST_F(ApiTest, KeysGuardEverythingButHealth) {
  ApiOptions options;
  options.keys = ApiKeys::from({"first-key", "second-key"});
  start(std::move(options));
  serve();
  engine.answer = tokens("x");
  for (const Endpoint& endpoint : endpoints()) {
    const auto exchange = send(endpoint.method, endpoint.path, "{}");
    EXPECT_EQ(exchange->response.status == 401, !endpoint.is_open) << endpoint.path;
  }
  EXPECT_EQ(send("GET", "/nowhere", "")->response.status, 401);
  const std::string body = R"({"prompt":"a secret prompt","cache_salt":"salt"})";
  for (const HttpHeaders& headers : {HttpHeaders{{"authorization", "Bearer second-key"}},
                                     HttpHeaders{{"x-api-key", "first-key"}}}) {
    const auto exchange = send("POST", "/v1/completions", body, headers);
    exchange->wait();
    EXPECT_EQ(exchange->response.status, 200);
  }
  for (const char* wrong :
       {"Bearer second-ke", "Bearer second-key2", "Bearer ", "second-key", ""}) {
    EXPECT_EQ(send("POST", "/v1/completions", body, {{"authorization", wrong}})->response.status,
              401);
  }
  // Prefixes are not shared between keys.
  EXPECT_NE(engine.requests[0].cache_salt, engine.requests[1].cache_salt);
  const std::scoped_lock lock(log_mutex);
  EXPECT_EQ(log.find("secret"), std::string::npos);
  EXPECT_EQ(log.find("second-key"), std::string::npos);
}

TEST_F(ApiTest, UnknownFieldsAreLoggedOnce) {
  engine.answer = tokens("x");
  for (int i = 0; i < 3; ++i) json("/v1/completions", {{"prompt", "x"}, {"sparkle", true}});
  const std::scoped_lock lock(log_mutex);
  const size_t first = log.find("sparkle");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("sparkle", first + 1), std::string::npos);
}

TEST_F(ApiTest, CrossOriginOnlyWhereAllowed) {
  const auto allowed = [&] {
    const auto exchange = send("OPTIONS", "/v1/completions", "", {{"origin", "https://a.example"}});
    for (const auto& [name, value] : exchange->response.headers) {
      if (name == "Access-Control-Allow-Origin") return value;
    }
    return std::string();
  };
  EXPECT_EQ(allowed(), "");
  ApiOptions options;
  options.cors_origins = {"https://b.example"};
  start(options);
  EXPECT_EQ(allowed(), "");
  options.cors_origins = {"https://b.example", "https://a.example"};
  start(options);
  EXPECT_EQ(allowed(), "https://a.example");
  // A page that does not ask first cannot send JSON.
  auto exchange = std::make_shared<FakeExchange>(
      HttpHead{"POST", "/v1/completions", {{"content-type", "text/plain"}}}, "{}");
  EXPECT_EQ(api->refuse(exchange->head())->status, 415);
}

// The events of a stream whose events have names.
std::vector<OrderedJson> named_events(const std::string& body) {
  std::vector<OrderedJson> result;
  std::istringstream lines(body);
  std::string name, data, empty;
  while (std::getline(lines, name) && std::getline(lines, data) && std::getline(lines, empty)) {
    EXPECT_TRUE(name.starts_with("event: ") && data.starts_with("data: ") && empty.empty());
    result.push_back(OrderedJson::parse(data.substr(6)));
    EXPECT_EQ(result.back()["type"], name.substr(7));
  }
  return result;
}

TEST_F(ApiTest, Messages) {
  engine.answer = tokens("one two three");
  engine.cached_tokens = 2;
  OrderedJson body = {{"system", {{{"type", "text"}, {"text", "Be brief."}}}},
                      {"messages", {{{"role", "user"}, {"content", "Count"}}}},
                      {"max_tokens", 50},
                      {"stop_sequences", {"thr"}}};
  const auto whole = json("/v1/messages", body);
  EXPECT_EQ(engine.requests[0].prompt,
            *chat->encode(*tokenizer, {{"system", "Be brief."}, {"user", "Count"}}));
  EXPECT_EQ(whole["content"], OrderedJson::parse(R"([{"type":"text","text":"one two "}])"));
  EXPECT_EQ(whole["stop_reason"], "stop_sequence");
  EXPECT_EQ(whole["stop_sequence"], "thr");
  EXPECT_EQ(whole["usage"]["input_tokens"], engine.requests[0].prompt.size() - 2);
  EXPECT_EQ(whole["usage"]["cache_read_input_tokens"], 2);

  body["stream"] = true;
  std::vector<std::string> types;
  std::string text;
  for (const auto& event : named_events(ask("/v1/messages", body)->response.body)) {
    const std::string type = event["type"];
    if (types.empty() || types.back() != type) types.push_back(type);
    if (event["type"] == "content_block_delta") text += event["delta"]["text"];
    if (event["type"] == "message_delta") EXPECT_EQ(event["usage"], whole["usage"]);
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                      "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(text, "one two ");

  const auto error = json("/v1/messages", {{"messages", OrderedJson::array()}}, 400);
  EXPECT_EQ(error["type"], "error");
  EXPECT_EQ(error["error"]["type"], "invalid_request_error");
}

TEST_F(ApiTest, MessagesContinueTheAssistants) {
  engine.answer = tokens("x");
  json("/v1/messages",
       {{"messages",
         {{{"role", "user"}, {"content", "Count"}}, {{"role", "assistant"}, {"content", "one"}}}},
        {"max_tokens", 5}});
  EXPECT_TRUE(tokenizer->decode(engine.requests[0].prompt, false).ends_with("one"));
}

TEST_F(ApiTest, Responses) {
  engine.answer = tokens("one two three");
  OrderedJson body = {
      {"input", {{{"role", "user"}, {"content", {{{"type", "input_text"}, {"text", "Count"}}}}}}},
      {"instructions", "Be brief."},
      {"max_output_tokens", 2}};
  const auto whole = json("/v1/responses", body);
  EXPECT_EQ(engine.requests[0].prompt,
            *chat->encode(*tokenizer, {{"system", "Be brief."}, {"user", "Count"}}));
  EXPECT_EQ(whole["object"], "response");
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["usage"]["output_tokens"], 2);
  const std::string expected = whole["output"][0]["content"][0]["text"];
  EXPECT_FALSE(expected.empty());

  body["stream"] = true;
  std::string text;
  const auto events = named_events(ask("/v1/responses", body)->response.body);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence_number"], i);
    if (events[i]["type"] == "response.output_text.delta") text += events[i]["delta"];
  }
  EXPECT_EQ(text, expected);
  EXPECT_EQ(events.front()["type"], "response.created");
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  auto last = events.back()["response"];
  for (const char* part : {"usage", "status", "incomplete_details"}) {
    EXPECT_EQ(last[part], whole[part]);
  }
  EXPECT_EQ(last["output"][0]["content"], whole["output"][0]["content"]);

  EXPECT_EQ(json("/v1/responses", {{"input", {{{"type", "file"}}}}}, 400)["error"]["param"],
            "input[0].type");
}

TEST_F(ApiTest, TokenizeAndBack) {
  const auto ids = json("/tokenize", {{"prompt", "Hello, world"}, {"return_token_strs", true}});
  EXPECT_EQ(ids["count"], ids["tokens"].size());
  EXPECT_EQ(ids["token_strs"].size(), ids["tokens"].size());
  EXPECT_EQ(json("/detokenize", {{"tokens", ids["tokens"]}})["prompt"], "Hello, world");
  const auto rendered = json("/tokenize", question());
  EXPECT_EQ(rendered["tokens"].get<std::vector<int32_t>>(),
            *chat->encode(*tokenizer, {{"user", "Hello"}}));
  EXPECT_EQ(json("/detokenize", {{"tokens", {99999}}}, 400)["error"]["param"], "tokens");
}

}  // namespace
}  // namespace lotse
