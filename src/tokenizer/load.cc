// tokenizer.json as a whole.
#include <algorithm>

#include "base/mmap.h"
#include "tokenizer/json_field.h"
#include "tokenizer/parts.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/read_model.h"
#include "tokenizer/shown.h"
#include "tokenizer/tokenizer_config.h"

namespace lotse {
namespace {

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

Result<AddedToken> read_added_token(const JsonField& section) {
  AddedToken token;
  token.content = LOTSE_TRY(section.required_string("content"));
  const JsonField id = LOTSE_TRY(section.required("id"));
  token.id = static_cast<int32_t>(LOTSE_TRY(id.integer(0, kMaxTokenId)));
  token.single_word = LOTSE_TRY(section.boolean_or("single_word", false));
  token.lstrip = LOTSE_TRY(section.boolean_or("lstrip", false));
  token.rstrip = LOTSE_TRY(section.boolean_or("rstrip", false));
  token.special = LOTSE_TRY(section.boolean_or("special", false));
  token.normalized = LOTSE_TRY(section.boolean_or("normalized", !token.special));
  return token;
}

class Loader {
 public:
  Loader(JsonField root, const TokenizerConfig& config) : root_(std::move(root)), config_(config) {}

  Result<TokenizerPtr> run() {
    LOTSE_TRY(root_.object());
    LOTSE_TRY(read_added());
    LOTSE_TRY(read_text_steps());
    LOTSE_TRY(read_model());
    LOTSE_TRY(check_added());
    parts_->added =
        LOTSE_TRY(AddedTokens::create(added_, parts_->normalizer.get(), place_of("added_tokens")));
    if (const auto section = LOTSE_TRY(root_.optional("decoder"))) {
      parts_->set_decoder(LOTSE_TRY(read_decoder(*section)));
    } else {
      parts_->decoder.add(decode_with_spaces(), false);
    }
    LOTSE_TRY(read_surroundings());
    return std::make_shared<const Tokenizer>(std::move(parts_));
  }

 private:
  std::string place_of(std::string_view key) const {
    return fmt::format("{}: {}", root_.place(), key);
  }

  Result<void> read_added() {
    if (const auto section = LOTSE_TRY(root_.optional("added_tokens"))) {
      for (const JsonField& element : LOTSE_TRY(section->elements())) {
        LOTSE_TRY(add(LOTSE_TRY(read_added_token(element)), element.place()));
      }
    }
    for (const AddedToken& token : config_.added_tokens) LOTSE_TRY(merge(token));
    return {};
  }

  Result<void> add(AddedToken token, std::string_view place) {
    if (!by_content_.emplace(token.content, added_.size()).second) {
      return fail(ErrorCode::invalid_input, "{}: \"{}\" stands twice", place,
                  shown_briefly(token.content));
    }
    if (const auto [it, fresh] = by_id_.emplace(token.id, added_.size()); !fresh) {
      return fail(ErrorCode::invalid_input, "{}: id {} stands for both \"{}\" and \"{}\"", place,
                  token.id, shown_briefly(added_[it->second].content),
                  shown_briefly(token.content));
    }
    added_.push_back(std::move(token));
    return {};
  }

  // The flags of tokenizer_config.json go before those of tokenizer.json, ids do not.
  Result<void> merge(const AddedToken& token) {
    const auto it = by_content_.find(token.content);
    if (it == by_content_.end()) {
      return add(token, "tokenizer_config.json: added_tokens_decoder");
    }
    AddedToken& known = added_[it->second];
    const int32_t id = known.id;
    known = token;
    known.id = id;
    return {};
  }

  Result<void> read_text_steps() {
    if (const auto section = LOTSE_TRY(root_.optional("normalizer"))) {
      parts_->normalizer = LOTSE_TRY(read_normalizer(*section, byte_level_));
    }
    if (const auto section = LOTSE_TRY(root_.optional("pre_tokenizer"))) {
      steps_ = LOTSE_TRY(read_pre_tokenizer(*section));
    }
    steps_.byte_level |= byte_level_;
    byte_level_ = steps_.byte_level;
    return {};
  }

  Result<void> read_model() {
    ModelContext context;
    context.byte_level = byte_level_;
    context.added_id = [this](std::string_view content) {
      const auto it = by_content_.find(std::string(content));
      return it == by_content_.end() ? -1 : added_[it->second].id;
    };
    for (const AddedToken& token : added_) {
      if (!is_privileged(token)) continue;
      const auto id = static_cast<size_t>(token.id);
      if (id >= context.reserved.size()) context.reserved.resize(id + 1);
      context.reserved[id] = true;
    }
    const JsonField section = LOTSE_TRY(root_.required("model"));
    parts_->model = LOTSE_TRY(lotse::read_model(section, context));
    const bool empty = steps_.steps.empty() && !steps_.byte_level;
    if (!empty) {
      parts_->pre_tokenizer = assemble(std::move(steps_), parts_->model->vocabulary().byte_level());
    }
    return {};
  }

  Result<void> check_added() {
    const Vocabulary& vocabulary = parts_->model->vocabulary();
    const auto entries = static_cast<int64_t>(added_.size());
    const int64_t limit = std::min(vocabulary.size() + entries + kMaxIdGap, kMaxTokenId + 1);
    for (const AddedToken& token : added_) {
      if (token.id >= limit) {
        return fail(ErrorCode::invalid_input, "{}: id {} of \"{}\" is outside 0 to {}",
                    place_of("added_tokens"), token.id, shown_briefly(token.content), limit - 1);
      }
      const int32_t id = vocabulary.find_written(token.content);
      if (id == token.id || (id < 0 && !vocabulary.contains(token.id))) continue;
      const std::string other =
          id >= 0 ? fmt::format("it id {}", id)
                  : fmt::format("this id to \"{}\"", shown_briefly(vocabulary.written(token.id)));
      return fail(ErrorCode::invalid_input, "{}: \"{}\" has id {}, but model.vocab gives {}",
                  place_of("added_tokens"), shown_briefly(token.content), token.id, other);
    }
    return {};
  }

  Result<void> read_surroundings() {
    if (const auto section = LOTSE_TRY(root_.optional("post_processor"))) {
      Surroundings around = LOTSE_TRY(read_post_processor(*section));
      LOTSE_TRY(check_known(around.prefix));
      LOTSE_TRY(check_known(around.suffix));
      parts_->prefix = std::move(around.prefix);
      parts_->suffix = std::move(around.suffix);
    }
    if (config_.bos) parts_->bos = parts_->find(*config_.bos);
    if (config_.eos) parts_->eos = parts_->find(*config_.eos);
    if (config_.add_bos) set_surrounding(parts_->prefix, *config_.add_bos, parts_->bos);
    if (config_.add_eos) set_surrounding(parts_->suffix, *config_.add_eos, parts_->eos);
    return {};
  }

  static void set_surrounding(std::vector<int32_t>& ids, bool add, std::optional<int32_t> id) {
    ids.clear();
    if (add && id) ids.push_back(*id);
  }

  Result<void> check_known(const std::vector<int32_t>& ids) const {
    for (const int32_t id : ids) {
      if (parts_->added.find(id) == nullptr && !parts_->model->vocabulary().contains(id)) {
        return fail(ErrorCode::invalid_input, "{}: id {} is not in the vocabulary",
                    place_of("post_processor"), id);
      }
    }
    return {};
  }

  JsonField root_;
  const TokenizerConfig& config_;
  std::unique_ptr<Tokenizer::Parts> parts_ = std::make_unique<Tokenizer::Parts>();
  std::vector<AddedToken> added_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<int32_t, size_t> by_id_;
  PreTokenizerSteps steps_;
  bool byte_level_ = false;
};

Result<TokenizerPtr> read(std::string_view text, std::string_view origin,
                          const TokenizerConfig& config) {
  const JsonDocument document = LOTSE_TRY(JsonDocument::parse(text, origin));
  return Loader(document.root(), config).run();
}

}  // namespace

Result<TokenizerPtr> Tokenizer::from_json(std::string_view tokenizer_json,
                                          std::string_view origin) {
  return read(tokenizer_json, origin, TokenizerConfig{});
}

Result<TokenizerPtr> Tokenizer::load(const std::filesystem::path& model_dir) {
  const std::filesystem::path path = model_dir / "tokenizer.json";
  const auto file = LOTSE_TRY(MappedFile::open(path));
  TokenizerConfig config = LOTSE_TRY(read_tokenizer_config(model_dir));
  return read(file->text(), path.string(), config);
}

}  // namespace lotse
