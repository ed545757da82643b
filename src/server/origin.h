// Where a request comes from, as a browser tells: so that no web page can use a server without
// keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"

namespace lotse {

struct OriginRules {
  // Refuse requests whose Host names another machine: a page whose name was rebound to this address
  // (DNS rebinding) would pass for the server's own.
  bool checks_host = false;
  std::vector<std::string> allowed_hosts;  // besides loopback's; without a port
  // Refuse what changes or costs something when a page of another origin asks.
  bool checks_origin = false;
  std::vector<std::string> allowed_origins;  // "*": all
};

// The error for a request that the rules refuse. Clients that are no browsers send no Origin, and
// may leave out Host: both are let through when absent.
std::optional<ApiError> refuse_origin(const OriginRules& rules, const HttpHead& head);

// Whether a name or an address is one of the loopback interface.
bool is_loopback_host(const std::string& host);

}  // namespace lotse
