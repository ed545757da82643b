#include "server/embeddings.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/embedding.h"
#include "server/json_text.h"

namespace lotse {
namespace {

// Texts of one request that the engine has at a time.
constexpr size_t kAtOnce = 32;

std::string place_of(size_t index, bool is_single) {
  return is_single ? "input" : fmt::format("input[{}]", index);
}

// Texts and lists of tokens, within the model's limit.
class TextReader {
 public:
  TextReader(const RequestFields& fields, const ServedModel& model)
      : model_(model),
        adds_special_(fields.boolean("add_special_tokens").value_or(true)),
        most_(fields.integer("truncate_prompt_tokens")) {
    if (most_) most_ = *most_ < 0 ? limit() : std::min(*most_, limit());
  }

  ApiResult<std::vector<int32_t>> read(const OrderedJson& item, const std::string& place) const {
    auto tokens = LOTSE_TRY(item.is_string() ? encode(item.get_ref<const std::string&>(), place)
                                             : read_tokens(item, place));
    if (tokens.empty()) return bad_field(place, "the text has no tokens");
    if (std::ssize(tokens) <= limit()) return tokens;
    return too_long(place, fmt::format("the text has {} tokens, and embeddings are of at most {}",
                                       tokens.size(), limit()));
  }

 private:
  int64_t limit() const { return model_.embedding.max_tokens; }

  static std::unexpected<ApiError> too_long(const std::string& place, const std::string& what) {
    return std::unexpected(ApiError{400, place + ": " + what, place, "context_length_exceeded"});
  }

  ApiResult<std::vector<int32_t>> encode(const std::string& text, const std::string& place) const {
    const int64_t most = limit() * model_.max_token_bytes;
    if (!most_ && std::ssize(text) > most) {
      return too_long(place, fmt::format("the text has {} bytes, and {} tokens hold at most {}",
                                         text.size(), limit(), most));
    }
    auto tokens = LOTSE_TRY(tokenise(text, adds_special_, place));
    if (!most_ || std::ssize(tokens) <= *most_) return tokens;
    // What stands around the text stays around what is left of it.
    const auto bare = LOTSE_TRY(tokenise(text, false, place));
    const auto found = std::ranges::search(tokens, bare);
    const int64_t extra = std::ssize(tokens) - std::ssize(bare);
    if (found.empty() || extra > *most_) {
      tokens.resize(static_cast<size_t>(*most_));
    } else {
      tokens.erase(found.begin() + (*most_ - extra), found.end());
    }
    return tokens;
  }

  ApiResult<std::vector<int32_t>> tokenise(const std::string& text, bool adds_special,
                                           const std::string& place) const {
    auto tokens =
        model_.tokenizer.encode(text, {.add_bos_eos = adds_special, .parse_special = false});
    if (!tokens) return std::unexpected(api_error(tokens.error(), place));
    return *std::move(tokens);
  }

  ApiResult<std::vector<int32_t>> read_tokens(const OrderedJson& list,
                                              const std::string& place) const {
    std::vector<int32_t> tokens;
    for (const OrderedJson& item : list) {
      const bool is_known = item.is_number_integer() && item.get<int64_t>() >= 0 &&
                            item.get<int64_t>() < model_.vocabulary;
      if (!is_known) {
        return bad_field(place, "expected token ids from 0 to {}, got {}", model_.vocabulary - 1,
                         item.is_primitive() ? item.dump(-1, ' ', true).substr(0, 40) : "a list");
      }
      tokens.push_back(item.get<int32_t>());
    }
    if (most_ && std::ssize(tokens) > *most_) tokens.resize(static_cast<size_t>(*most_));
    return tokens;
  }

  const ServedModel& model_;
  bool adds_special_;
  std::optional<int64_t> most_;  // tokens that are kept of a longer text
};

ApiResult<std::vector<std::vector<int32_t>>> read_texts(const RequestFields& fields,
                                                        const ServedModel& model) {
  const OrderedJson& input = *fields.find("input");
  const TextReader reader(fields, model);
  std::vector<std::vector<int32_t>> texts;
  const bool is_single = input.is_string() || (!input.empty() && input.front().is_number());
  if (is_single) {
    texts.push_back(LOTSE_TRY(reader.read(input, "input")));
    return texts;
  }
  if (input.empty()) return bad_field("input", "the array is empty");
  if (input.size() > kMaxTexts) {
    return bad_field("input", "expected at most {} texts, got {}", kMaxTexts, input.size());
  }
  for (size_t i = 0; i < input.size(); ++i) {
    if (!input[i].is_string() && !input[i].is_array()) {
      return bad_field("input", "expected strings, or arrays of token ids");
    }
    texts.push_back(LOTSE_TRY(reader.read(input[i], place_of(i, false))));
  }
  return texts;
}

std::string base64(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock ends it with a zero
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

// Shortest digits that give the same fp32 again.
std::string numbers(std::span<const float> values) {
  std::string text = "[";
  for (const float value : values) text += fmt::format("{},", value);
  text.back() = ']';
  return text;
}

// One request's texts, from the engine to the client. All but the sinks' own calls happen on the
// I/O thread.
class EmbeddingCall : public std::enable_shared_from_this<EmbeddingCall> {
 public:
  EmbeddingCall(std::shared_ptr<const ServedModel> model, EmbeddingJob job,
                std::shared_ptr<Exchange> exchange,
                std::function<void(const GenerationSummary&)> done)
      : model_(std::move(model)),
        job_(std::move(job)),
        exchange_(std::move(exchange)),
        done_(std::move(done)),
        answers_(job_.texts.size()) {}

  void begin() {
    exchange_->post([self = shared_from_this()] {
      self->exchange_->on_disconnect([self] { self->on_disconnect(); });
      self->submit_more();
    });
  }

  // Any thread.
  void deliver(size_t text, std::vector<float> embedding, const RequestOutcome& outcome) {
    exchange_->post([self = shared_from_this(), text, embedding = std::move(embedding),
                     outcome]() mutable { self->on_end(text, std::move(embedding), outcome); });
  }

 private:
  void submit_more();

  void on_end(size_t text, std::vector<float> embedding, const RequestOutcome& outcome) {
    if (is_over_) return;
    const AnswerEnd end{outcome, std::nullopt};
    if (const auto reason = finish_reason(end); !reason) return fail(reason.error());
    model_->metrics->count_request(end);
    finish_embedding(embedding, job_.dimensions, job_.normalise);
    if (!std::ranges::all_of(embedding, [](float value) { return std::isfinite(value); })) {
      return fail({500, fmt::format("the embedding of text {} is not finite", text)});
    }
    usage_.prompt_tokens += outcome.prompt_tokens;
    usage_.cached_tokens = usage_.cached_tokens.value_or(0) + outcome.cached_tokens;
    answers_[text] = job_.as_base64 ? '"' + base64(embedding) + '"' : numbers(embedding);
    --running_;
    if (++ended_ == answers_.size()) return complete();
    submit_more();
  }

  void complete() {
    std::string body = R"({"object":"list","data":[)";
    for (size_t i = 0; i < answers_.size(); ++i) {
      body += fmt::format(R"({}{{"object":"embedding","index":{},"embedding":{}}})",
                          i == 0 ? "" : ",", i, answers_[i]);
    }
    body += fmt::format(R"(],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                        to_text(model_->id), usage_.prompt_tokens, usage_.prompt_tokens);
    exchange_->respond({200, "application/json", std::move(body), job_.headers});
    finish(200, "stop");
  }

  void fail(const ApiError& error) {
    cancel_all();
    HttpResponse response = error_response(error);
    response.headers.insert(response.headers.end(), job_.headers.begin(), job_.headers.end());
    exchange_->respond(std::move(response));
    finish(error.status, "error");
  }

  void on_disconnect() {
    if (is_over_) return;
    cancel_all();
    model_->metrics->count_cancelled(static_cast<int64_t>(running_));
    finish(499, "disconnected");
  }

  void cancel_all() {
    for (const RequestId id : ids_) model_->engine.cancel(id);
  }

  void finish(int status, std::string reason) {
    is_over_ = true;
    done_({status, usage_, std::move(reason)});
  }

  const std::shared_ptr<const ServedModel> model_;
  EmbeddingJob job_;
  std::shared_ptr<Exchange> exchange_;
  std::function<void(const GenerationSummary&)> done_;
  std::vector<std::string> answers_;  // each text's vector as the client gets it
  std::vector<RequestId> ids_;
  Usage usage_;
  size_t running_ = 0;
  size_t ended_ = 0;
  bool is_submitting_ = false;
  bool is_over_ = false;
};

// Hears of one text on the engine's thread.
class TextSink final : public RequestSink {
 public:
  TextSink(std::shared_ptr<EmbeddingCall> call, size_t text)
      : call_(std::move(call)), text_(text) {}

  void on_embedding(std::vector<float> embedding) override { embedding_ = std::move(embedding); }
  bool on_token(const GeneratedToken&) override { return false; }
  void on_end(const RequestOutcome& outcome) override {
    call_->deliver(text_, std::move(embedding_), outcome);
  }

 private:
  std::shared_ptr<EmbeddingCall> call_;
  size_t text_;
  std::vector<float> embedding_;
};

void EmbeddingCall::submit_more() {
  if (std::exchange(is_submitting_, true)) return;  // an engine may answer within submit()
  while (!is_over_ && running_ < kAtOnce && ids_.size() < job_.texts.size()) {
    const size_t text = ids_.size();
    GenerationRequest request;
    request.adapter = model_->adapter;
    request.prompt = std::move(job_.texts[text]);
    request.pooling = model_->embedding.config.pooling;
    request.priority = job_.priority;
    request.cache_salt = job_.cache_salt;
    request.deadline = job_.deadline;
    ++running_;
    ids_.push_back(0);  // an id of no request
    const auto id = model_->engine.submit(std::move(request),
                                          std::make_shared<TextSink>(shared_from_this(), text));
    if (!id) {
      fail(api_error(id.error()));
    } else {
      ids_[text] = *id;
    }
  }
  is_submitting_ = false;
}

}  // namespace

ApiResult<EmbeddingJob> read_embedding_job(const RequestFields& fields, const ServedModel& model) {
  EmbeddingJob job;
  const std::string format = fields.string("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    return bad_field("encoding_format", "expected \"float\" or \"base64\", got \"{}\"", format);
  }
  job.as_base64 = format == "base64";
  job.dimensions = fields.integer("dimensions").value_or(model.embedding.dimensions);
  if (job.dimensions > model.embedding.dimensions) {
    return bad_field("dimensions", "the model's embeddings have {}, got {}",
                     model.embedding.dimensions, job.dimensions);
  }
  job.normalise = fields.boolean("normalize").value_or(model.embedding.config.normalise);
  job.priority = static_cast<int32_t>(fields.integer("priority").value_or(0));
  job.cache_salt = fields.string("cache_salt").value_or("");
  job.texts = LOTSE_TRY(read_texts(fields, model));
  return job;
}

void embed(const std::shared_ptr<const ServedModel>& model, EmbeddingJob job,
           std::shared_ptr<Exchange> exchange, std::function<void(const GenerationSummary&)> done) {
  std::make_shared<EmbeddingCall>(model, std::move(job), std::move(exchange), std::move(done))
      ->begin();
}

}  // namespace lotse
