#include "server/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lotse {
namespace {

constexpr const char* kRoles[] = {"system", "developer", "user", "assistant", "tool"};

ApiResult<std::string> part_text(const OrderedJson& part, const std::string& where) {
  const bool typed = part.is_object() && part.contains("type") && part["type"].is_string();
  if (!typed) return bad_field(where, "expected objects with a type");
  const std::string type = part["type"];
  if (!type.ends_with("text")) {
    return bad_field(where, "parts of type \"{}\" are not supported; only text is",
                     type.substr(0, 40));
  }
  if (!part.contains("text") || !part["text"].is_string()) {
    return bad_field(where, "a part of type \"{}\" needs a text", type);
  }
  return part["text"].get<std::string>();
}

// A field that must be a string.
ApiResult<std::string> text_field(const OrderedJson& object, const char* name,
                                  const std::string& where) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) {
    return bad_field(where + "." + name, "expected a string");
  }
  return it->get<std::string>();
}

// A text of parts, empty when the field is absent or null.
ApiResult<std::string> optional_text(const OrderedJson& object, const char* name,
                                     const std::string& where) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return std::string();
  return read_text_parts(*it, where + "." + name);
}

std::string type_of(const OrderedJson& item) {
  const auto it = item.find("type");
  return it != item.end() && it->is_string() ? it->get<std::string>() : std::string();
}

ApiResult<OrderedJson> read_calls(const OrderedJson& calls, const std::string& where) {
  if (!calls.is_array()) return bad_field(where, "expected an array of calls");
  OrderedJson result = OrderedJson::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", where, i);
    const bool is_call =
        calls[i].is_object() && calls[i].contains("function") && calls[i]["function"].is_object();
    if (!is_call) return bad_field(place, "expected an object with id and function");
    const OrderedJson& function = calls[i]["function"];
    result.push_back(call_json(LOTSE_TRY(text_field(calls[i], "id", place)),
                               LOTSE_TRY(text_field(function, "name", place + ".function")),
                               function.value("arguments", OrderedJson(""))));
  }
  return result;
}

ApiResult<OrderedJson> read_message(const OrderedJson& message, const std::string& where) {
  if (!message.is_object()) return bad_field(where, "expected an object with role and content");
  const auto role = message.find("role");
  const bool known = role != message.end() && role->is_string() &&
                     std::ranges::find(kRoles, role->get<std::string>()) != std::end(kRoles);
  if (!known) {
    return bad_field(where + ".role", "expected system, developer, user, assistant or tool");
  }
  OrderedJson result;
  // What newer clients call "developer" is "system" to the templates.
  result["role"] = *role == "developer" ? OrderedJson("system") : *role;
  result["content"] = LOTSE_TRY(optional_text(message, "content", where));
  for (const char* key : {"name", "tool_call_id"}) {
    if (message.contains(key) && message[key].is_string()) result[key] = message[key];
  }
  for (const char* key : {"reasoning", "reasoning_content"}) {
    if (message.contains(key) && message[key].is_string())
      result["reasoning_content"] = message[key];
  }
  const auto calls = message.find("tool_calls");
  if (calls != message.end() && !calls->is_null() && !calls->empty()) {
    result["tool_calls"] = LOTSE_TRY(read_calls(*calls, where + ".tool_calls"));
  }
  return result;
}

// The assistant's message that goes on: in other APIs than chat, reasoning, texts and calls of one
// turn come apart.
OrderedJson& open_turn(OrderedJson& messages, bool may_have_calls) {
  const bool goes_on = !messages.empty() && messages.back()["role"] == "assistant" &&
                       (may_have_calls || !messages.back().contains("tool_calls"));
  if (!goes_on) messages.push_back({{"role", "assistant"}, {"content", ""}});
  return messages.back();
}

void add_call(OrderedJson& messages, OrderedJson call) {
  OrderedJson& turn = open_turn(messages, true);
  if (!turn.contains("tool_calls")) turn["tool_calls"] = OrderedJson::array();
  turn["tool_calls"].push_back(std::move(call));
}

void add_reasoning(OrderedJson& messages, const std::string& text) {
  if (text.empty()) return;
  OrderedJson& turn = open_turn(messages, false);
  turn["reasoning_content"] = turn.value("reasoning_content", "") + text;
}

void add_result(OrderedJson& messages, std::string call, std::string content) {
  messages.push_back(
      {{"role", "tool"}, {"content", std::move(content)}, {"tool_call_id", std::move(call)}});
}

ApiResult<void> add_input_item(OrderedJson& messages, const OrderedJson& item,
                               const std::string& where) {
  if (!item.is_object()) return bad_field(where, "expected an object");
  const std::string type = type_of(item);
  if (type == "function_call") {
    std::string id = LOTSE_TRY(text_field(item, "call_id", where));
    std::string name = LOTSE_TRY(text_field(item, "name", where));
    std::string arguments = LOTSE_TRY(text_field(item, "arguments", where));
    add_call(messages, call_json(std::move(id), std::move(name), std::move(arguments)));
  } else if (type == "function_call_output") {
    std::string id = LOTSE_TRY(text_field(item, "call_id", where));
    add_result(messages, std::move(id), LOTSE_TRY(optional_text(item, "output", where)));
  } else if (type == "reasoning") {
    std::string text = LOTSE_TRY(optional_text(item, "content", where));
    if (text.empty()) text = LOTSE_TRY(optional_text(item, "summary", where));
    add_reasoning(messages, text);
  } else if (type.empty() || type == "message") {
    OrderedJson message = LOTSE_TRY(read_message(item, where));
    const bool is_assistant = message["role"] == "assistant";
    if (is_assistant && !messages.empty() && messages.back().contains("reasoning_content") &&
        messages.back()["content"] == "") {
      messages.back()["content"] = message["content"];
    } else {
      messages.push_back(std::move(message));
    }
  } else {
    return bad_field(where + ".type", "\"{}\" is not supported", type.substr(0, 40));
  }
  return {};
}

ApiResult<void> add_assistant_block(OrderedJson& messages, const OrderedJson& block,
                                    const std::string& where) {
  const std::string type = type_of(block);
  if (type == "thinking") {
    add_reasoning(messages, LOTSE_TRY(text_field(block, "thinking", where)));
  } else if (type == "tool_use") {
    add_call(messages, call_json(LOTSE_TRY(text_field(block, "id", where)),
                                 LOTSE_TRY(text_field(block, "name", where)),
                                 block.value("input", OrderedJson::object())));
  } else if (type != "redacted_thinking") {
    const std::string text = LOTSE_TRY(part_text(block, where));
    OrderedJson& content = open_turn(messages, false)["content"];
    const std::string before = content;
    content = before.empty() ? text : before + "\n" + text;
  }
  return {};
}

// Results of tools become messages of their own, before the user's text.
ApiResult<void> add_user_blocks(OrderedJson& messages, const OrderedJson& blocks,
                                const std::string& where) {
  OrderedJson texts = OrderedJson::array();
  for (const OrderedJson& block : blocks) {
    if (type_of(block) != "tool_result") {
      texts.push_back(block);
      continue;
    }
    add_result(messages, LOTSE_TRY(text_field(block, "tool_use_id", where)),
               LOTSE_TRY(optional_text(block, "content", where)));
  }
  if (texts.empty()) return {};
  messages.push_back({{"role", "user"}, {"content", LOTSE_TRY(read_text_parts(texts, where))}});
  return {};
}

ApiResult<void> add_block_message(OrderedJson& messages, const OrderedJson& message,
                                  const std::string& where) {
  const bool has_blocks =
      message.is_object() && message.contains("content") && message["content"].is_array();
  const OrderedJson role =
      message.is_object() ? message.value("role", OrderedJson()) : OrderedJson();
  if (!has_blocks || (role != "user" && role != "assistant")) {
    messages.push_back(LOTSE_TRY(read_message(message, where)));
    return {};
  }
  const OrderedJson& blocks = message["content"];
  if (role == "user") return add_user_blocks(messages, blocks, where + ".content");
  messages.push_back({{"role", "assistant"}, {"content", ""}});
  for (const OrderedJson& block : blocks) {
    LOTSE_TRY(add_assistant_block(messages, block, where + ".content"));
  }
  return {};
}

template <class Add>
ApiResult<OrderedJson> read_list(const OrderedJson& list, const std::string& field, Add add) {
  if (list.empty()) return bad_field(field, "expected at least one message");
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < list.size(); ++i) {
    LOTSE_TRY(add(messages, list[i], fmt::format("{}[{}]", field, i)));
  }
  return messages;
}

}  // namespace

OrderedJson call_json(std::string id, std::string name, const OrderedJson& arguments) {
  OrderedJson object = arguments;
  if (arguments.is_string()) {
    const auto& text = arguments.get_ref<const std::string&>();
    const bool is_blank = text.find_first_not_of(" \t\r\n") == std::string::npos;
    auto parsed = parse_ordered_json(is_blank ? "{}" : text, "arguments");
    if (parsed) object = *std::move(parsed);
  }
  return {{"id", std::move(id)},
          {"type", "function"},
          {"function", {{"name", std::move(name)}, {"arguments", std::move(object)}}}};
}

ApiResult<std::string> read_text_parts(const OrderedJson& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return bad_field(where, "expected a string or an array of text parts");
  std::string text;
  for (const OrderedJson& part : content) {
    if (&part != &content.front()) text += '\n';
    text += LOTSE_TRY(part_text(part, where));
  }
  return text;
}

ApiResult<OrderedJson> read_messages(const OrderedJson& messages, const std::string& field) {
  return read_list(messages, field,
                   [](OrderedJson& result, const OrderedJson& message,
                      const std::string& where) -> ApiResult<void> {
                     result.push_back(LOTSE_TRY(read_message(message, where)));
                     return {};
                   });
}

ApiResult<OrderedJson> read_input_items(const OrderedJson& items, const std::string& field) {
  return read_list(items, field, add_input_item);
}

ApiResult<OrderedJson> read_block_messages(const OrderedJson& messages, const std::string& field) {
  return read_list(messages, field, add_block_message);
}

}  // namespace lotse
