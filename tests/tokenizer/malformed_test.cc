// Broken and hostile tokenizer.json files: each is refused with one line that names the field.
#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace lotse {
namespace {

constexpr const char* kBpe = R"({
  "version": "1.0",
  "added_tokens": [{"id": 6, "content": "<s>", "special": true, "normalized": false},
                   {"id": 7, "content": "</s>", "special": true, "normalized": false}],
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "NFC"},
    {"type": "Replace", "pattern": {"String": "x"}, "content": "y"},
    {"type": "Prepend", "prepend": "_"},
    {"type": "Strip", "strip_left": true, "strip_right": false},
    {"type": "BertNormalizer", "clean_text": true, "lowercase": false}]},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\s+|b"}, "behavior": "Isolated", "invert": false},
    {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first", "split": true},
    {"type": "Digits", "individual_digits": true},
    {"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "CharDelimiterSplit", "delimiter": "|"},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "Sequence", "processors": [
    {"type": "TemplateProcessing",
     "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
     "special_tokens": {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}}},
    {"type": "BertProcessing", "sep": ["</s>", 7], "cls": ["<s>", 6]}]},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "ByteLevel"},
    {"type": "Replace", "pattern": {"Regex": "_"}, "content": " "},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"},
    {"type": "WordPiece", "prefix": "##", "cleanup": false}]},
  "model": {"type": "BPE", "dropout": null, "unk_token": "a", "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "_": 5},
            "merges": ["a b", ["ab", "c"]]}
})";

constexpr const char* kUnigram = R"({
  "normalizer": {"type": "Precompiled", "precompiled_charsmap": "CAAAAAAAAAAAAAAAYQA="},
  "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
            "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2]]}
})";

constexpr const char* kWordPiece = R"({
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}}
})";

struct Mutation {
  const char* pointer;   // which value of the file
  const char* value;     // what it becomes, JSON; null removes it
  const char* expected;  // part of the error message
};

std::string refused(const std::string& text) {
  const auto start = std::clock();
  const auto tokenizer = Tokenizer::from_json(text, "tokenizer.json");
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 1.0);
  if (tokenizer) return "(accepted)";
  const std::string& message = tokenizer.error().message;
  EXPECT_EQ(message.find("tokenizer.json: "), 0u) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 500u) << message;
  return message;
}

void check(const char* base, const std::vector<Mutation>& mutations) {
  ASSERT_TRUE(Tokenizer::from_json(base, "tokenizer.json"))
      << Tokenizer::from_json(base, "tokenizer.json").error().message;
  for (const Mutation& mutation : mutations) {
    Json json = Json::parse(base);
    const Json::json_pointer pointer(mutation.pointer);
    if (mutation.value == nullptr) {
      json[pointer.parent_pointer()].erase(pointer.back());
    } else {
      json[pointer] = Json::parse(mutation.value);
    }
    const std::string message = refused(json.dump());
    EXPECT_NE(message.find(mutation.expected), std::string::npos)
        << mutation.pointer << " = " << (mutation.value ? mutation.value : "(removed)") << ": "
        << message;
  }
}

TEST(Malformed, Syntax) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "not valid JSON"},
      {" ", "not valid JSON"},
      {"{", "not valid JSON"},
      {"}", "not valid JSON"},
      {"nul", "not valid JSON"},
      {"{\"a\": }", "not valid JSON"},
      {"{\"a\" 1}", "not valid JSON"},
      {"{\"a\": 1,}", "not valid JSON"},
      {"{'a': 1}", "not valid JSON"},
      {"{\"a\": 01}", "not valid JSON"},
      {"{\"a\": NaN}", "not valid JSON"},
      {"{\"a\": 1e999}", "not valid JSON"},
      {"{\"a\": 99999999999999999999999}", "not valid JSON"},
      {"{\"a\": \"\\x\"}", "not valid JSON"},
      {"{\"a\": \"\\ud800\"}", "not valid JSON"},
      {"{\"a\": \"\xff\"}", "not valid JSON"},
      {std::string("{\"a\": \"\0\"}", 10), "not valid JSON"},
      {"{\"a\": \"\n\"}", "not valid JSON"},
      {"{} {}", "not valid JSON"},
      {"// comment\n{}", "not valid JSON"},
      {"[]", "expected an object, got an array"},
      {"3", "expected an object, got 3"},
      {"null", "expected an object, got null"},
      {"\"text\"", "expected an object"},
      {"{}", "model: missing"},
      {std::string(1000, '['), "not valid JSON"},
      {std::string(1000, '[') + std::string(1000, ']'), "nested deeper"},
      {std::string(100, '[') + std::string(100, ']'), "nested deeper"},
  };
  for (const auto& [text, expected] : cases) {
    const std::string message = refused(text);
    EXPECT_NE(message.find(expected), std::string::npos) << text.substr(0, 40) << ": " << message;
  }
}

TEST(Malformed, Truncated) {
  const std::string whole = kBpe;
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refused(whole.substr(0, size)), "(accepted)") << size;
  }
}

TEST(Malformed, DuplicateKeys) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("dropout": null)", R"("type": "BPE")"},
      {R"("unk_token": "a")", R"("unk_token": "a", "unk_token": "b")"},
      {R"("version": "1.0")", R"("model": {})"},
      {R"("a": 0)", R"("a": 0, "a": 9)"},
      {R"("type": "NFC")", R"("type": "NFC", "type": "NFD")"},
  };
  for (const auto& [what, with] : cases) {
    std::string text = kBpe;
    text.replace(text.find(what), std::string(what).size(), with);
    EXPECT_NE(refused(text).find("stands twice"), std::string::npos) << with << refused(text);
  }
}

TEST(Malformed, Bpe) {
  check(
      kBpe,
      {
          {"/model", nullptr, "model: missing"},
          {"/model", "null", "model: missing"},
          {"/model", "[]", "model: expected an object"},
          {"/model", "\"BPE\"", "model: expected an object"},
          {"/model/type", "\"WordLevel\"", "model.type: \"WordLevel\" is not supported"},
          {"/model/type", "\"bpe\"", "model.type: \"bpe\" is not supported"},
          {"/model/type", "3", "model.type: expected a string"},
          {"/model/dropout", "0.1", "model.dropout"},
          {"/model/dropout", "\"x\"", "model.dropout: expected a finite number"},
          {"/model/unk_token", "\"z\"", "model.unk_token: \"z\" is not in the vocabulary"},
          {"/model/unk_token", "0", "model.unk_token: expected a string"},
          {"/model/fuse_unk", "1", "model.fuse_unk: expected true or false"},
          {"/model/byte_fallback", "\"no\"", "model.byte_fallback: expected true or false"},
          {"/model/ignore_merges", "[]", "model.ignore_merges: expected true or false"},
          {"/model/continuing_subword_prefix", "1", "model.continuing_subword_prefix"},
          {"/model/end_of_word_suffix", "{}", "model.end_of_word_suffix: expected a string"},
          {"/model/vocab", nullptr, "model.vocab: missing"},
          {"/model/vocab", "[]", "model.vocab: expected an object"},
          {"/model/vocab", "3", "model.vocab: expected an object"},
          {"/model/vocab", "{}", "is not in the vocabulary"},
          {"/model/vocab/a", "-1", "model.vocab: id -1 of \"a\" is outside"},
          {"/model/vocab/a", "70000", "model.vocab: id 70000 of \"a\" is outside 0 to 65541"},
          {"/model/vocab/a", "1000000000", "model.vocab: id 1000000000 of \"a\" is outside"},
          {"/model/vocab/a", "4294967296", "model.vocab: id 4294967296 of \"a\" is outside"},
          {"/model/vocab/a", "9223372036854775807", "id 9223372036854775807 of \"a\" is outside"},
          {"/model/vocab/a", "18446744073709551615",
           "model.vocab: id of \"a\": expected an integer"},
          {"/model/vocab/a", "1", "model.vocab: id 1 stands for both"},
          {"/model/vocab/a", "0.5", "model.vocab: id of \"a\": expected an integer, got 0.5"},
          {"/model/vocab/a", "\"0\"", "model.vocab: id of \"a\": expected an integer"},
          {"/model/vocab/a", "null", "model.vocab: id of \"a\": expected an integer"},
          {"/model/vocab/a", "[0]", "model.vocab: id of \"a\": expected an integer, got an array"},
          {"/model/vocab/ab", nullptr, "model.merges[0]: \"ab\" is not in the vocabulary"},
          {"/model/vocab/abc", nullptr, "model.merges[1]: \"abc\" is not in the vocabulary"},
          {"/model/vocab/c", nullptr, "model.merges[1]: \"c\" is not in the vocabulary"},
          {"/model/merges", nullptr, "model.merges: missing"},
          {"/model/merges", "{}", "model.merges: expected an array"},
          {"/model/merges", "\"a b\"", "model.merges: expected an array"},
          {"/model/merges/0", "\"ab\"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\"\"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\" \"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\"a \"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\" b\"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\"a b c\"", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "\"a q\"", "model.merges[0]: \"q\" is not in the vocabulary"},
          {"/model/merges/0", "\"q a\"", "model.merges[0]: \"q\" is not in the vocabulary"},
          {"/model/merges/0", "\"b a\"", "model.merges[0]: \"ba\" is not in the vocabulary"},
          {"/model/merges/0", "7", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "null", "model.merges[0]: expected two tokens"},
          {"/model/merges/0", "{}", "model.merges[0]: expected two tokens"},
          {"/model/merges/1", "[]", "model.merges[1]: expected two tokens"},
          {"/model/merges/1", "[\"a\"]", "model.merges[1]: expected two tokens"},
          {"/model/merges/1", "[\"a\", 1]", "model.merges[1]: expected two tokens"},
          {"/model/merges/1", "[\"a\", \"b\", \"c\"]", "model.merges[1]: expected two tokens"},
          {"/model/merges/1", "[\"a\", \"q\"]", "model.merges[1]: \"q\" is not in the vocabulary"},
      });
}

TEST(Malformed, AddedTokens) {
  check(
      kBpe,
      {
          {"/added_tokens", "{}", "added_tokens: expected an array"},
          {"/added_tokens", "\"x\"", "added_tokens: expected an array"},
          {"/added_tokens/0", "3", "added_tokens[0]: expected an object"},
          {"/added_tokens/0", "{}", "added_tokens[0].content: missing"},
          {"/added_tokens/0/content", nullptr, "added_tokens[0].content: missing"},
          {"/added_tokens/0/content", "3", "added_tokens[0].content: expected a string"},
          {"/added_tokens/0/content", "\"</s>\"", "added_tokens[1]: \"</s>\" stands twice"},
          {"/added_tokens/0/content", "\"b\"", "\"b\" has id 6, but model.vocab gives it id 1"},
          {"/added_tokens/0/id", nullptr, "added_tokens[0].id: missing"},
          {"/added_tokens/0/id", "-1", "added_tokens[0].id: expected an integer"},
          {"/added_tokens/0/id", "1.5", "added_tokens[0].id: expected an integer"},
          {"/added_tokens/0/id", "\"6\"", "added_tokens[0].id: expected an integer"},
          {"/added_tokens/0/id", "1000000000", "added_tokens[0].id: expected an integer from 0 to"},
          {"/added_tokens/0/id", "100000", "added_tokens: id 100000 of \"<s>\" is outside"},
          {"/added_tokens/0/id", "7", "added_tokens[1]: id 7 stands for both"},
          {"/added_tokens/0/id", "1", "\"<s>\" has id 1, but model.vocab gives this id to \"b\""},
          {"/added_tokens/0/special", "1", "added_tokens[0].special: expected true or false"},
          {"/added_tokens/0/lstrip", "\"\"", "added_tokens[0].lstrip: expected true or false"},
          {"/added_tokens/0/rstrip", "0", "added_tokens[0].rstrip: expected true or false"},
          {"/added_tokens/0/single_word", "[]", "added_tokens[0].single_word: expected true"},
          {"/added_tokens/0/normalized", "{}", "added_tokens[0].normalized: expected true"},
      });
  Json json = Json::parse(kBpe);
  json["added_tokens"][0]["content"] = std::string(5000, 'x');
  EXPECT_NE(refused(json.dump()).find("added_tokens: \"xxx"), std::string::npos);
}

TEST(Malformed, Normalizer) {
  check(
      kBpe,
      {
          {"/normalizer", "3", "normalizer: expected an object"},
          {"/normalizer", "[]", "normalizer: expected an object"},
          {"/normalizer", "{}", "normalizer.type: missing"},
          {"/normalizer/type", "\"Nonsense\"", "normalizer.type: \"Nonsense\" is not supported"},
          {"/normalizer/type", "7", "normalizer.type: expected a string"},
          {"/normalizer/normalizers", nullptr, "normalizer.normalizers: missing"},
          {"/normalizer/normalizers", "{}", "normalizer.normalizers: expected an array"},
          {"/normalizer/normalizers/0", "\"NFC\"", "normalizer.normalizers[0]: expected an object"},
          {"/normalizer/normalizers/0/type", "\"NFX\"",
           "normalizers[0].type: \"NFX\" is not supported"},
          {"/normalizer/normalizers/1/pattern", nullptr, "normalizers[1].pattern: missing"},
          {"/normalizer/normalizers/1/pattern", "{}",
           "normalizers[1].pattern: expected {\"String\""},
          {"/normalizer/normalizers/1/pattern", "7", "normalizers[1].pattern: expected an object"},
          {"/normalizer/normalizers/1/pattern", "{\"String\": 7}",
           "pattern.String: expected a string"},
          {"/normalizer/normalizers/1/pattern", "{\"Regex\": \"(\"}", "pattern.Regex: the regular"},
          {"/normalizer/normalizers/1/content", nullptr, "normalizers[1].content: missing"},
          {"/normalizer/normalizers/1/content", "[]", "normalizers[1].content: expected a string"},
          {"/normalizer/normalizers/2/prepend", nullptr, "normalizers[2].prepend: missing"},
          {"/normalizer/normalizers/2/prepend", "1", "normalizers[2].prepend: expected a string"},
          {"/normalizer/normalizers/3/strip_left", "1", "normalizers[3].strip_left: expected true"},
          {"/normalizer/normalizers/3/strip_right", "1",
           "normalizers[3].strip_right: expected true"},
          {"/normalizer/normalizers/4/clean_text", "1", "normalizers[4].clean_text: expected true"},
          {"/normalizer/normalizers/4/lowercase", "\"\"",
           "normalizers[4].lowercase: expected true"},
          {"/normalizer/normalizers/4/strip_accents", "2", "strip_accents: expected true"},
          {"/normalizer/normalizers/4/handle_chinese_chars", "2",
           "handle_chinese_chars: expected true"},
      });
}

TEST(Malformed, PreTokenizer) {
  check(
      kBpe,
      {
          {"/pre_tokenizer", "true", "pre_tokenizer: expected an object"},
          {"/pre_tokenizer", "{}", "pre_tokenizer.type: missing"},
          {"/pre_tokenizer/type", "\"UnicodeScripts\"", "\"UnicodeScripts\" is not supported"},
          {"/pre_tokenizer/type", "null", "pre_tokenizer.type: missing"},
          {"/pre_tokenizer/pretokenizers", nullptr, "pre_tokenizer.pretokenizers: missing"},
          {"/pre_tokenizer/pretokenizers", "3", "pretokenizers: expected an array"},
          {"/pre_tokenizer/pretokenizers/0", "null", "pretokenizers[0]: expected an object"},
          {"/pre_tokenizer/pretokenizers/0/pattern", nullptr, "pretokenizers[0].pattern: missing"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"[\"", "pattern.Regex: the regular"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"a{2,1}\"", "is not valid"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"[a&&b]\"", "intersection"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(?<n>a)(?<n>b)\"", "is not valid"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"((a{1,999}){1,999}){1,999}\"",
           "is not valid"},
          {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "8", "pattern.Regex: expected a string"},
          {"/pre_tokenizer/pretokenizers/0/behavior", nullptr,
           "pretokenizers[0].behavior: missing"},
          {"/pre_tokenizer/pretokenizers/0/behavior", "\"Never\"", "behavior: expected Removed"},
          {"/pre_tokenizer/pretokenizers/0/behavior", "4", "behavior: expected a string"},
          {"/pre_tokenizer/pretokenizers/0/invert", "0", "pretokenizers[0].invert: expected true"},
          {"/pre_tokenizer/pretokenizers/1/replacement", "\"\"",
           "replacement: expected one character"},
          {"/pre_tokenizer/pretokenizers/1/replacement", "\"ab\"",
           "expected one character, got \"ab\""},
          {"/pre_tokenizer/pretokenizers/1/replacement", "5", "replacement: expected a string"},
          {"/pre_tokenizer/pretokenizers/1/prepend_scheme", "\"last\"",
           "prepend_scheme: expected always"},
          {"/pre_tokenizer/pretokenizers/1/prepend_scheme", "1",
           "prepend_scheme: expected a string"},
          {"/pre_tokenizer/pretokenizers/1/split", "1", "pretokenizers[1].split: expected true"},
          {"/pre_tokenizer/pretokenizers/2/individual_digits", "1",
           "individual_digits: expected true"},
          {"/pre_tokenizer/pretokenizers/3/behavior", "\"x\"",
           "pretokenizers[3].behavior: expected"},
          {"/pre_tokenizer/pretokenizers/4/delimiter", nullptr, "delimiter: missing"},
          {"/pre_tokenizer/pretokenizers/4/delimiter", "\"||\"",
           "delimiter: expected one character"},
          {"/pre_tokenizer/pretokenizers/5/use_regex", "1", "use_regex: expected true"},
          {"/pre_tokenizer/pretokenizers/5/add_prefix_space", "1",
           "add_prefix_space: expected true"},
      });
}

TEST(Malformed, PostProcessor) {
  const std::string t = "/post_processor/processors/0";
  check(
      kBpe,
      {
          {"/post_processor", "[]", "post_processor: expected an object"},
          {"/post_processor", "{}", "post_processor.type: missing"},
          {"/post_processor/type", "\"Other\"", "post_processor.type: \"Other\" is not supported"},
          {"/post_processor/processors", nullptr, "post_processor.processors: missing"},
          {"/post_processor/processors", "{}", "post_processor.processors: expected an array"},
          {"/post_processor/processors/0/single", nullptr, "processors[0].single: missing"},
          {"/post_processor/processors/0/single", "[]",
           "processors[0].single: the sequence A is missing"},
          {"/post_processor/processors/0/single", "\"$A\"",
           "processors[0].single: expected an array"},
          {"/post_processor/processors/0/single/0", "3", "single[0]: expected an object"},
          {"/post_processor/processors/0/single/0", "{}", "single[0].Sequence: missing"},
          {"/post_processor/processors/0/single/0", "{\"Sequence\": {\"id\": \"A\"}}", "A once"},
          {"/post_processor/processors/0/single/1", "{\"Sequence\": {\"id\": \"B\"}}",
           "A once, got \"B\""},
          {"/post_processor/processors/0/single/1/Sequence/id", "0",
           "Sequence.id: expected a string"},
          {"/post_processor/processors/0/single/0/SpecialToken/id", "\"<x>\"",
           "special_tokens.<x>: missing"},
          {"/post_processor/processors/0/single/0/SpecialToken/id", nullptr,
           "SpecialToken.id: missing"},
          {"/post_processor/processors/0/special_tokens", nullptr, "special_tokens: missing"},
          {"/post_processor/processors/0/special_tokens", "[]",
           "special_tokens: expected an object"},
          {"/post_processor/processors/0/special_tokens/<s>/ids", nullptr, "<s>.ids: missing"},
          {"/post_processor/processors/0/special_tokens/<s>/ids", "6",
           "<s>.ids: expected an array"},
          {"/post_processor/processors/0/special_tokens/<s>/ids/0", "-6",
           "ids[0]: expected an integer"},
          {"/post_processor/processors/0/special_tokens/<s>/ids/0", "60",
           "id 60 is not in the vocabulary"},
          {"/post_processor/processors/0/special_tokens/<s>/ids/0", "1000000000",
           "ids[0]: expected an"},
          {"/post_processor/processors/1/cls", nullptr, "processors[1].cls: missing"},
          {"/post_processor/processors/1/sep", "[\"</s>\"]", "processors[1].sep: expected a pair"},
          {"/post_processor/processors/1/sep/1", "\"x\"", "sep[1]: expected an integer"},
          {"/post_processor/processors/1/sep/1", "99", "id 99 is not in the vocabulary"},
      });
}

TEST(Malformed, Decoder) {
  check(
      kBpe,
      {
          {"/decoder", "[]", "decoder: expected an object"},
          {"/decoder", "{}", "decoder.type: missing"},
          {"/decoder/type", "\"CTC\"", "decoder.type: \"CTC\" is not supported"},
          {"/decoder/decoders", nullptr, "decoder.decoders: missing"},
          {"/decoder/decoders", "0", "decoder.decoders: expected an array"},
          {"/decoder/decoders/0", "[]", "decoder.decoders[0]: expected an object"},
          {"/decoder/decoders/1/pattern", nullptr, "decoders[1].pattern: missing"},
          {"/decoder/decoders/1/pattern/Regex", "\"(\"", "pattern.Regex: the regular expression"},
          {"/decoder/decoders/1/content", nullptr, "decoders[1].content: missing"},
          {"/decoder/decoders/2/content", "\"\"", "decoders[2].content: expected one character"},
          {"/decoder/decoders/2/content", "\"ab\"", "decoders[2].content: expected one character"},
          {"/decoder/decoders/2/start", "-1", "decoders[2].start: expected an integer from 0"},
          {"/decoder/decoders/2/start", "1000000000",
           "decoders[2].start: expected an integer from 0"},
          {"/decoder/decoders/2/stop", "\"1\"", "decoders[2].stop: expected an integer"},
          {"/decoder/decoders/3/replacement", "\"__\"", "decoders[3].replacement: expected one"},
          {"/decoder/decoders/3/prepend_scheme", "\"x\"", "decoders[3].prepend_scheme: expected"},
          {"/decoder/decoders/4/prefix", "1", "decoders[4].prefix: expected a string"},
          {"/decoder/decoders/4/cleanup", "1", "decoders[4].cleanup: expected true or false"},
      });
}

TEST(Malformed, Unigram) {
  check(kUnigram,
        {
            {"/model/vocab", nullptr, "model.vocab: missing"},
            {"/model/vocab", "{}", "model.vocab: expected an array"},
            {"/model/vocab", "[]", "model.unk_id: expected an integer"},
            {"/model/vocab/1", "\"a\"", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[\"a\"]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[1, 1]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[\"a\", \"1\"]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[\"a\", null]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[\"a\", 1, 2]", "model.vocab[1]: expected a token and its score"},
            {"/model/vocab/1", "[\"b\", 1]", "model.vocab: \"b\" stands twice"},
            {"/model/unk_id", "3", "model.unk_id: expected an integer from 0 to 2"},
            {"/model/unk_id", "-1", "model.unk_id: expected an integer from 0 to 2"},
            {"/model/unk_id", "\"0\"", "model.unk_id: expected an integer"},
            {"/model/byte_fallback", "0", "model.byte_fallback: expected true or false"},
            {"/normalizer/precompiled_charsmap", nullptr, "precompiled_charsmap: missing"},
            {"/normalizer/precompiled_charsmap", "3", "precompiled_charsmap: expected a string"},
            {"/normalizer/precompiled_charsmap", "\"\"", "a character map of 0 bytes"},
            {"/normalizer/precompiled_charsmap", "\"AAA\"", "not base64"},
            {"/normalizer/precompiled_charsmap", "\"!!!!\"", "not base64"},
            {"/normalizer/precompiled_charsmap", "\"AAAAAA==\"", "cannot hold its trie of 0 bytes"},
            {"/normalizer/precompiled_charsmap", "\"BQAAAAAA\"", "cannot hold its trie of 5 bytes"},
            {"/normalizer/precompiled_charsmap", "\"/////wAA\"",
             "cannot hold its trie of 4294967295"},
        });
}

TEST(Malformed, WordPiece) {
  check(
      kWordPiece,
      {
          {"/model/unk_token", nullptr, "model.unk_token: missing"},
          {"/model/unk_token", "\"[X]\"", "model.unk_token: \"[X]\" is not in the vocabulary"},
          {"/model/vocab", "[]", "model.vocab: expected an object"},
          {"/model/vocab/a", "2", "model.vocab: id 2 stands for both"},
          {"/model/vocab/a", "true", "model.vocab: id of \"a\": expected an integer"},
          {"/model/continuing_subword_prefix", "1", "continuing_subword_prefix: expected a string"},
          {"/model/max_input_chars_per_word", "0",
           "max_input_chars_per_word: expected an integer from 1"},
          {"/model/max_input_chars_per_word", "-5",
           "max_input_chars_per_word: expected an integer"},
          {"/model/max_input_chars_per_word", "1e3",
           "max_input_chars_per_word: expected an integer"},
          {"/model/max_input_chars_per_word", "99999999999",
           "max_input_chars_per_word: expected an"},
      });
}

// Names and values from the file stand in messages cut short and on one line.
TEST(Malformed, MessagesStayShort) {
  Json json = Json::parse(kBpe);
  json["model"]["type"] = std::string(100000, 'y');
  EXPECT_NE(refused(json.dump()).find("yyy..."), std::string::npos);
  json = Json::parse(kBpe);
  json["model"]["vocab"][std::string(70, '\n') + "end"] = "x";
  EXPECT_NE(refused(json.dump()).find("\\x0a"), std::string::npos);
  json = Json::parse(kBpe);
  json["model"]["unk_token"] =
      std::string(40, 'a') + "\u6e2f\u53e3\u6e2f\u53e3\u6e2f\u53e3\u6e2f\u53e3";
  EXPECT_NE(refused(json.dump()).find("is not in the vocabulary"), std::string::npos);
}

// Files that are accepted, but must neither crash nor hang nor take much memory at use.
TEST(Malformed, HostileButWellFormed) {
  const std::pair<const char*, const char*> cases[] = {
      {"/normalizer", R"({"type": "Replace", "pattern": {"Regex": "(x+x+)+[yz]"}, "content": ""})"},
      {"/pre_tokenizer",
       R"({"type": "Split", "pattern": {"Regex": "(x|xx)*[yz]"}, "behavior": "Isolated"})"},
      {"/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated"})"},
      {"/pre_tokenizer", R"({"type": "Split", "pattern": {"String": ""}, "behavior": "Removed"})"},
      {"/pre_tokenizer", R"({"type": "Sequence", "pretokenizers": []})"},
      {"/normalizer", R"({"type": "Sequence", "normalizers": []})"},
      {"/decoder", R"({"type": "Sequence", "decoders": []})"},
  };
  const std::string text(100000, 'x');
  for (const auto& [pointer, value] : cases) {
    Json json = Json::parse(kBpe);
    json[Json::json_pointer(pointer)] = Json::parse(value);
    const auto tokenizer = Tokenizer::from_json(json.dump(), "tokenizer.json");
    ASSERT_TRUE(tokenizer) << value << tokenizer.error().message;
    const auto start = std::clock();
    const auto ids = (*tokenizer)->encode(text);
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 1.0) << value;
    if (!ids) {
      EXPECT_EQ(ids.error().code, ErrorCode::limit) << ids.error().message;
    }
    const std::vector<int32_t> some = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)(*tokenizer)->decode(some, false);
  }
}

TEST(Malformed, GrowthIsBounded) {
  Json json = Json::parse(kBpe);
  const Json step = {
      {"type", "Replace"}, {"pattern", {{"String", "x"}}}, {"content", std::string(4000, 'x')}};
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {step, step, step}}};
  const auto tokenizer = Tokenizer::from_json(json.dump(), "tokenizer.json");
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto ids = (*tokenizer)->encode("xxxx");
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, ErrorCode::limit);
}

}  // namespace
}  // namespace lotse
