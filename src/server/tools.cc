#include "server/tools.h"

#include <algorithm>

namespace lotse {
namespace {

constexpr size_t kMaxTools = 512;
constexpr size_t kMaxNameBytes = 128;

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// {"type": "function", "function": {name, description, parameters, strict}}; Responses has all in
// one object, and Anthropic's has no type but another name for the parameters.
ApiResult<OrderedJson> read_tool(const OrderedJson& tool, Dialect dialect,
                                 const std::string& where) {
  if (!tool.is_object()) return bad_field(where, "expected an object");
  const OrderedJson type = tool.value("type", OrderedJson());
  const bool has_own_type = dialect == Dialect::messages && (type.is_null() || type == "custom");
  if (!has_own_type && type != "function") {
    return bad_field(where + ".type", "only functions can be called");
  }
  const OrderedJson function =
      dialect == Dialect::chat ? tool.value("function", OrderedJson()) : tool;
  if (!function.is_object()) return bad_field(where + ".function", "expected an object");
  const auto name = function.find("name");
  if (name == function.end() || !name->is_string() ||
      !is_tool_name(name->get_ref<const std::string&>())) {
    return bad_field(where,
                     "a function needs a name of at most {} letters, digits, \"_\", \"-\" "
                     "and \".\"",
                     kMaxNameBytes);
  }
  OrderedJson result = {{"name", *name}};
  const auto description = function.find("description");
  if (description != function.end() && description->is_string()) {
    result["description"] = *description;
  }
  const char* key = dialect == Dialect::messages ? "input_schema" : "parameters";
  const OrderedJson parameters = function.value(key, OrderedJson());
  if (!parameters.is_null() && !parameters.is_object()) {
    return bad_field(where + "." + key, "expected a JSON schema");
  }
  result["parameters"] =
      parameters.is_null() || parameters.empty()
          ? OrderedJson{{"type", "object"}, {"properties", OrderedJson::object()}}
          : parameters;
  return OrderedJson{{"type", "function"}, {"function", std::move(result)}};
}

bool has_tool(const OrderedJson& tools, const std::string& name) {
  return std::ranges::any_of(
      tools, [&](const OrderedJson& tool) { return tool["function"]["name"] == name; });
}

ApiResult<void> read_named_choice(const OrderedJson& choice, Dialect dialect,
                                  ToolSettings& settings) {
  const OrderedJson function =
      dialect == Dialect::chat ? choice.value("function", OrderedJson()) : choice;
  const OrderedJson name = function.is_object() ? function.value("name", OrderedJson()) : nullptr;
  if (!name.is_string() || !has_tool(settings.definitions, name.get<std::string>())) {
    return bad_field("tool_choice", "expected the name of one of the tools");
  }
  settings.choice = ToolChoice::named;
  settings.name = name;
  return {};
}

ApiResult<void> read_choice(const OrderedJson* choice, Dialect dialect, ToolSettings& settings) {
  if (!settings.definitions.empty()) settings.choice = ToolChoice::automatic;
  if (choice == nullptr) return {};
  OrderedJson kind = *choice;
  if (choice->is_object()) {
    kind = choice->value("type", OrderedJson());
    settings.parallel =
        !choice->value("disable_parallel_tool_use", OrderedJson(false)).is_boolean() ||
        !choice->value("disable_parallel_tool_use", OrderedJson(false)).get<bool>();
  }
  if (kind == "auto") return {};
  if (kind == "none") {
    settings.choice = ToolChoice::none;
    settings.definitions.clear();
    return {};
  }
  if (settings.definitions.empty()) return bad_field("tool_choice", "there are no tools");
  if (kind == (dialect == Dialect::messages ? "tool" : "function")) {
    return read_named_choice(*choice, dialect, settings);
  }
  if (kind != (dialect == Dialect::messages ? "any" : "required")) {
    return bad_field("tool_choice", "expected {}",
                     dialect == Dialect::messages ? "a type of auto, any, tool or none"
                                                  : "auto, required, none, or a function by name");
  }
  settings.choice = ToolChoice::required;
  return {};
}

// Whether a schema's values are strings, all of them.
bool is_text(const OrderedJson& schema) {
  if (!schema.is_object()) return false;
  if (schema.contains("type")) return schema["type"] == "string";
  const auto values = schema.find("enum");
  return values != schema.end() && values->is_array() &&
         std::ranges::all_of(*values, [](const OrderedJson& value) { return value.is_string(); });
}

// Moves the references of a schema that becomes a part of another.
void move_references(OrderedJson& schema, const std::string& place) {
  if (schema.is_array()) {
    for (OrderedJson& item : schema) move_references(item, place);
  }
  if (!schema.is_object()) return;
  for (const auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string()) {
      const auto& reference = value.get_ref<const std::string&>();
      if (reference.starts_with('#')) value = place + reference.substr(1);
    } else {
      move_references(value, place);
    }
  }
}

OrderedJson arguments_schema(const OrderedJson& tool) {
  OrderedJson schema = tool["function"]["parameters"];
  if (!schema.contains("type")) schema["type"] = "object";
  return schema;
}

OrderedJson object_schema(const OrderedJson& tool, std::string_view arguments_key,
                          const std::string& definition) {
  const std::string key(arguments_key);
  return {{"type", "object"},
          {"properties",
           {{"name", {{"const", tool["function"]["name"]}}},
            {key, {{"$ref", "#/$defs/" + definition}}}}},
          {"required", {"name", key}},
          {"additionalProperties", false}};
}

}  // namespace

std::vector<ToolSignature> ToolSettings::signatures() const {
  std::vector<ToolSignature> result;
  for (const OrderedJson& tool : definitions) {
    ToolSignature signature{tool["function"]["name"]};
    const OrderedJson& schema = tool["function"]["parameters"];
    const auto properties = schema.find("properties");
    if (properties != schema.end() && properties->is_object()) {
      for (const auto& [key, value] : properties->items()) {
        if (!is_text(value)) signature.json_parameters.insert(key);
      }
    }
    result.push_back(std::move(signature));
  }
  return result;
}

std::optional<CallFrame> forced_call(const ToolSettings& tools, const CallFormat& format) {
  if (tools.choice != ToolChoice::required && tools.choice != ToolChoice::named)
    return std::nullopt;
  std::optional<std::string> name;
  if (tools.choice == ToolChoice::named) name = tools.name;
  if (tools.definitions.size() == 1) name = tools.definitions.front()["function"]["name"];
  return call_frame(format, name);
}

std::optional<OrderedJson> call_schema(const ToolSettings& tools, const CallFrame& frame) {
  if (frame.rest == CallRest::free) return std::nullopt;
  OrderedJson definitions = OrderedJson::object();
  OrderedJson objects = OrderedJson::array();
  for (const OrderedJson& tool : tools.definitions) {
    if (tools.choice == ToolChoice::named && tool["function"]["name"] != tools.name) continue;
    OrderedJson arguments = arguments_schema(tool);
    if (frame.rest == CallRest::arguments) return arguments;
    const std::string definition = "tool" + std::to_string(objects.size());
    move_references(arguments, "#/$defs/" + definition);
    definitions[definition] = std::move(arguments);
    objects.push_back(object_schema(tool, frame.arguments_key, definition));
  }
  OrderedJson schema = {{"anyOf", std::move(objects)}};
  if (frame.rest == CallRest::list) {
    schema = {{"type", "array"}, {"items", std::move(schema)}, {"minItems", 1}};
    if (!tools.parallel) schema["maxItems"] = 1;
  }
  schema["$defs"] = std::move(definitions);
  return schema;
}

ApiResult<ToolSettings> read_tools(const RequestFields& fields, Dialect dialect) {
  ToolSettings settings;
  if (const OrderedJson* tools = fields.find("tools")) {
    if (tools->size() > kMaxTools) return bad_field("tools", "expected at most {}", kMaxTools);
    for (size_t i = 0; i < tools->size(); ++i) {
      OrderedJson tool = LOTSE_TRY(read_tool((*tools)[i], dialect, fmt::format("tools[{}]", i)));
      if (has_tool(settings.definitions, tool["function"]["name"])) {
        return bad_field(fmt::format("tools[{}]", i), "two tools have the same name");
      }
      settings.definitions.push_back(std::move(tool));
    }
  }
  LOTSE_TRY(read_choice(fields.find("tool_choice"), dialect, settings));
  settings.parallel = fields.boolean("parallel_tool_calls").value_or(settings.parallel);
  return settings;
}

}  // namespace lotse
