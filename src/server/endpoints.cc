#include "server/endpoints.h"

#include <array>
#include <nlohmann/json.hpp>

#include "server/json_text.h"

namespace lotse {
namespace {

using enum FieldType;

constexpr double kInt32Max = INT32_MAX;
constexpr double kInt32Min = INT32_MIN;
constexpr double kInt64Max = static_cast<double>(INT64_MAX);
constexpr double kInt64Min = static_cast<double>(INT64_MIN);

constexpr Field wanted(const char* name, FieldType type, const char* description) {
  return {.name = name, .type = type, .description = description, .required = true};
}
constexpr Field plain(const char* name, FieldType type, const char* description,
                      const char* fallback = nullptr) {
  return {.name = name, .type = type, .description = description, .fallback = fallback};
}
constexpr Field flag(const char* name, const char* fallback, const char* description) {
  return plain(name, boolean, description, fallback);
}
constexpr Field range(const char* name, FieldType type, double low, double high,
                      const char* fallback, const char* description) {
  return {.name = name,
          .type = type,
          .description = description,
          .low = low,
          .high = high,
          .fallback = fallback};
}
constexpr Field text(const char* name, int64_t max_bytes, const char* description) {
  return {.name = name, .type = string, .description = description, .max_length = max_bytes};
}
constexpr Field token_ids(const char* name, int64_t max_length, const char* description) {
  return {.name = name,
          .type = integers,
          .description = description,
          .low = 0,
          .high = kInt32Max,
          .max_length = max_length};
}
constexpr Field accepted(const char* name) {
  return {.name = name,
          .type = any,
          .description = "Accepted; has no effect here.",
          .use = FieldUse::accepted};
}
constexpr Field refused(const char* name, const char* neutral = "[]") {
  return {.name = name,
          .type = any,
          .description = "Not supported yet: refused unless it asks for nothing.",
          .use = FieldUse::unsupported,
          .neutral = neutral};
}

// What every endpoint that generates understands.
constexpr Field kSampling[] = {
    plain("model", string, "A name that GET /v1/models lists; default: the model served."),
    flag("stream", "false", "Send the answer as server-sent events while it is generated."),
    range("temperature", number, 0, 100, nullptr,
          "0 is greedy; default: the model's generation_config.json, else 0."),
    range("top_p", number, 0, 1, nullptr,
          "Draw from the smallest set of tokens with this probability."),
    range("top_k", integer, -1, kInt32Max, nullptr,
          "Draw from the k likeliest tokens; 0 and -1: from all."),
    range("typical_p", number, 0.001, 1, "1",
          "Draw from tokens about as surprising as the average."),
    range("min_p", number, 0, 1, nullptr,
          "Drop tokens less probable than this times the likeliest."),
    range("repetition_penalty", number, 0.01, 100, nullptr,
          "Above 1 discourages tokens of prompt and answer."),
    range("min_tokens", integer, 0, kInt32Max, "0", "No end before as many tokens."),
    flag("ignore_eos", "false", "The model's own end tokens do not end the answer."),
    token_ids("stop_token_ids", 256, "Tokens that end the answer; they are not part of it."),
    flag("include_stop_str_in_output", "false", "The stop string that ended it is kept."),
    flag("skip_special_tokens", "true", "Leave special tokens out of the text."),
    token_ids("allowed_token_ids", 1 << 20, "No other tokens are chosen."),
    range("truncate_prompt_tokens", integer, -1, kInt32Max, nullptr,
          "Keep only the last tokens of the prompt, as many; -1: what fits in the context."),
    range("priority", integer, kInt32Min, kInt32Max, "0", "Lower is served earlier."),
    text("cache_salt", 256, "Prefixes are reused among requests with the same salt and key only."),
    refused("bad_words", "[[]]"),
    refused("best_of", "[1]"),
    refused("use_beam_search", "[false]"),
    refused("length_penalty", "[1, 1.0]"),
    refused("spaces_between_special_tokens", "[true]"),
    refused("return_token_ids", "[false]"),
    refused("return_tokens_as_token_ids", "[false]"),
    plain("structured_outputs", object,
          "The form of the answer: {json: SCHEMA}, {regex}, {choice: [TEXT, …]}, {grammar: GBNF or "
          "Lark} or {json_object: true}."),
    plain("guided_json", any, "Older name of structured_outputs.json."),
    plain("guided_regex", string, "Older name of structured_outputs.regex."),
    plain("guided_choice", array, "Older name of structured_outputs.choice."),
    plain("guided_grammar", string, "Older name of structured_outputs.grammar."),
    plain("guided_json_object", boolean, "Older name of structured_outputs.json_object."),
    refused("guided_whitespace_pattern"),
    accepted("guided_decoding_backend"),
};

// Of OpenAI's two older endpoints.
constexpr Field kOpenAi[] = {
    range("n", integer, 1, 128, "1", "Answers to each prompt; each has a seed of its own."),
    {.name = "stop",
     .type = string_or_strings,
     .description = "Texts that end the answer and are not part of it.",
     .max_length = 16},
    range("seed", integer, kInt64Min, kInt64Max, nullptr,
          "Same seed, same request, same answer, whatever else is served; default: random."),
    range("presence_penalty", number, -2, 2, "0", "Of tokens that the answer has."),
    range("frequency_penalty", number, -2, 2, "0", "Of tokens of the answer, per occurrence."),
    {.name = "logit_bias",
     .type = object,
     .description = "Token ids to what is added to their logits, -100 to 100.",
     .max_length = 1024},
    plain("stream_options", object,
          "{include_usage, continuous_usage_stats}: usage in a last chunk, or in every chunk."),
    range("prompt_logprobs", integer, 0, 20, nullptr,
          "Log-probabilities of the prompt's tokens, with as many alternatives."),
    plain("response_format", object,
          "{type}: text, json_object, or json_schema with json_schema: {name, schema, strict}."),
    accepted("user"),
    accepted("metadata"),
    accepted("store"),
    accepted("service_tier"),
    accepted("safety_identifier"),
    accepted("prompt_cache_key"),
};

constexpr Field kCompletions[] = {
    wanted("prompt", string_or_array,
           "A text, an array of texts, an array of token ids, or an array of such arrays."),
    range("max_tokens", integer, 0, kInt32Max, "16", "Most tokens of an answer."),
    range("logprobs", integer, 0, 20, nullptr,
          "Log-probabilities of chosen tokens and of as many alternatives."),
    flag("echo", "false", "The prompt stands before the answer."),
    flag("add_special_tokens", "true", "The tokenizer's beginning of text before a text."),
    refused("suffix", R"([""])"),
};

constexpr Field kChat[] = {
    wanted("messages", array, "The conversation: objects with role and content."),
    range("max_completion_tokens", integer, 1, kInt32Max, nullptr,
          "Most tokens of an answer; default: what the context has left."),
    range("max_tokens", integer, 1, kInt32Max, nullptr, "Older name of max_completion_tokens."),
    flag("logprobs", "false", "Log-probabilities of the chosen tokens."),
    range("top_logprobs", integer, 0, 20, "0", "And of as many alternatives; needs logprobs."),
    flag("add_generation_prompt", "true", "The template begins the assistant's answer."),
    flag("continue_final_message", "false",
         "The answer continues the last message; needs add_generation_prompt false."),
    plain("chat_template_kwargs", object, "Variables of the model's chat template."),
    plain("tools", array,
          "Functions that the model may call: {type: function, function: {name, …}}."),
    plain("tool_choice", any,
          "auto, none, required, or {type: function, function: {name}}; default: auto with tools."),
    flag("parallel_tool_calls", "true", "Otherwise an answer ends with its first call."),
    refused("functions", "[[]]"),
    refused("function_call", R"(["none"])"),
    text("reasoning_effort", 64,
         "How much to reason, as the model's template knows it; none: not."),
    flag("include_reasoning", "true", "Otherwise reasoning is left out of the answer."),
    refused("chat_template"),
    refused("documents", "[[]]"),
    refused("echo", "[false]"),
    refused("add_special_tokens", "[false]"),
    refused("modalities", R"([["text"]])"),
    refused("audio"),
    refused("prediction"),
    refused("verbosity", R"(["medium"])"),
    refused("web_search_options"),
};

constexpr Field kResponses[] = {
    wanted("input", string_or_array, "A text, or an array of messages."),
    plain("instructions", string, "A system message before the input."),
    range("max_output_tokens", integer, 1, kInt32Max, nullptr, "Most tokens of the answer."),
    refused("top_logprobs", "[0]"),
    refused("previous_response_id"),
    refused("conversation"),
    refused("background", "[false]"),
    plain("tools", array, "Functions that the model may call: {type: function, name, …}."),
    plain("tool_choice", any, "auto, none, required, or {type: function, name}."),
    flag("parallel_tool_calls", "true", "Otherwise an answer ends with its first call."),
    refused("max_tool_calls"),
    plain("text", object,
          "{format: {type}}: text, json_object, or json_schema with name, schema and strict."),
    plain("reasoning", object, "{effort}: how much to reason; none: not."),
    refused("include", R"([[], ["reasoning.encrypted_content"]])"),
    refused("prompt"),
    refused("truncation", R"(["disabled"])"),
    refused("stream_options"),
    accepted("store"),
    accepted("user"),
    accepted("metadata"),
    accepted("service_tier"),
    accepted("safety_identifier"),
    accepted("prompt_cache_key"),
};

constexpr Field kMessages[] = {
    wanted("messages", array, "The conversation: objects with role and content."),
    {.name = "max_tokens",
     .type = integer,
     .description = "Most tokens of the answer.",
     .required = true,
     .low = 1,
     .high = kInt32Max},
    plain("system", string_or_array, "A system message, or an array of text blocks."),
    {.name = "stop_sequences",
     .type = string_or_strings,
     .description = "Texts that end the answer and are not part of it.",
     .max_length = 16},
    plain("tools", array, "Functions that the model may call: {name, description, input_schema}."),
    plain("tool_choice", object, "{type}: auto, any, tool (with its name) or none."),
    plain("thinking", object, "{type}: enabled or disabled; default: disabled."),
    refused("mcp_servers", "[[]]"),
    refused("container"),
    accepted("metadata"),
    accepted("service_tier"),
};

constexpr Field kEmbeddings[] = {
    plain("model", string, "A name that GET /v1/models lists; default: the model served."),
    wanted("input", string_or_array,
           "A text, an array of texts, an array of token ids, or an array of such arrays."),
    text("encoding_format", 16, "float, a list of numbers, or base64, of little-endian fp32."),
    range("dimensions", integer, 1, kInt32Max, nullptr,
          "Keep only the first of them, as many, and scale what is left to length 1 again."),
    plain("normalize", boolean, "Scale to length 1; default: what the checkpoint says, else true."),
    flag("add_special_tokens", "true", "The tokenizer's own tokens around a text."),
    range("truncate_prompt_tokens", integer, -1, kInt32Max, nullptr,
          "Keep only the first tokens of a longer text, as many, the tokenizer's own around it "
          "included; -1: what the model takes."),
    range("priority", integer, kInt32Min, kInt32Max, "0", "Lower is served earlier."),
    text("cache_salt", 256, "Prefixes are reused among requests with the same salt and key only."),
    refused("messages"),
    refused("embed_dtype", R"(["float32"])"),
    accepted("user"),
};

constexpr Field kTokenize[] = {
    plain("model", string, "A name that GET /v1/models lists; default: the model served."),
    plain("prompt", string, "A text; or messages."),
    plain("messages", array, "A conversation, rendered by the chat template."),
    flag("add_special_tokens", "true", "The tokenizer's beginning of text before a text."),
    flag("add_generation_prompt", "true", "The template begins the assistant's answer."),
    flag("continue_final_message", "false", "The last message is left open."),
    flag("return_token_strs", "false", "The tokens as the vocabulary writes them, too."),
    plain("chat_template_kwargs", object, "Variables of the model's chat template."),
};

constexpr Field kDetokenize[] = {
    plain("model", string, "A name that GET /v1/models lists; default: the model served."),
    {.name = "tokens",
     .type = integers,
     .description = "Token ids.",
     .required = true,
     .low = 0,
     .high = kInt32Max,
     .max_length = 1 << 20},
};

using Tables = std::span<const Field>;
constexpr Tables kCompletionsTables[] = {kCompletions, kOpenAi, kSampling};
constexpr Tables kChatTables[] = {kChat, kOpenAi, kSampling};
constexpr Tables kResponsesTables[] = {kResponses, kSampling};
constexpr Tables kMessagesTables[] = {kMessages, kSampling};
constexpr Tables kEmbeddingsTables[] = {kEmbeddings};
constexpr Tables kTokenizeTables[] = {kTokenize};
constexpr Tables kDetokenizeTables[] = {kDetokenize};

constexpr Endpoint kEndpoints[] = {
    {Route::health, "GET", "/health", "200 when ready, 503 while loading or draining", {}, true},
    {Route::live, "GET", "/health/live", "200 as long as the process serves", {}, true},
    {Route::ready, "GET", "/health/ready", "The same as /health", {}, true},
    {Route::version, "GET", "/version", "Version of the server", {}},
    {Route::metrics, "GET", "/metrics", "Prometheus metrics", {}},
    {Route::openapi, "GET", "/openapi.json", "This document", {}},
    {Route::models, "GET", "/v1/models", "The models served", {}},
    {Route::model, "GET", "/v1/models/{model}", "One model", {}},
    {Route::completions, "POST", "/v1/completions", "Continue a text", kCompletionsTables, false,
     true},
    {Route::chat_completions, "POST", "/v1/chat/completions", "Answer a conversation", kChatTables,
     false, true},
    {Route::responses, "POST", "/v1/responses", "The same, as OpenAI's newer API has it",
     kResponsesTables, false, true},
    {Route::messages, "POST", "/v1/messages", "The same, as Anthropic's API has it",
     kMessagesTables, false, true},
    {Route::embeddings, "POST", "/v1/embeddings", "Texts to vectors", kEmbeddingsTables, false,
     true},
    {Route::tokenize, "POST", "/tokenize", "Text or conversation to token ids", kTokenizeTables,
     false, true},
    {Route::detokenize, "POST", "/detokenize", "Token ids to text", kDetokenizeTables, false, true},
};

OrderedJson json_type(const Field& field) {
  const auto bounded = [&](const char* type) {
    return OrderedJson{{"type", type}, {"minimum", field.low}, {"maximum", field.high}};
  };
  switch (field.type) {
    case boolean:
      return {{"type", "boolean"}};
    case integer:
      return bounded("integer");
    case number:
      return bounded("number");
    case string: {
      OrderedJson schema = {{"type", "string"}};
      if (field.max_length > 0) schema["maxLength"] = field.max_length;
      return schema;
    }
    case object:
      return {{"type", "object"}};
    case array:
      return {{"type", "array"}};
    case integers:
      return {{"type", "array"}, {"maxItems", field.max_length}, {"items", bounded("integer")}};
    case string_or_strings:
    case string_or_array:
      return {{"type", {"string", "array"}}};
    case any:
      return OrderedJson::object();
  }
  return OrderedJson::object();
}

OrderedJson body_schema(const Endpoint& endpoint) {
  OrderedJson properties = OrderedJson::object();
  OrderedJson required = OrderedJson::array();
  for (const auto table : endpoint.tables) {
    for (const Field& field : table) {
      OrderedJson schema = json_type(field);
      schema["description"] = field.description;
      if (field.fallback != nullptr) schema["default"] = OrderedJson::parse(field.fallback);
      if (field.use == FieldUse::unsupported) schema["deprecated"] = true;
      properties[field.name] = std::move(schema);
      if (field.required) required.push_back(field.name);
    }
  }
  OrderedJson schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

OrderedJson operation(const Endpoint& endpoint) {
  const OrderedJson error = {{"$ref", "#/components/schemas/Error"}};
  const OrderedJson error_content = {{"application/json", {{"schema", error}}}};
  OrderedJson description = {{"summary", endpoint.summary}};
  if (endpoint.is_open) description["security"] = OrderedJson::array();
  if (std::string_view(endpoint.path).ends_with('}')) {
    description["parameters"] = {
        {{"name", "model"}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}};
  }
  if (!endpoint.tables.empty()) {
    description["requestBody"] = {
        {"required", true},
        {"content", {{"application/json", {{"schema", body_schema(endpoint)}}}}}};
  }
  description["responses"] = {
      {"200", {{"description", "Done"}}},
      {"default", {{"description", "An error"}, {"content", error_content}}}};
  return description;
}

OrderedJson error_schema() {
  const OrderedJson text = {{"type", "string"}};
  const OrderedJson text_or_null = {{"type", {"string", "null"}}};
  const OrderedJson error = {
      {"type", "object"},
      {"properties",
       {{"message", text}, {"type", text}, {"param", text_or_null}, {"code", text_or_null}}}};
  return {{"type", "object"}, {"properties", {{"error", error}}}};
}

}  // namespace

std::span<const Endpoint> endpoints() { return kEndpoints; }

const Endpoint* find_endpoint(std::string_view path) {
  for (const Endpoint& endpoint : kEndpoints) {
    const std::string_view pattern = endpoint.path;
    if (path == pattern) return &endpoint;
    const std::string_view prefix = pattern.substr(0, pattern.find('{'));
    if (prefix.size() < pattern.size() && path.size() > prefix.size() && path.starts_with(prefix)) {
      return &endpoint;
    }
  }
  return nullptr;
}

std::string openapi_document(std::string_view version) {
  OrderedJson paths = OrderedJson::object();
  for (const Endpoint& endpoint : kEndpoints) {
    const char* method = endpoint.method == std::string_view("GET") ? "get" : "post";
    paths[endpoint.path][method] = operation(endpoint);
  }
  return to_text({{"openapi", "3.1.0"},
                  {"info", {{"title", "Lotse"}, {"version", version}}},
                  {"security", {{{"key", OrderedJson::array()}}}},
                  {"paths", std::move(paths)},
                  {"components",
                   {{"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}},
                    {"schemas", {{"Error", error_schema()}}}}}});
}

}  // namespace lotse
