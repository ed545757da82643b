#include "server/span_exporter.h"

#include <curl/curl.h>

#include "server/json_text.h"

namespace lotse {
namespace {

constexpr std::string_view kPath = "/v1/traces";
constexpr int kInternal = 1, kServer = 2, kError = 2;  // of OTLP's enumerations
constexpr std::chrono::milliseconds kFirstWait{250};

size_t ignore_body(char*, size_t size, size_t count, void*) { return size * count; }

OrderedJson value_json(const SpanAttributes::value_type::second_type& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return {{"stringValue", *text}};
  // 64-bit integers are strings in the JSON encoding of protobuf.
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return {{"intValue", std::to_string(*integer)}};
  }
  return {{"doubleValue", std::get<double>(value)}};
}

OrderedJson attributes_json(const SpanAttributes& attributes) {
  OrderedJson list = OrderedJson::array();
  for (const auto& [key, value] : attributes) {
    list.push_back({{"key", key}, {"value", value_json(value)}});
  }
  return list;
}

// From the steady clock to nanoseconds since 1970: the same for all of a batch, so that parts stay
// within their whole.
std::chrono::nanoseconds unix_offset() {
  return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()) -
         std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch());
}

OrderedJson span_json(const Span& span, std::chrono::nanoseconds offset) {
  const auto unix_nanos = [offset](std::chrono::steady_clock::time_point time) {
    return std::to_string((std::chrono::nanoseconds(time.time_since_epoch()) + offset).count());
  };
  OrderedJson json = {{"traceId", span.context.trace_hex()}, {"spanId", span.context.span_hex()}};
  if (span.parent) {
    TraceContext parent;
    parent.span_id = *span.parent;
    json["parentSpanId"] = parent.span_hex();
  }
  json["name"] = span.name;
  json["kind"] = span.is_server ? kServer : kInternal;
  json["startTimeUnixNano"] = unix_nanos(span.start);
  json["endTimeUnixNano"] = unix_nanos(span.end);
  json["attributes"] = attributes_json(span.attributes);
  if (!span.error.empty()) json["status"] = {{"code", kError}, {"message", span.error}};
  return json;
}

}  // namespace

std::string otlp_json(const std::vector<Span>& spans, const SpanExporterOptions& options) {
  OrderedJson list = OrderedJson::array();
  const auto offset = unix_offset();
  for (const Span& span : spans) list.push_back(span_json(span, offset));
  OrderedJson scope = {{"scope", {{"name", "lotse"}, {"version", options.version}}},
                       {"spans", std::move(list)}};
  const SpanAttributes resource = {{"service.name", options.service},
                                   {"service.version", options.version}};
  OrderedJson group = {{"resource", {{"attributes", attributes_json(resource)}}},
                       {"scopeSpans", OrderedJson::array({std::move(scope)})}};
  return to_text({{"resourceSpans", OrderedJson::array({std::move(group)})}});
}

Result<std::vector<std::string>> parse_otlp_headers(const std::string& text) {
  std::vector<std::string> headers;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string pair = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t equals = pair.find('=');
    int length = 0;
    char* raw = equals == std::string::npos || equals == 0
                    ? nullptr
                    : curl_easy_unescape(nullptr, pair.c_str() + equals + 1, 0, &length);
    if (raw == nullptr) {
      return fail(ErrorCode::invalid_input,
                  "OTEL_EXPORTER_OTLP_HEADERS: expected name=value, separated by commas");
    }
    std::string header =
        pair.substr(0, equals) + ": " + std::string(raw, static_cast<size_t>(length));
    curl_free(raw);
    if (header.find_first_of("\r\n") != std::string::npos) {
      return fail(ErrorCode::invalid_input, "OTEL_EXPORTER_OTLP_HEADERS: a value has a line end");
    }
    headers.push_back(std::move(header));
  }
  return headers;
}

Result<std::unique_ptr<SpanExporter>> SpanExporter::start(SpanExporterOptions options) {
  std::string& url = options.endpoint;
  while (url.ends_with('/')) url.pop_back();
  if (!url.ends_with(kPath)) url += kPath;
  CURLU* parsed = curl_url();
  const CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url.c_str(), 0);
  curl_url_cleanup(parsed);
  if (code != CURLUE_OK || !(url.starts_with("http://") || url.starts_with("https://"))) {
    return fail(ErrorCode::invalid_input,
                "--otlp-endpoint: expected a URL such as http://127.0.0.1:4318");
  }
  return std::make_unique<SpanExporter>(std::move(options));
}

SpanExporter::SpanExporter(SpanExporterOptions options)
    : options_(std::move(options)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

SpanExporter::~SpanExporter() {
  thread_.request_stop();
  thread_.join();
}

void SpanExporter::push(Span span) {
  const std::scoped_lock lock(mutex_);
  if (queue_.size() >= options_.most_queued) {
    ++dropped_;
    return;
  }
  queue_.push_back(std::move(span));
  if (queue_.size() == options_.batch) wake_.notify_one();
}

void SpanExporter::run(const std::stop_token& stop) {
  for (;;) {
    const std::vector<Span> batch = next_batch(stop);
    if (!batch.empty()) send(batch, stop);
    const std::scoped_lock lock(mutex_);
    if (stop.stop_requested() && queue_.empty()) return;
  }
}

// What is queued after an interval, or as soon as it fills a batch.
std::vector<Span> SpanExporter::next_batch(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, stop, options_.interval, [this] { return queue_.size() >= options_.batch; });
  const auto count = static_cast<std::ptrdiff_t>(std::min(queue_.size(), options_.batch));
  std::vector<Span> batch(std::make_move_iterator(queue_.begin()),
                          std::make_move_iterator(queue_.begin() + count));
  queue_.erase(queue_.begin(), queue_.begin() + count);
  return batch;
}

void SpanExporter::send(const std::vector<Span>& batch, const std::stop_token& stop) {
  const std::string body = otlp_json(batch, options_);
  const auto count = static_cast<int64_t>(batch.size());
  auto wait = kFirstWait;
  for (int attempt = 0; attempt < options_.tries; ++attempt, wait *= 2) {
    const bool is_last = stop.stop_requested();
    const Attempt done = post(body, is_last ? options_.last_timeout : options_.timeout);
    if (done == Attempt::taken) {
      exported_ += count;
      return;
    }
    if (done == Attempt::refused || is_last) break;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, wait, [] { return false; });
  }
  dropped_ += count;
  if (!stop.stop_requested()) return;
  // The collector is gone: the end of the server waits for no more of it.
  const std::scoped_lock lock(mutex_);
  dropped_ += std::ssize(queue_);
  queue_.clear();
}

SpanExporter::Attempt SpanExporter::post(const std::string& body,
                                         std::chrono::milliseconds timeout) {
  CURL* curl = curl_easy_init();
  if (curl == nullptr) return Attempt::retry;
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  for (const std::string& header : options_.headers) {
    headers = curl_slist_append(headers, header.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, options_.endpoint.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_body);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  if (code == CURLE_OK && status >= 200 && status < 300) return Attempt::taken;
  // OTLP names the statuses that may pass.
  const bool may_pass =
      code != CURLE_OK || status == 429 || status == 502 || status == 503 || status == 504;
  return may_pass ? Attempt::retry : Attempt::refused;
}

}  // namespace lotse
