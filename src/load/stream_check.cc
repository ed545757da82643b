#include "load/stream_check.h"

#include "base/json.h"

namespace lotse {
namespace {

constexpr size_t kShownError = 200;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

int64_t integer(const Json* json) {
  return json != nullptr && json->is_number_integer() ? json->get<int64_t>() : -1;
}

std::string string(const Json* json) {
  return json != nullptr && json->is_string() ? json->get<std::string>() : "";
}

}  // namespace

void EventSplitter::take_line(std::string_view line) {
  const size_t colon = std::min(line.find(':'), line.size());
  const std::string_view field = line.substr(0, colon);
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") name_ = value;
  if (field != "data") return;
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

void EventSplitter::reset() {
  name_.clear();
  data_.clear();
  has_data_ = false;
}

void StreamCheck::push(std::string_view text, Time now) {
  splitter_.push(
      text, [&](const std::string& name, const std::string& data) { on_event(name, data, now); });
}

void StreamCheck::on_event(std::string_view name, std::string_view data, Time now) {
  expect(ends_ == 0, data == "[DONE]" ? "more than one [DONE]" : "an event after [DONE]");
  if (data == "[DONE]") {
    ++ends_;
    return;
  }
  const Json json = Json::parse(data, nullptr, false);
  expect(!json.is_discarded(), "an event that is no JSON");
  if (json.is_discarded()) return;
  if (const Json* error = member(json, "error"); error != nullptr || name == "error") {
    failure_ = error != nullptr ? string(member(*error, "message")) : "";
    if (failure_.empty()) failure_ = std::string(data.substr(0, kShownError));
    return;
  }
  const std::string id = string(member(json, "id"));
  if (events_++ == 0) id_ = id;
  expect(id == id_ && !id.empty(), "an id that changes or is missing");
  expect(string(member(json, "object")) == (is_chat_ ? "chat.completion.chunk" : "text_completion"),
         "another \"object\" than the API's");
  if (const Json* usage = member(json, "usage"); usage != nullptr && usage->is_object()) {
    ++usages_;
    prompt_tokens_ = integer(member(*usage, "prompt_tokens"));
    completion_tokens_ = integer(member(*usage, "completion_tokens"));
    const Json* details = member(*usage, "prompt_tokens_details");
    cached_tokens_ =
        details == nullptr ? 0 : std::max<int64_t>(integer(member(*details, "cached_tokens")), 0);
  }
  const Json* choices = member(json, "choices");
  expect(choices != nullptr && choices->is_array(), "a chunk without choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return;
  const Json& choice = choices->front();
  const Json* delta = member(choice, "delta");
  expect(!is_chat_ || delta != nullptr, "a choice without delta");
  const Json* content =
      is_chat_ ? (delta == nullptr ? nullptr : member(*delta, "content")) : member(choice, "text");
  std::string text = string(content);
  if (text.empty() && delta != nullptr) {
    text = string(member(*delta, "reasoning"));
    if (text.empty()) text = string(member(*delta, "reasoning_content"));
  }
  expect(finishes_ == 0 || text.empty(), "text after finish_reason");
  if (!text.empty()) text_times_.push_back(now);
  if (!string(member(choice, "finish_reason")).empty()) ++finishes_;
}

void StreamCheck::finish() {
  if (!failure_.empty()) return;
  expect(!splitter_.is_cut(), "a stream that ends within an event");
  expect(ends_ == 1, "no [DONE]");
  expect(finishes_ == 1, finishes_ == 0 ? "no finish_reason" : "more than one finish_reason");
  expect(usages_ > 0, "no usage, though include_usage was asked for");
  expect(usages_ == 0 || (prompt_tokens_ > 0 && completion_tokens_ >= 0), "usage without counts");
  expect(completion_tokens_ <= asked_tokens_, "more tokens than max_tokens");
}

}  // namespace lotse
