// Trace contexts against the W3C's rules, and spans in OTLP's JSON.
#include "server/trace_context.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "server/span_exporter.h"

namespace lotse {
namespace {

const std::string kExample = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContext, ReadsAndWrites) {
  const auto context = parse_traceparent(kExample);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_hex(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context->span_hex(), "b7ad6b7169203331");
  EXPECT_TRUE(context->is_sampled);
  EXPECT_EQ(traceparent(*context), kExample);
  // Other flags than the one that is known are not passed on.
  EXPECT_FALSE(parse_traceparent(kExample.substr(0, 53) + "02")->is_sampled);
  // A later version may have more fields.
  EXPECT_TRUE(parse_traceparent("cc" + kExample.substr(2) + "-what-the-future-will-be-like"));
  EXPECT_TRUE(parse_traceparent("cc" + kExample.substr(2)));
}

TEST(TraceContext, RefusesWhatIsMalformed) {
  EXPECT_FALSE(parse_traceparent(""));
  for (size_t length = 0; length < kExample.size(); ++length) {
    EXPECT_FALSE(parse_traceparent(kExample.substr(0, length)));
  }
  for (size_t at = 0; at < kExample.size(); ++at) {
    for (const char wrong : {'G', 'F', ' ', '\0', '\xff'}) {
      std::string text = kExample;
      text[at] = wrong;
      EXPECT_FALSE(parse_traceparent(text)) << text;
    }
  }
  EXPECT_FALSE(parse_traceparent("ff" + kExample.substr(2)));
  EXPECT_FALSE(parse_traceparent(kExample + "-more"));
  EXPECT_FALSE(parse_traceparent("cc" + kExample.substr(2) + ".more"));
  EXPECT_FALSE(parse_traceparent("00-" + std::string(32, '0') + kExample.substr(35)));
  EXPECT_FALSE(parse_traceparent(kExample.substr(0, 36) + std::string(16, '0') + "-01"));
}

TEST(TraceContext, SpansAreNewAndTracesGoOn) {
  std::mt19937_64 random(1);
  const auto parent = parse_traceparent(kExample.substr(0, 53) + "00");
  const TraceContext first = new_span(parent, random), second = new_span(parent, random);
  EXPECT_EQ(first.trace_id, parent->trace_id);
  EXPECT_NE(first.span_id, parent->span_id);
  EXPECT_NE(first.span_id, second.span_id);
  EXPECT_FALSE(first.is_sampled);
  const TraceContext root = new_span(std::nullopt, random);
  EXPECT_TRUE(root.is_sampled);
  EXPECT_NE(root.trace_id, new_span(std::nullopt, random).trace_id);
  EXPECT_TRUE(parse_traceparent(traceparent(root)));
}

TEST(Otlp, Json) {
  using namespace std::chrono_literals;
  Span span;
  span.context = *parse_traceparent(kExample);
  span.parent = {1, 2, 3, 4, 5, 6, 7, 8};
  span.name = "POST \"x\"";
  span.is_server = true;
  span.end = std::chrono::steady_clock::now();
  span.start = span.end - 1500us;
  span.attributes = {{"text", "a"}, {"count", int64_t{1} << 60}, {"seconds", 0.5}};
  span.error = "device_error";
  SpanExporterOptions options;
  options.service = "pilot";
  const Json json = Json::parse(otlp_json({span}, options));
  const Json& group = json.at("resourceSpans").at(0);
  EXPECT_EQ(group.at("resource").at("attributes").at(0).at("value").at("stringValue"), "pilot");
  const Json& written = group.at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_EQ(written.at("traceId"), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(written.at("spanId"), "b7ad6b7169203331");
  EXPECT_EQ(written.at("parentSpanId"), "0102030405060708");
  EXPECT_EQ(written.at("kind"), 2);
  EXPECT_EQ(written.at("status").at("code"), 2);
  EXPECT_EQ(written.at("attributes").at(1).at("value").at("intValue"), "1152921504606846976");
  EXPECT_EQ(written.at("attributes").at(2).at("value").at("doubleValue"), 0.5);
  const auto nanos = [&](const char* key) {
    return std::stoll(written.at(key).get<std::string>());
  };
  EXPECT_EQ(nanos("endTimeUnixNano") - nanos("startTimeUnixNano"), 1'500'000);
  const auto now = std::chrono::system_clock::now().time_since_epoch() / 1ns;
  EXPECT_NEAR(static_cast<double>(now - nanos("endTimeUnixNano")), 0, 10e9);
}

TEST(Otlp, Headers) {
  EXPECT_EQ(parse_otlp_headers("")->size(), 0u);
  EXPECT_EQ(*parse_otlp_headers("a=b,c=d%20e=f"), (std::vector<std::string>{"a: b", "c: d e=f"}));
  for (const char* text : {"a", "=b", "a=b,,c=d", "a=%0D%0Ab"}) {
    EXPECT_FALSE(parse_otlp_headers(text)) << text;
  }
}

TEST(Otlp, Endpoints) {
  for (const char* url : {"", "127.0.0.1:4318", "ftp://a", "http://", "http://a b"}) {
    SpanExporterOptions options;
    options.endpoint = url;
    EXPECT_FALSE(SpanExporter::start(options)) << url;
  }
}

// Nobody listens: what does not fit is dropped at once, everything is counted, and the end waits
// no longer than it says.
TEST(Otlp, ACollectorThatIsGoneHoldsNothingUp) {
  using namespace std::chrono_literals;
  SpanExporterOptions options;
  options.endpoint = "http://127.0.0.1:1";
  options.most_queued = 100;
  options.batch = 10;
  options.tries = 1;
  auto exporter = SpanExporter::start(options).value();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 10'000; ++i) exporter->push({});
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2s);
  EXPECT_GE(exporter->dropped(), 9'000);
  exporter.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

}  // namespace
}  // namespace lotse
