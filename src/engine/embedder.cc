#include "engine/embedder.h"

#include <condition_variable>
#include <mutex>

#include "engine/embedding.h"

namespace lotse {
namespace {

// What all requests together have come to.
struct Gathered {
  explicit Gathered(size_t texts) : embeddings(texts), open(texts) {}

  void end(const RequestOutcome& outcome) {
    const std::scoped_lock lock(mutex);
    if (outcome.error) error = outcome.error;
    if (--open == 0) changed.notify_all();
  }

  Result<void> wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return open == 0; });
    if (error) return std::unexpected(*error);
    return {};
  }

  std::vector<std::vector<float>> embeddings;
  size_t open;
  std::optional<Error> error;
  std::mutex mutex;
  std::condition_variable changed;
};

class OneEmbedding final : public RequestSink {
 public:
  OneEmbedding(std::shared_ptr<Gathered> gathered, size_t text)
      : gathered_(std::move(gathered)), text_(text) {}

  void on_embedding(std::vector<float> embedding) override {
    gathered_->embeddings[text_] = std::move(embedding);
  }
  bool on_token(const GeneratedToken&) override { return false; }
  void on_end(const RequestOutcome& outcome) override { gathered_->end(outcome); }

 private:
  std::shared_ptr<Gathered> gathered_;
  size_t text_;
};

}  // namespace

Result<std::vector<std::vector<float>>> embed(ServingEngine& engine,
                                              std::vector<std::vector<int32_t>> texts,
                                              int64_t dimensions) {
  const auto gathered = std::make_shared<Gathered>(texts.size());
  const EmbeddingConfig& config = engine.engine().embedding();
  for (size_t i = 0; i < texts.size(); ++i) {
    GenerationRequest request;
    request.prompt = std::move(texts[i]);
    request.pooling = config.pooling;
    LOTSE_TRY(engine.submit(std::move(request), std::make_shared<OneEmbedding>(gathered, i)));
  }
  if (!texts.empty()) LOTSE_TRY(gathered->wait());
  const int64_t hidden = engine.engine().config().hidden;
  for (std::vector<float>& embedding : gathered->embeddings) {
    finish_embedding(embedding, dimensions > 0 ? dimensions : hidden, config.normalise);
  }
  return std::move(gathered->embeddings);
}

}  // namespace lotse
