#include "cli/http.h"

#include <curl/curl.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <mutex>
#include <string_view>
#include <thread>

namespace lotse::cli {
namespace {

constexpr long kConnectSeconds = 20;
constexpr long kStallSeconds = 60;
constexpr long kMaxRedirects = 10;

struct Transfer {
  CURL* curl;
  const BodySink& sink;
  HttpReply reply;
  Result<void> sink_result;
};

// The first byte's position in "bytes 100-199/200".
std::optional<int64_t> range_start(std::string_view content_range) {
  constexpr std::string_view kUnit = "bytes ";
  if (!content_range.starts_with(kUnit)) return std::nullopt;
  content_range.remove_prefix(kUnit.size());
  int64_t start = 0;
  const char* end = content_range.data() + content_range.size();
  const auto [next, error] = std::from_chars(content_range.data(), end, start);
  if (error != std::errc() || next == end || *next != '-') return std::nullopt;
  return start;
}

void read_head(Transfer& transfer) {
  long status = 0;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
  transfer.reply.status = static_cast<int>(status);
  curl_header* header = nullptr;
  if (curl_easy_header(transfer.curl, "Content-Range", 0, CURLH_HEADER, -1, &header) == CURLHE_OK) {
    transfer.reply.range_start = range_start(header->value);
  }
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  if (transfer.reply.status == 0) read_head(transfer);
  const size_t bytes = size * count;
  if (transfer.reply.status >= 400) return bytes;
  transfer.sink_result =
      transfer.sink(transfer.reply, std::as_bytes(std::span<const char>(data, bytes)));
  return transfer.sink_result ? bytes : 0;
}

bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

bool may_pass(int status) { return status == 408 || status == 429 || status >= 500; }

void initialise_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

void RetryPolicy::wait(int retry) const {
  const double seconds = first_wait_seconds * std::exp2(retry);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

struct HttpClient::Handle {
  CURL* curl = nullptr;
  char error[CURL_ERROR_SIZE] = "";

  // Everything that is the same for all requests, after the handle was new or reset.
  void prepare(const std::string& url) {
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "lotse/" LOTSE_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
    const char* protocols = url.starts_with("https:") ? "https" : "http,https";
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    error[0] = '\0';
  }
};

HttpClient::HttpClient() : handle_(std::make_unique<Handle>()) {
  initialise_once();
  handle_->curl = curl_easy_init();
  LOTSE_CHECK(handle_->curl != nullptr);
}

HttpClient::~HttpClient() { curl_easy_cleanup(handle_->curl); }

Result<HttpReply> HttpClient::get(const HttpRequest& request, const BodySink& sink) {
  CURL* curl = handle_->curl;
  handle_->prepare(request.url);
  if (!request.token.empty()) {
    // libcurl itself drops these credentials when a redirect leads to another host or port.
    curl_easy_setopt(curl, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  if (request.offset > 0) {
    curl_easy_setopt(curl, CURLOPT_RANGE, fmt::format("{}-", request.offset).c_str());
  }
  Transfer transfer{curl, sink, {}, {}};
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  const CURLcode code = curl_easy_perform(curl);
  if (!transfer.sink_result) return std::unexpected(std::move(transfer.sink_result).error());
  read_head(transfer);
  if (code != CURLE_OK) {
    transfer.reply.failure = handle_->error[0] != '\0' ? handle_->error : curl_easy_strerror(code);
    transfer.reply.transient = may_pass(code);
  } else if (transfer.reply.status >= 400) {
    transfer.reply.failure = fmt::format("HTTP {}", transfer.reply.status);
    transfer.reply.transient = may_pass(transfer.reply.status);
  }
  return transfer.reply;
}

std::string HttpClient::escape(const std::string& text) {
  initialise_once();
  char* escaped = curl_easy_escape(nullptr, text.data(), static_cast<int>(text.size()));
  LOTSE_CHECK(escaped != nullptr);
  std::string result = escaped;
  curl_free(escaped);
  return result;
}

}  // namespace lotse::cli
