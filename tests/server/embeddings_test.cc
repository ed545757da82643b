// /v1/embeddings with an engine that answers what it is told to.
#include "server/embeddings.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/server/fakes.h"

namespace lotse {
namespace {

const std::filesystem::path kNano = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";

class EmbeddingsTest : public testing::Test {
 protected:
  void SetUp() override {
    tokenizer = *Tokenizer::load(kNano);
    engine.embedding = {3, 4, 12};
    serve(true);
  }

  void serve(bool generates) {
    ApiOptions options;
    options.version = "1.2.3";
    api.reset();
    models.emplace(
        std::vector{ModelSource{"nano", {}, true, [=, this] { return loaded(generates); }}},
        ModelRegistryOptions());
    api.emplace(std::move(options), *models);
    models->start({});
    while (!models->is_ready()) std::this_thread::yield();
  }

  LoadedModel loaded(bool generates) {
    ServedModel model{
        "nano", engine, *tokenizer, nullptr, 64, 2048, {}, 1234, longest_token(*tokenizer)};
    model.generates = generates;
    model.embedding = {3, 64, {Pooling::mean, true, 0}};
    return {nullptr, {std::move(model)}};
  }

  std::shared_ptr<FakeExchange> send(const OrderedJson& body,
                                     const std::string& path = "/v1/embeddings") {
    const HttpHead head{"POST", path, {{"content-type", "application/json"}}};
    auto exchange = std::make_shared<FakeExchange>(head, body.dump());
    api->handle(exchange);
    return exchange;
  }

  OrderedJson ask(const OrderedJson& body, int status = 200,
                  const std::string& path = "/v1/embeddings") {
    const auto exchange = send(body, path);
    exchange->wait();
    EXPECT_EQ(exchange->response.status, status) << exchange->response.body;
    return OrderedJson::parse(exchange->response.body);
  }

  std::string refusal(const OrderedJson& body, const char* param) {
    const OrderedJson error = ask(body, 400)["error"];
    EXPECT_EQ(error["param"], param) << error;
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_TRUE(engine.requests.empty());
    return error["message"];
  }

  FakeEngine engine;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ModelRegistry> models;
  std::optional<Api> api;  // last: its thread uses the others
};

TEST_F(EmbeddingsTest, OneText) {
  const OrderedJson answer = ask({{"model", "nano"}, {"input", "Hello"}});
  const auto tokens = *tokenizer->encode("Hello");
  EXPECT_EQ(engine.requests[0].prompt, tokens);
  EXPECT_EQ(engine.requests[0].pooling, Pooling::mean);
  EXPECT_EQ(answer["object"], "list");
  EXPECT_EQ(answer["model"], "nano");
  EXPECT_EQ(answer["data"].size(), 1);
  EXPECT_EQ(answer["data"][0]["object"], "embedding");
  EXPECT_EQ(answer["data"][0]["index"], 0);
  EXPECT_EQ(answer["data"][0]["embedding"].get<std::vector<float>>(),
            (std::vector<float>{3.0F / 13, 4.0F / 13, 12.0F / 13}));
  EXPECT_EQ(answer["usage"],
            (OrderedJson{{"prompt_tokens", tokens.size()}, {"total_tokens", tokens.size()}}));
}

TEST_F(EmbeddingsTest, EveryShapeOfInput) {
  ask({{"input", {"a", "b"}}});
  ask({{"input", {1, 2, 3}}});
  ask({{"input", {{1, 2}, {3}}}});
  ask({{"input", {"a", {7}}}});
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& request : engine.requests) prompts.push_back(request.prompt);
  const auto a = *tokenizer->encode("a");
  const auto b = *tokenizer->encode("b");
  EXPECT_EQ(prompts, (std::vector<std::vector<int32_t>>{a, b, {1, 2, 3}, {1, 2}, {3}, a, {7}}));
}

TEST_F(EmbeddingsTest, FormatsDimensionsAndScale) {
  const auto numbers = [&](OrderedJson more) {
    more["input"] = "x";
    return ask(more)["data"][0]["embedding"].get<std::vector<float>>();
  };
  EXPECT_EQ(numbers({{"dimensions", 2}}), (std::vector<float>{0.6F, 0.8F}));
  EXPECT_EQ(numbers({{"dimensions", 2}, {"normalize", false}}), (std::vector<float>{3, 4}));
  // Every float comes back as it was, whatever its digits.
  engine.embedding = {1e-38F, -0.1F, 16777217.0F / 3};
  EXPECT_EQ(numbers({{"normalize", false}, {"encoding_format", "float"}}), engine.embedding);
  const std::string text = ask({{"input", "x"},
                                {"normalize", false},
                                {"encoding_format", "base64"}})["data"][0]["embedding"];
  ASSERT_EQ(text.size(), 16);
  // By hand: 12 bytes of three fp32, six bits a character.
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t word = 0;
    for (size_t k = 0; k < 4; ++k) {
      word = word << 6 | static_cast<uint32_t>(kAlphabet.find(text[i + k]));
    }
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<uint8_t>(word >> shift));
  }
  std::vector<float> decoded(3);
  std::memcpy(decoded.data(), bytes.data(), 12);
  EXPECT_EQ(decoded, engine.embedding);
}

TEST_F(EmbeddingsTest, RefusalsNameTheField) {
  refusal(OrderedJson::object(), "input");
  refusal({{"input", 3}}, "input");
  refusal({{"input", OrderedJson::array()}}, "input");
  refusal({{"input", {"a", 3}}}, "input");
  refusal({{"input", {true}}}, "input");
  refusal({{"input", {1, "a"}}}, "input");
  refusal({{"input", {{1, -1}}}}, "input[0]");
  refusal({{"input", {{2047}, {2048}}}}, "input[1]");
  refusal({{"input", {{2047}, OrderedJson::array()}}}, "input[1]");
  refusal({{"input", {1.5}}}, "input");
  refusal({{"input", "a"}, {"encoding_format", "int8"}}, "encoding_format");
  refusal({{"input", "a"}, {"dimensions", 0}}, "dimensions");
  EXPECT_EQ(refusal({{"input", "a"}, {"dimensions", 4}}, "dimensions"),
            "dimensions: the model's embeddings have 3, got 4");
  EXPECT_EQ(refusal({{"input", std::vector<std::string>(2049, "a")}}, "input"),
            "input: expected at most 2048 texts, got 2049");
  refusal({{"input", "a"}, {"truncate_prompt_tokens", -2}}, "truncate_prompt_tokens");
}

TEST_F(EmbeddingsTest, LongTextsAreRefusedOrCut) {
  const std::vector<int32_t> tokens(65, 9);
  EXPECT_EQ(refusal({{"input", tokens}}, "input"),
            "input: the text has 65 tokens, and embeddings are of at most 64");
  const std::string text(100'000, 'x');
  EXPECT_EQ(ask({{"input", {"a", text}}}, 400)["error"]["code"], "context_length_exceeded");
  EXPECT_TRUE(engine.requests.empty());
  ask({{"input", tokens}, {"truncate_prompt_tokens", -1}});
  ask({{"input", text}, {"truncate_prompt_tokens", -1}});
  ask({{"input", {1, 2, 3}}, {"truncate_prompt_tokens", 2}});
  ask({{"input", {1, 2, 3}}, {"truncate_prompt_tokens", 1000}});
  EXPECT_EQ(engine.requests[0].prompt.size(), 64);
  EXPECT_EQ(engine.requests[1].prompt.size(), 64);
  EXPECT_EQ(engine.requests[2].prompt, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(engine.requests[3].prompt, (std::vector<int32_t>{1, 2, 3}));
}

TEST_F(EmbeddingsTest, TwoThousandTextsKeepTheirOrder) {
  std::vector<std::vector<int32_t>> texts;
  for (int32_t i = 0; i < 2000; ++i) texts.push_back({i, i + 1});
  const OrderedJson answer = ask({{"input", texts}});
  ASSERT_EQ(answer["data"].size(), 2000);
  for (size_t i = 0; i < 2000; ++i) {
    EXPECT_EQ(answer["data"][i]["index"], i);
    EXPECT_EQ(engine.requests[i].prompt, texts[i]);
  }
  EXPECT_EQ(answer["usage"]["total_tokens"], 4000);
}

// A few at a time, so that others come between them; all that run are cancelled with the client.
TEST_F(EmbeddingsTest, AFewAtATimeUntilTheClientGoes) {
  engine.is_silent = true;
  const auto exchange = send({{"input", std::vector<std::string>(100, "a")}});
  while (true) {
    bool is_full = false;
    exchange->post([&] { is_full = engine.requests.size() == 32; });
    if (is_full) break;
    std::this_thread::yield();
  }
  exchange->post([&] {
    engine.sinks[5]->on_embedding({1, 2, 3});
    engine.sinks[5]->on_end({});
  });
  EXPECT_EQ(engine.requests.size(), 33);
  exchange->disconnect();
  EXPECT_EQ(engine.cancelled.size(), 33);
  engine.sinks[6]->on_end({});
  EXPECT_EQ(engine.requests.size(), 33);
}

TEST_F(EmbeddingsTest, FailuresAreReportedOnce) {
  engine.refusal = Error{ErrorCode::limit, "the queue is full"};
  engine.refuse_after = 2;
  EXPECT_EQ(ask({{"input", {"a", "b", "c", "d"}}}, 429)["error"]["code"], "rate_limit_exceeded");
  engine.refusal.reset();
  engine.reason = FinishReason::error;
  engine.error = Error{ErrorCode::io, "no power"};
  ask({{"input", {"a", "b"}}}, 500);
  engine.reason = FinishReason::stop;
  engine.embedding = {1, std::nanf(""), 0};
  ask({{"input", "a"}}, 500);
}

TEST_F(EmbeddingsTest, AModelOfEmbeddingsWritesNothing) {
  serve(false);
  const OrderedJson messages = {{{"role", "user"}, {"content", "a"}}};
  const std::pair<const char*, OrderedJson> bodies[] = {
      {"/v1/completions", {{"prompt", "a"}}},
      {"/v1/chat/completions", {{"messages", messages}}},
      {"/v1/responses", {{"input", "a"}}},
      {"/v1/messages", {{"messages", messages}, {"max_tokens", 3}}}};
  for (const auto& [path, body] : bodies) {
    EXPECT_EQ(ask(body, 400, path)["error"]["message"],
              "model: \"nano\" makes embeddings and no text; use /v1/embeddings")
        << path;
  }
  EXPECT_TRUE(engine.requests.empty());
  ask({{"input", "a"}});
}

}  // namespace
}  // namespace lotse
