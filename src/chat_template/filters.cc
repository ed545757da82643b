#include "chat_template/filters.h"

#include <algorithm>

namespace lotse::jinja {
namespace {

Result<Value> unsupported_filter(Interpreter&, Value, Arguments) {
  return fail(ErrorCode::unsupported, "this filter of Jinja2 is not supported");
}

constexpr std::string_view kUnsupported[] = {
    "filesizeformat", "groupby", "pprint",  "random",   "striptags",
    "urlencode",      "urlize",  "xmlattr", "wordwrap",
};

}  // namespace

Filter find_filter(std::string_view name) {
  if (const Filter filter = find_string_filter(name)) return filter;
  if (const Filter filter = find_sequence_filter(name)) return filter;
  if (const Filter filter = find_number_filter(name)) return filter;
  return std::ranges::find(kUnsupported, name) == std::end(kUnsupported) ? nullptr
                                                                         : unsupported_filter;
}

}  // namespace lotse::jinja
