// Which form a request asks for, and what is said where it asks for none that there is.
#include "server/structured_output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/endpoints.h"

namespace lotse {
namespace {

// A minimal body of an endpoint with the fields of `more`.
ApiResult<std::optional<WantedForm>> form_of(const char* path, const char* more) {
  OrderedJson body = OrderedJson::parse(more);
  if (path == std::string("/v1/completions")) body["prompt"] = "a";
  if (path == std::string("/v1/responses")) body["input"] = "a";
  if (path == std::string("/v1/chat/completions")) body["messages"] = OrderedJson::array();
  const auto fields = LOTSE_TRY(RequestFields::check(body, find_endpoint(path)->tables));
  return read_form(fields);
}

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kCompletions = "/v1/completions";
constexpr const char* kResponses = "/v1/responses";

TEST(StructuredOutput, EveryWayToAsk) {
  struct Case {
    const char* path;
    const char* fields;
    GrammarKind kind;
    const char* text;
    const char* field;
  };
  using enum GrammarKind;
  const Case cases[] = {
      {kChat, R"({"response_format": {"type": "json_object"}})", json_object, "",
       "response_format"},
      {kChat,
       R"({"response_format": {"type": "json_schema", "json_schema":
           {"name": "n", "strict": true, "schema": {"required": ["b", "a"], "properties": {"b": true, "a": true}}}}})",
       json_schema, R"({"required":["b","a"],"properties":{"b":true,"a":true}})",
       "response_format.json_schema.schema"},
      {kCompletions,
       R"({"response_format": {"type": "json_object", "schema": {"type": "object"}}})", json_schema,
       R"({"type":"object"})", "response_format.schema"},
      {kResponses,
       R"({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "null"}}}})",
       json_schema, R"({"type":"null"})", "text.format.schema"},
      {kResponses, R"({"text": {"format": {"type": "json_object"}}})", json_object, "",
       "text.format"},
      {kChat, R"({"structured_outputs": {"json": "{\"type\": \"null\"}"}})", json_schema,
       R"({"type": "null"})", "structured_outputs.json"},
      {kChat, R"({"structured_outputs": {"json": null, "regex": "a+"}})", regex, "a+",
       "structured_outputs.regex"},
      {kChat, R"({"structured_outputs": {"choice": ["a", "b"], "disable_fallback": true}})", choice,
       R"(["a","b"])", "structured_outputs.choice"},
      {kChat, R"({"structured_outputs": {"grammar": "root ::= \"a\""}})", ebnf, "root ::= \"a\"",
       "structured_outputs.grammar"},
      {kChat, R"({"structured_outputs": {"json_object": true}})", json_object, "",
       "structured_outputs.json_object"},
      {kCompletions, R"({"guided_json": {"type": "null"}})", json_schema, R"({"type":"null"})",
       "guided_json"},
      {kCompletions, R"({"guided_regex": "a+"})", regex, "a+", "guided_regex"},
      {kCompletions, R"({"guided_choice": ["a"]})", choice, R"(["a"])", "guided_choice"},
      {kCompletions, R"({"guided_grammar": "start: \"a\""})", ebnf, "start: \"a\"",
       "guided_grammar"},
      {kCompletions, R"({"response_format": {"type": "text"}, "guided_regex": "a"})", regex, "a",
       "guided_regex"}};
  for (const Case& one : cases) {
    const auto form = form_of(one.path, one.fields);
    ASSERT_TRUE(form) << one.fields << ": " << form.error().message;
    ASSERT_TRUE(*form) << one.fields;
    EXPECT_EQ((*form)->source, (GrammarSource{one.kind, one.text})) << one.fields;
    EXPECT_EQ((*form)->field, one.field);
  }
}

TEST(StructuredOutput, NoForm) {
  for (const char* fields :
       {"{}", R"({"response_format": null})", R"({"response_format": {"type": "text"}})",
        R"({"structured_outputs": {}})", R"({"structured_outputs": {"json_object": false}})",
        R"({"guided_json": null, "guided_decoding_backend": "any"})",
        R"({"structured_outputs": {"json": null, "whitespace_pattern": null}})"}) {
    const auto form = form_of(kChat, fields);
    ASSERT_TRUE(form) << fields << ": " << form.error().message;
    EXPECT_FALSE(*form) << fields;
  }
  EXPECT_FALSE(
      *form_of(kResponses, R"({"text": {"format": {"type": "text"}, "verbosity": "medium"}})"));
}

TEST(StructuredOutput, MistakesNameTheirField) {
  struct Case {
    const char* path;
    const char* fields;
    const char* param;
  };
  for (
      const Case& one : std::initializer_list<Case>{
          {kChat, R"({"response_format": "json"})", "response_format"},
          {kChat, R"({"response_format": {}})", "response_format"},
          {kChat, R"({"response_format": {"type": "xml"}})", "response_format.type"},
          {kChat, R"({"response_format": {"type": 3}})", "response_format.type"},
          {kChat, R"({"response_format": {"type": "json_schema"}})", "response_format.json_schema"},
          {kChat, R"({"response_format": {"type": "json_schema", "schema": {}}})",
           "response_format.json_schema"},
          {kChat, R"({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}})",
           "response_format.json_schema.schema"},
          {kChat, R"({"response_format": {"type": "json_schema", "json_schema": {"schema": [1]}}})",
           "response_format.json_schema.schema"},
          {kChat,
           R"({"response_format": {"type": "json_schema", "json_schema": {"name": 1, "schema": {}}}})",
           "response_format.json_schema.name"},
          {kChat,
           R"({"response_format": {"type": "json_schema", "json_schema": {"strict": 1, "schema": {}}}})",
           "response_format.json_schema.strict"},
          {kResponses, R"({"text": {"format": {"type": "json_schema"}}})", "text.format.schema"},
          {kResponses, R"({"text": {"format": 1}})", "text.format"},
          {kResponses, R"({"text": {"verbosity": "low"}})", "text.verbosity"},
          {kChat, R"({"structured_outputs": []})", "structured_outputs"},
          {kChat, R"({"structured_outputs": {"json": 1}})", "structured_outputs.json"},
          {kChat, R"({"structured_outputs": {"regex": {}}})", "structured_outputs.regex"},
          {kChat, R"({"structured_outputs": {"choice": []}})", "structured_outputs.choice"},
          {kChat, R"({"structured_outputs": {"choice": [1]}})", "structured_outputs.choice"},
          {kChat, R"({"structured_outputs": {"json_object": 1}})",
           "structured_outputs.json_object"},
          {kChat, R"({"structured_outputs": {"structural_tag": "x"}})",
           "structured_outputs.structural_tag"},
          {kChat, R"({"structured_outputs": {"disable_any_whitespace": true}})",
           "structured_outputs.disable_any_whitespace"},
          {kChat, R"({"structured_outputs": {"regex": "a", "choice": ["a"]}})",
           "structured_outputs.choice"},
          {kChat, R"({"response_format": {"type": "json_object"}, "guided_regex": "a"})",
           "guided_regex"},
          {kCompletions, R"({"guided_choice": "a"})", "guided_choice"},
          {kCompletions, R"({"guided_whitespace_pattern": "a"})", "guided_whitespace_pattern"}}) {
    const auto form = form_of(one.path, one.fields);
    ASSERT_FALSE(form) << one.fields;
    EXPECT_EQ(form.error().status, 400);
    EXPECT_EQ(form.error().param, one.param) << one.fields;
    EXPECT_TRUE(form.error().message.starts_with(one.param)) << form.error().message;
  }
}

}  // namespace
}  // namespace lotse
