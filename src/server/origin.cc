#include "server/origin.h"

#include <arpa/inet.h>

#include <algorithm>

namespace lotse {
namespace {

constexpr size_t kShownName = 100;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  });
  return result;
}

// "[::1]:8000" → "::1", "Localhost.:80" → "localhost".
std::string host_of(std::string_view authority) {
  if (authority.starts_with('[')) return lower(authority.substr(1, authority.find(']') - 1));
  std::string host = lower(authority.substr(0, authority.find(':')));
  if (host.ends_with('.')) host.pop_back();
  return host;
}

bool holds(const std::vector<std::string>& list, std::string_view value) {
  return std::ranges::find(list, value) != list.end();
}

bool is_host_allowed(const OriginRules& rules, std::string_view authority) {
  const std::string host = host_of(authority);
  return is_loopback_host(host) ||
         std::ranges::any_of(rules.allowed_hosts,
                             [&](const std::string& name) { return host_of(name) == host; });
}

// Whether a page of `origin` (RFC 6454) was served under `authority`.
bool is_same_origin(std::string_view origin, std::string_view authority) {
  const size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && lower(origin.substr(scheme + 3)) == lower(authority);
}

}  // namespace

bool is_loopback_host(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;  // RFC 6761, 6.3
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  return ::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::optional<ApiError> refuse_origin(const OriginRules& rules, const HttpHead& head) {
  const std::string_view authority = head.header("host");
  if (rules.checks_host && !authority.empty() && !is_host_allowed(rules, authority)) {
    return ApiError{403,
                    fmt::format("this server answers to localhost only, and was asked for as "
                                "\"{}\"; --allowed-host admits other names",
                                authority.substr(0, kShownName)),
                    {},
                    "host_not_allowed"};
  }
  const std::string_view origin = head.header("origin");
  const bool only_reads = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
  if (!rules.checks_origin || origin.empty() || only_reads) return std::nullopt;
  if (is_same_origin(origin, authority)) return std::nullopt;
  if (holds(rules.allowed_origins, "*") || holds(rules.allowed_origins, origin)) {
    return std::nullopt;
  }
  return ApiError{403,
                  fmt::format("pages of {} may not ask this server; --cors-origin admits them",
                              origin.substr(0, kShownName)),
                  {},
                  "origin_not_allowed"};
}

}  // namespace lotse
