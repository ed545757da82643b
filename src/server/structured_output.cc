#include "server/structured_output.h"

#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

using FormResult = ApiResult<std::optional<WantedForm>>;

struct NamedKind {
  const char* name;
  GrammarKind kind;
};
// Of structured_outputs; with "guided_" before them, the older fields.
constexpr NamedKind kKinds[] = {{"json", GrammarKind::json_schema},
                                {"regex", GrammarKind::regex},
                                {"choice", GrammarKind::choice},
                                {"grammar", GrammarKind::ebnf},
                                {"json_object", GrammarKind::json_object}};

const OrderedJson* member(const OrderedJson& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string quoted(const OrderedJson& value) { return to_text(value).substr(0, 40); }

// A schema as JSON, or as the text of JSON.
FormResult schema_form(const OrderedJson& schema, const std::string& field) {
  if (schema.is_string()) {
    return WantedForm{{GrammarKind::json_schema, schema.get<std::string>()}, field};
  }
  if (schema.is_object() || schema.is_boolean()) {
    return WantedForm{{GrammarKind::json_schema, to_text(schema)}, field};
  }
  return bad_field(field, "expected a JSON schema: an object");
}

FormResult form_of(GrammarKind kind, const OrderedJson& value, const std::string& field) {
  switch (kind) {
    case GrammarKind::json_schema:
      return schema_form(value, field);
    case GrammarKind::json_object:
      if (!value.is_boolean()) return bad_field(field, "expected true or false");
      if (value == false) return std::nullopt;
      return WantedForm{{kind, {}}, field};
    case GrammarKind::choice:
      if (!value.is_array() || value.empty()) {
        return bad_field(field, "expected an array of strings, one at least");
      }
      for (const OrderedJson& item : value) {
        if (!item.is_string()) return bad_field(field, "expected strings, got {}", quoted(item));
      }
      return WantedForm{{kind, to_text(value)}, field};
    case GrammarKind::regex:
    case GrammarKind::ebnf:
      break;
  }
  if (!value.is_string()) return bad_field(field, "expected a string");
  return WantedForm{{kind, value.get<std::string>()}, field};
}

// OpenAI's {"type": …}. The schema stands in "json_schema" with its name, or, on /v1/responses,
// beside the type; some clients put it beside json_object.
FormResult format_form(const OrderedJson& format, const std::string& field, bool is_flat) {
  const OrderedJson* type = format.is_object() ? member(format, "type") : nullptr;
  if (type == nullptr) return bad_field(field, "expected an object with a type");
  if (*type == "text") return std::nullopt;
  if (*type == "json_object") {
    const OrderedJson* schema = member(format, "schema");
    if (schema != nullptr) return schema_form(*schema, field + ".schema");
    return WantedForm{{GrammarKind::json_object, {}}, field};
  }
  if (*type != "json_schema") {
    return bad_field(field + ".type", "expected text, json_object or json_schema, got {}",
                     quoted(*type));
  }
  const std::string where = is_flat ? field : field + ".json_schema";
  const OrderedJson* holder = is_flat ? &format : member(format, "json_schema");
  if (holder == nullptr || !holder->is_object()) {
    return bad_field(where, "expected an object with name and schema");
  }
  const OrderedJson* name = member(*holder, "name");
  if (name != nullptr && !name->is_string()) return bad_field(where + ".name", "expected a string");
  const OrderedJson* strict = member(*holder, "strict");
  if (strict != nullptr && !strict->is_boolean()) {
    return bad_field(where + ".strict", "expected true or false");
  }
  const OrderedJson* schema = member(*holder, "schema");
  if (schema == nullptr) return bad_field(where + ".schema", "the field is required");
  return schema_form(*schema, where + ".schema");
}

// Options that would change the form, and those that ask for what is always so.
ApiResult<void> check_option(const std::string& name, const OrderedJson& value) {
  const std::string field = "structured_outputs." + name;
  if (name.starts_with('_') || name == "disable_fallback") return {};
  if (value.is_null() || value == false) return {};
  return bad_field(field.substr(0, 100),
                   "not supported; expected one of json, regex, choice, grammar and json_object");
}

ApiResult<void> check_verbosity(const OrderedJson& text) {
  const OrderedJson* verbosity = member(text, "verbosity");
  if (verbosity == nullptr || *verbosity == "medium") return {};
  return bad_field("text.verbosity", "not supported; leave the field out");
}

class FormReader {
 public:
  explicit FormReader(const RequestFields& fields) : fields_(fields) {}

  FormResult read() {
    if (const OrderedJson* format = fields_.find("response_format")) {
      LOTSE_TRY(take(format_form(*format, "response_format", false)));
    }
    if (const OrderedJson* text = fields_.find("text")) {
      LOTSE_TRY(check_verbosity(*text));
      const OrderedJson* format = member(*text, "format");
      if (format != nullptr) LOTSE_TRY(take(format_form(*format, "text.format", true)));
    }
    if (const OrderedJson* outputs = fields_.find("structured_outputs")) {
      LOTSE_TRY(read_outputs(*outputs));
    }
    for (const auto& [name, kind] : kKinds) {
      const std::string field = std::string("guided_") + name;
      const OrderedJson* value = fields_.find(field);
      if (value != nullptr) LOTSE_TRY(take(form_of(kind, *value, field)));
    }
    return std::move(form_);
  }

 private:
  ApiResult<void> read_outputs(const OrderedJson& outputs) {
    for (const auto& [name, value] : outputs.items()) {
      const auto* known = std::ranges::find(kKinds, name, &NamedKind::name);
      if (known == std::end(kKinds)) {
        LOTSE_TRY(check_option(name, value));
      } else if (!value.is_null()) {
        LOTSE_TRY(take(form_of(known->kind, value, "structured_outputs." + name)));
      }
    }
    return {};
  }

  ApiResult<void> take(FormResult form) {
    if (!form) return std::unexpected(std::move(form.error()));
    if (!*form) return {};
    if (form_) {
      return bad_field((*form)->field, "a form is asked for already, by {}", form_->field);
    }
    form_ = *std::move(form);
    return {};
  }

  const RequestFields& fields_;
  std::optional<WantedForm> form_;
};

}  // namespace

ApiResult<std::optional<WantedForm>> read_form(const RequestFields& fields) {
  return FormReader(fields).read();
}

}  // namespace lotse
