#include "port/gguf_companions.h"

#include "base/json.h"
#include "model/gguf_vocabulary.h"
#include "tokenizer/gguf_files.h"

namespace lotse {
namespace {

std::optional<int32_t> narrow(std::optional<int64_t> id) {
  return id ? std::optional(static_cast<int32_t>(*id)) : std::nullopt;
}

// Ends of a text that config.json, which has `eos` alone, does not name.
std::optional<std::string> generation_config(const GgufVocab& vocab) {
  if (!vocab.eot || vocab.eot == vocab.eos) return std::nullopt;
  Json config = {{"eos_token_id", Json::array()}};
  if (vocab.eos) config["eos_token_id"].push_back(*vocab.eos);
  config["eos_token_id"].push_back(*vocab.eot);
  if (vocab.bos) config["bos_token_id"] = *vocab.bos;
  if (vocab.pad) config["pad_token_id"] = *vocab.pad;
  return config.dump(2) + "\n";
}

}  // namespace

Result<std::vector<Companion>> gguf_companions(const GgufVocab& vocab) {
  auto files = tokenizer_files(gguf_vocabulary(vocab), {narrow(vocab.pad), vocab.chat_template});
  if (!files) {
    return fail(files.error().code, "{}; put the model's tokenizer.json beside the GGUF file",
                files.error().message);
  }
  std::vector<Companion> companions = {
      {"tokenizer.json", std::move(files->tokenizer_json)},
      {"tokenizer_config.json", std::move(files->tokenizer_config_json)}};
  if (auto text = generation_config(vocab)) {
    companions.push_back({"generation_config.json", std::move(*text)});
  }
  return companions;
}

}  // namespace lotse
