// Turns the caller's JSON into the values that a template sees.
#pragma once

#include "base/result.h"
#include "chat_template/budget.h"
#include "chat_template/value.h"

namespace lotse::jinja {

// A dict: the context with the options' special tokens in it. Strings of the context are untrusted
// (except a message's well-known role), the special tokens trusted. Errors: not an object; nested
// too deep; an integer beyond 64 bits.
Result<Value> import_context(Budget& budget, const OrderedJson& context,
                             const RenderOptions& options);

}  // namespace lotse::jinja
