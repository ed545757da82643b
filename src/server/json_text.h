// JSON as it goes over the wire.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "chat_template/chat_template.h"

namespace lotse {

// Compact; malformed UTF-8, of a client's own text say, becomes U+FFFD.
inline std::string to_text(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

// One server-sent event (WHATWG HTML, 9.2): without a name, or a named one.
inline std::string sse(const OrderedJson& json) { return "data: " + to_text(json) + "\n\n"; }
inline std::string sse(const char* event, const OrderedJson& json) {
  return std::string("event: ") + event + "\n" + sse(json);
}

}  // namespace lotse
