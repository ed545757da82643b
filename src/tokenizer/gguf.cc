// Tokenizers from GGUF metadata. The three kinds are expressed in the steps of tokenizer.json.
#include "tokenizer/bpe.h"
#include "tokenizer/gguf_parts.h"
#include "tokenizer/parts.h"
#include "tokenizer/wordpiece.h"

namespace lotse {
namespace {

constexpr std::string_view kTokens = "GGUF: tokenizer.ggml.tokens";

MergeTable merge_table(const GgufParts& source) {
  MergeTable merges(std::ssize(source.merges));
  for (const GgufMerge& merge : source.merges) {
    merges.add_rank(merge.merged);
    if (!is_reserved(source.reserved, merge.merged)) merges.add_pair(merge.left, merge.right);
  }
  return merges;
}

void build_sentencepiece(GgufParts source, bool add_space_prefix, Tokenizer::Parts& parts) {
  BpeOptions options;
  options.byte_fallback = true;
  options.fuse_unk = true;
  options.unk_id = source.unk_id;
  MergeTable merges = merge_table(source);
  parts.model = std::make_unique<Bpe>(std::move(source.vocabulary), std::move(merges),
                                      std::move(options), source.reserved);

  std::vector<std::unique_ptr<Normalizer>> steps;
  if (add_space_prefix) steps.push_back(prepend(kSentencePieceSpace));
  steps.push_back(replace(literal_pattern(" "), kSentencePieceSpace));
  parts.normalizer = normalizer_sequence(std::move(steps));

  Decoder decoder;
  decoder.add(decode_replace(literal_pattern(kSentencePieceSpace), " "), false);
  decoder.byte_fallback = true;
  decoder.add(decode_byte_fallback(), false);
  decoder.add(decode_fuse(), true);
  if (add_space_prefix) decoder.add(decode_strip(" ", 1, 0), false);
  parts.set_decoder(std::move(decoder));
}

Result<void> build_byte_level(GgufParts source, Tokenizer::Parts& parts) {
  BpeOptions options;
  options.ignore_merges = source.ignore_merges;
  MergeTable merges = merge_table(source);
  parts.model = std::make_unique<Bpe>(std::move(source.vocabulary), std::move(merges),
                                      std::move(options), source.reserved);

  std::vector<std::unique_ptr<PreTokenizer>> steps;
  for (const std::string_view expression : source.expressions) {
    auto pattern = LOTSE_TRY(regex_pattern(expression, "GGUF: tokenizer.ggml.pre"));
    steps.push_back(split_at(std::move(pattern), SplitBehaviour::isolated, false));
  }
  parts.pre_tokenizer = steps.size() == 1 ? std::move(steps[0]) : sequence(std::move(steps));
  Decoder decoder;
  decoder.byte_level_first = true;
  decoder.add(decode_byte_level(), true);
  parts.set_decoder(std::move(decoder));
  return {};
}

Result<void> build_bert(GgufParts source, Tokenizer::Parts& parts) {
  WordPieceOptions options;
  options.unk_id = source.unk_id;
  parts.model = LOTSE_TRY(WordPiece::create(std::move(source.vocabulary), std::move(options),
                                            source.reserved, kTokens));
  parts.normalizer = bert_normalizer({});
  parts.pre_tokenizer = bert_pre_tokenizer();
  parts.decoder.add(decode_wordpiece("##", true), false);
  return {};
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(const GgufVocabulary& vocabulary) {
  GgufParts source = LOTSE_TRY(read_gguf_parts(vocabulary));
  auto parts = std::make_unique<Parts>();
  std::vector<AddedToken> added = std::move(source.added);
  parts->bos = vocabulary.bos;
  parts->eos = vocabulary.eos;
  parts->prefix = std::move(source.prefix);
  parts->suffix = std::move(source.suffix);
  switch (source.kind) {
    case GgufKind::sentencepiece:
      build_sentencepiece(std::move(source), vocabulary.add_space_prefix, *parts);
      break;
    case GgufKind::byte_level:
      LOTSE_TRY(build_byte_level(std::move(source), *parts));
      break;
    case GgufKind::bert:
      LOTSE_TRY(build_bert(std::move(source), *parts));
      break;
  }
  parts->added = LOTSE_TRY(AddedTokens::create(std::move(added), parts->normalizer.get(), kTokens));
  return std::make_shared<const Tokenizer>(std::move(parts));
}

}  // namespace lotse
