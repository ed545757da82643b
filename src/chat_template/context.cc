#include "chat_template/context.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace lotse::jinja {
namespace {

// A role in this list is trusted, because templates may build a special token with it, as in
// '<|' + message.role + '|>'. Any other role could build one that its sender must not write.
constexpr std::array<std::string_view, 9> kRoles = {"system",  "user",        "assistant",
                                                    "tool",    "developer",   "function",
                                                    "ipython", "observation", "model"};

constexpr int kMaxJsonDepth = kMaxValueDepth - 4;

Result<Value> import_string(Budget& budget, const std::string& string, bool trusted) {
  LOTSE_TRY(budget.grow(static_cast<int64_t>(string.size()) + 64));
  if (is_valid_utf8(string)) return Value::string(string, trusted);
  return Value::string(sanitize_utf8(string), trusted);
}

Result<Value> import_json(Budget& budget, const OrderedJson& json, int depth) {
  LOTSE_TRY(budget.step());
  if (depth > kMaxJsonDepth) {
    return fail(ErrorCode::limit, "the context is nested deeper than {} levels", kMaxJsonDepth);
  }
  switch (json.type()) {
    case OrderedJson::value_t::null:
      return Value::none();
    case OrderedJson::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned:
      if (json.get<uint64_t>() > uint64_t{INT64_MAX}) {
        return fail(ErrorCode::invalid_input, "the context has an integer beyond 64 bits");
      }
      return Value::integer(json.get<int64_t>());
    case OrderedJson::value_t::number_float:
      return Value::floating(json.get<double>());
    case OrderedJson::value_t::string:
      return import_string(budget, json.get_ref<const std::string&>(), false);
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) {
        items.push_back(LOTSE_TRY(import_json(budget, item, depth + 1)));
      }
      return make_list(budget, std::move(items));
    }
    case OrderedJson::value_t::object: {
      auto dict = std::make_shared<Dict>();
      for (const auto& [key, value] : json.items()) {
        const Value name = LOTSE_TRY(import_string(budget, key, false));
        LOTSE_TRY(dict->set(budget, name, LOTSE_TRY(import_json(budget, value, depth + 1))));
      }
      return wrap_dict(std::move(dict));
    }
    case OrderedJson::value_t::binary:
    case OrderedJson::value_t::discarded:
      break;
  }
  return fail(ErrorCode::invalid_input, "the context has a value that is not JSON");
}

bool is_known_role(const Value& value) {
  return value.is(Kind::string) && std::ranges::find(kRoles, value.as_bytes()) != kRoles.end();
}

// The messages with their well-known roles trusted.
Result<Value> trust_roles(Budget& budget, const Value& messages) {
  if (!messages.is(Kind::list)) return messages;
  std::vector<Value> trusted;
  for (const Value& message : messages.as_list().items) {
    const Value* role = message.is(Kind::dict) ? message.as_dict().find("role") : nullptr;
    if (role == nullptr || !is_known_role(*role)) {
      trusted.push_back(message);
      continue;
    }
    auto copy = std::make_shared<Dict>(message.as_dict());
    const std::string name = role->as_bytes();
    LOTSE_TRY(copy->set(budget, Value::string("role", false), Value::string(name, true)));
    trusted.push_back(wrap_dict(std::move(copy)));
  }
  return make_list(budget, std::move(trusted));
}

}  // namespace

Result<Value> import_context(Budget& budget, const OrderedJson& context,
                             const RenderOptions& options) {
  if (!context.is_object()) {
    return fail(ErrorCode::invalid_input, "the context must be an object, got {}",
                context.type_name());
  }
  auto dict = std::make_shared<Dict>();
  for (const auto& [key, value] : context.items()) {
    Value imported = LOTSE_TRY(import_json(budget, value, 1));
    if (key == "messages") imported = LOTSE_TRY(trust_roles(budget, imported));
    LOTSE_TRY(dict->set(budget, LOTSE_TRY(import_string(budget, key, false)), imported));
  }
  for (const auto& [name, token] : options.special_tokens) {
    const Value key = LOTSE_TRY(import_string(budget, name, true));
    LOTSE_TRY(dict->set(budget, key, LOTSE_TRY(import_string(budget, token, true))));
  }
  return wrap_dict(std::move(dict));
}

}  // namespace lotse::jinja
