#include "engine/chat.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/mmap.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFile = int64_t{64} << 20;

// A special token is a string, or an object with its text in `content`.
std::map<std::string, std::string> special_tokens(const Json& config) {
  std::map<std::string, std::string> tokens;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    const auto it = config.find(key);
    if (it == config.end()) continue;
    if (it->is_string()) tokens[key] = it->get<std::string>();
    if (it->is_object() && it->contains("content") && it->at("content").is_string()) {
      tokens[key] = it->at("content").get<std::string>();
    }
  }
  return tokens;
}

// `chat_template`: one template, or a list of named ones of which "default" is taken.
std::optional<std::string> configured_template(const Json& config) {
  const auto it = config.find("chat_template");
  if (it == config.end()) return std::nullopt;
  if (it->is_string()) return it->get<std::string>();
  if (!it->is_array()) return std::nullopt;
  for (const Json& item : *it) {
    if (item.is_object() && item.value("name", Json()) == "default" && item.contains("template") &&
        item.at("template").is_string()) {
      return item.at("template").get<std::string>();
    }
  }
  return std::nullopt;
}

struct Source {
  std::optional<std::string> text;
  std::string origin;
  std::map<std::string, std::string> special_tokens;
};

Result<Source> read_directory(const fs::path& directory) {
  Source source;
  const fs::path config_path = directory / "tokenizer_config.json";
  if (fs::exists(config_path)) {
    const Json config = LOTSE_TRY(read_json_file(config_path.string()));
    if (config.is_object()) {
      source.special_tokens = special_tokens(config);
      source.text = configured_template(config);
      source.origin = config_path.string() + ": chat_template";
    }
  }
  const fs::path file = directory / "chat_template.jinja";
  if (fs::exists(file)) {
    source.text = LOTSE_TRY(read_text_file(file, kMaxFile));
    source.origin = file.string();
  }
  return source;
}

Source read_gguf(const Checkpoint& checkpoint) {
  Source source;
  const GgufVocab& vocab = *checkpoint.gguf_vocab;
  source.text = vocab.chat_template;
  source.origin = checkpoint.path.string() + ": tokenizer.chat_template";
  const auto name = [&](const char* key, std::optional<int64_t> id) {
    if (id && *id >= 0 && *id < std::ssize(vocab.tokens)) {
      source.special_tokens[key] = vocab.tokens[static_cast<size_t>(*id)];
    }
  };
  name("bos_token", vocab.bos);
  name("eos_token", vocab.eos);
  return source;
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// Cuts a rendering after the last place where `text` stands, as a whole or, where the template
// trims messages, without the white space around it.
Result<void> cut_after(std::vector<Segment>& segments, const std::string& text) {
  std::string rendered;
  for (const Segment& segment : segments) rendered += segment.text;
  std::string_view found = text;
  size_t begin = rendered.rfind(found);
  if (begin == std::string::npos) begin = rendered.rfind(found = trim(text));
  if (begin == std::string::npos) {
    return fail(ErrorCode::invalid_input,
                "the chat template changes the last message, so that it cannot be continued");
  }
  size_t left = begin + found.size();
  for (Segment& segment : segments) {
    segment.text.resize(std::min(left, segment.text.size()));
    left -= segment.text.size();
  }
  return {};
}

}  // namespace

Result<std::optional<Chat>> Chat::load(const Checkpoint& checkpoint) {
  Source source;
  if (checkpoint.gguf_vocab) {
    source = read_gguf(checkpoint);
  } else {
    const fs::path& path = checkpoint.path;
    source = LOTSE_TRY(read_directory(fs::is_directory(path) ? path : path.parent_path()));
  }
  if (!source.text) return std::optional<Chat>();
  return std::optional<Chat>(
      LOTSE_TRY(compile(*source.text, source.origin, std::move(source.special_tokens))));
}

Result<Chat> Chat::compile(const std::string& source, const std::string& origin,
                           std::map<std::string, std::string> special_tokens) {
  Chat chat;
  chat.template_ = LOTSE_TRY(ChatTemplate::compile(source, origin));
  chat.special_tokens_ = std::move(special_tokens);
  chat.output_format_ = detect_output_format(source);
  chat.call_style_ = chat.find_call_style();
  return chat;
}

// The first style in which a call is rendered, with its arguments as JSON that is not quoted once
// more.
CallMessageStyle Chat::find_call_style() const {
  RenderOptions options;
  options.special_tokens = special_tokens_;
  for (const CallMessageStyle style :
       {CallMessageStyle{false, false}, CallMessageStyle{false, true},
        CallMessageStyle{true, false}, CallMessageStyle{true, true}}) {
    const OrderedJson arguments = {{"probe_key", 1}};
    const OrderedJson function = {
        {"name", "probe_name"},
        {"arguments", style.arguments_are_text ? OrderedJson(arguments.dump()) : arguments}};
    OrderedJson call = {{"type", "function"}, {"id", "abcdefgh1"}, {"function", function}};
    OrderedJson message = {{"role", "assistant"}, {"content", ""}};
    if (style.content_is_null) message["content"] = nullptr;
    message["tool_calls"] = OrderedJson::array({std::move(call)});
    const OrderedJson context = {
        {"messages", {{{"role", "user"}, {"content", "?"}}, std::move(message)}}};
    const auto text = template_->render(context, options);
    const auto has = [&](const char* part) { return text->find(part) != std::string::npos; };
    if (text && has("probe_name") && has("probe_key") && !has("\\\"probe_key")) return style;
  }
  return {};
}

Result<std::vector<int32_t>> Chat::encode(const Tokenizer& tokenizer,
                                          const std::vector<Message>& messages,
                                          bool add_generation_prompt) const {
  OrderedJson context;
  context["messages"] = OrderedJson::array();
  for (const Message& message : messages) {
    context["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  context["add_generation_prompt"] = add_generation_prompt;
  return encode(tokenizer, context, std::nullopt);
}

Result<std::vector<int32_t>> Chat::encode(const Tokenizer& tokenizer, const OrderedJson& context,
                                          const std::optional<std::string>& open_end) const {
  RenderOptions options;
  options.special_tokens = special_tokens_;
  std::vector<Segment> segments = LOTSE_TRY(template_->render_segments(context, options));
  if (open_end) LOTSE_TRY(cut_after(segments, *open_end));
  std::vector<TextSegment> views;
  for (const Segment& segment : segments) views.push_back({segment.text, segment.trusted});
  return tokenizer.encode_segments(views);
}

}  // namespace lotse
