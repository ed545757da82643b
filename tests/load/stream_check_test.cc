// Streams that keep to the conventions, and each way to break one.
#include "load/stream_check.h"

#include <gtest/gtest.h>

#include <string>

namespace lotse {
namespace {

using Time = StreamCheck::Time;

std::string event(const std::string& data) { return "data: " + data + "\n\n"; }

std::string chunk(const std::string& choices, const std::string& more = "",
                  const std::string& id = "a") {
  return event(R"({"id":")" + id + R"(","object":"text_completion","choices":[)" + choices + "]" +
               more + "}");
}
std::string text(const std::string& t) { return R"({"index":0,"text":")" + t + R"("})"; }

const std::string kFinish = chunk(R"({"index":0,"text":"","finish_reason":"length"})");
const std::string kUsage = chunk("", R"(,"usage":{"prompt_tokens":4,"completion_tokens":2,)"
                                     R"("prompt_tokens_details":{"cached_tokens":3}})");
const std::string kDone = event("[DONE]");
const std::string kGood = chunk(text("x")) + chunk(text("y")) + kFinish + kUsage + kDone;

StreamCheck check(const std::string& stream, bool is_chat = false) {
  StreamCheck result(is_chat, 2);
  result.push(stream, Time());
  result.finish();
  return result;
}

TEST(StreamCheck, GoodStreams) {
  const StreamCheck good = check(kGood);
  EXPECT_EQ(good.breach(), "");
  EXPECT_EQ(good.failure(), "");
  EXPECT_EQ(good.text_times().size(), 2u);
  EXPECT_EQ(good.prompt_tokens(), 4);
  EXPECT_EQ(good.completion_tokens(), 2);
  EXPECT_EQ(good.cached_tokens(), 3);
  EXPECT_EQ(check(": ping\n\n" + kGood).breach(), "");
}

TEST(StreamCheck, Chat) {
  const auto delta = [](const std::string& d, const std::string& finish = "null") {
    return event(R"({"id":"a","object":"chat.completion.chunk","choices":[{"index":0,"delta":)" +
                 d + R"(,"finish_reason":)" + finish + "}]}");
  };
  const std::string usage = event(R"({"id":"a","object":"chat.completion.chunk","choices":[],)"
                                  R"("usage":{"prompt_tokens":4,"completion_tokens":2}})");
  const StreamCheck good =
      check(delta(R"({"role":"assistant","content":""})") + delta(R"({"content":"x"})") +
                delta(R"({"reasoning":"y"})") + delta("{}", R"("stop")") + usage + kDone,
            true);
  EXPECT_EQ(good.breach(), "");
  EXPECT_EQ(good.text_times().size(), 2u);
}

// However a stream is cut into reads, and with either end of lines, it is the same.
TEST(StreamCheck, Splits) {
  std::string carriage;
  for (const char c : kGood) carriage += c == '\n' ? "\r\n" : std::string(1, c);
  for (const std::string& stream : {kGood, carriage}) {
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
      StreamCheck parts(false, 2);
      parts.push(stream.substr(0, cut), Time());
      parts.push(stream.substr(cut), Time(std::chrono::seconds(1)));
      parts.finish();
      ASSERT_EQ(parts.breach(), "") << cut;
      ASSERT_EQ(parts.text_times().size(), 2u);
      ASSERT_LE(parts.text_times()[0], parts.text_times()[1]);
    }
  }
}

TEST(StreamCheck, Breaches) {
  const std::string x = chunk(text("x"));
  const std::pair<std::string, std::string> cases[] = {
      {"", "no [DONE]"},
      {x + kFinish + kUsage, "no [DONE]"},
      {kGood + kDone, "more than one [DONE]"},
      {kGood + x, "an event after [DONE]"},
      {x + kUsage + kDone, "no finish_reason"},
      {x + kFinish + kFinish + kUsage + kDone, "more than one finish_reason"},
      {x + kFinish + x + kUsage + kDone, "text after finish_reason"},
      {x + kFinish + kDone, "no usage, though include_usage was asked for"},
      {x + kFinish + chunk("", R"(,"usage":{})") + kDone, "usage without counts"},
      {x + chunk(text("y"), "", "b") + kFinish + kUsage + kDone,
       "an id that changes or is missing"},
      {event("{") + kGood, "an event that is no JSON"},
      {event("3") + kGood, "an id that changes or is missing"},
      {event(R"({"id":"a","object":"x","choices":[]})") + kGood,
       "another \"object\" than the API's"},
      {event(R"({"id":"a","object":"text_completion"})") + kGood, "a chunk without choices"},
      {kGood + "data: ", "a stream that ends within an event"},
      {x + kFinish + chunk("", R"(,"usage":{"prompt_tokens":4,"completion_tokens":3})") + kDone,
       "more tokens than max_tokens"},
  };
  for (const auto& [stream, breach] : cases) EXPECT_EQ(check(stream).breach(), breach) << stream;
  EXPECT_EQ(check(kGood, true).breach(), "another \"object\" than the API's");
}

TEST(StreamCheck, FailuresInMidStream) {
  const StreamCheck failed = check(chunk(text("x")) + "event: error\n" +
                                   event(R"({"error":{"message":"the device failed"}})"));
  EXPECT_EQ(failed.failure(), "the device failed");
  EXPECT_EQ(failed.breach(), "");
  EXPECT_EQ(check(event(R"({"error":"odd"})")).failure(), R"({"error":"odd"})");
}

}  // namespace
}  // namespace lotse
