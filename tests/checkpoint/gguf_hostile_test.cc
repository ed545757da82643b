// Malformed GGUF files, made by rule from a small valid model.
#include <gtest/gtest.h>

#include "checkpoint/gguf.h"
#include "tests/checkpoint/builders.h"

namespace lotse {
namespace {

using Builder = GgufBuilder;

Result<void> parse_and_read(std::string_view bytes) {
  GgufCheckpoint checkpoint = LOTSE_TRY(read_gguf(bytes_of(bytes), nullptr, "x"));
  return read_everything(std::move(checkpoint.tensors));
}

// A llama of one layer with everything in it that the reader knows how to check.
Builder seed() {
  Builder file;
  file.add_string("general.architecture", "llama");
  file.add_u32("general.alignment", 32);
  file.add_u32("llama.block_count", 1);
  file.add_u32("llama.context_length", 16);
  file.add_u32("llama.embedding_length", 8);
  file.add_u32("llama.feed_forward_length", 6);
  file.add_u32("llama.attention.head_count", 2);
  file.add_u32("llama.attention.head_count_kv", 1);
  file.add_u32("llama.attention.key_length", 4);
  file.add_u32("llama.attention.value_length", 4);
  file.add_u32("llama.rope.dimension_count", 4);
  file.add_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  file.add_f32("llama.rope.freq_base", 10000.0f);
  file.add_string("llama.rope.scaling.type", "linear");
  file.add_f32("llama.rope.scaling.factor", 2.0f);
  file.add_string("tokenizer.ggml.model", "llama");
  file.add_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>"});
  file.key_values.push_back({"tokenizer.ggml.scores", Builder::kArray,
                             Builder::array(Builder::kF32, 3, raw_values<float>({0, 1, 2}))});
  file.key_values.push_back({"tokenizer.ggml.token_type", Builder::kArray,
                             Builder::array(Builder::kI32, 3, raw_values<int32_t>({2, 3, 3}))});
  file.add_u32("tokenizer.ggml.bos_token_id", 1);
  file.add_u32("tokenizer.ggml.eos_token_id", 2);
  file.key_values.push_back({"tokenizer.ggml.add_bos_token", Builder::kBool, raw<uint8_t>(1)});
  std::mt19937 random(3);
  const auto add = [&](const char* name, std::vector<uint64_t> shape) {
    uint64_t elements = 1;
    for (const uint64_t dim : shape) elements *= dim;
    file.add_tensor(name, shape, 0, random_bytes(random, elements * 4));
  };
  add("token_embd.weight", {3, 8});
  add("output_norm.weight", {8});
  add("blk.0.attn_norm.weight", {8});
  add("blk.0.attn_q.weight", {8, 8});
  add("blk.0.attn_k.weight", {4, 8});
  add("blk.0.attn_v.weight", {4, 8});
  add("blk.0.attn_output.weight", {8, 8});
  add("blk.0.ffn_norm.weight", {8});
  add("blk.0.ffn_gate.weight", {6, 8});
  add("blk.0.ffn_up.weight", {6, 8});
  add("blk.0.ffn_down.weight", {8, 6});
  return file;
}

struct Replacement {
  const char* what;
  uint32_t type;
  std::string payload;
};

bool is_integer_key(const Builder::KeyValue& pair) { return pair.type == Builder::kU32; }

// Payloads that are wrong for a key of any type: damaged by themselves.
std::vector<Replacement> damaged_values() {
  return {
      {"value type 13", 13, ""},
      {"value type 2^32-1", ~0u, ""},
      {"string of 2^64-1 bytes", Builder::kString, raw(~uint64_t{0})},
      {"string beyond the file", Builder::kString, raw(uint64_t{1} << 40)},
      {"boolean 2", Builder::kBool, raw<uint8_t>(2)},
      {"list of lists", Builder::kArray, Builder::array(Builder::kArray, 1, "")},
      {"list of type 99", Builder::kArray, Builder::array(99, 1, "")},
      {"list of 2^64-1 integers", Builder::kArray, Builder::array(Builder::kU32, ~uint64_t{0}, "")},
      {"list of 2^62 doubles", Builder::kArray,
       Builder::array(Builder::kF64, uint64_t{1} << 62, "")},
      {"list of 2^61 strings", Builder::kArray,
       Builder::array(Builder::kString, uint64_t{1} << 61, "")},
      {"list of integers beyond 2^63", Builder::kArray,
       Builder::array(Builder::kU64, 1, raw(~uint64_t{0}))},
  };
}

// Well-formed values of another type than the key's.
std::vector<Replacement> confused_values(const Builder::KeyValue& pair) {
  std::vector<Replacement> values = {
      {"a list of booleans", Builder::kArray, Builder::array(Builder::kBool, 1, raw<uint8_t>(1))}};
  if (pair.type != Builder::kBool) values.push_back({"a boolean", Builder::kBool, raw<uint8_t>(1)});
  if (pair.type != Builder::kString) {
    values.push_back({"a string", Builder::kString, Builder::text("7")});
  }
  if (pair.type != Builder::kF32) values.push_back({"a number", Builder::kF64, raw(1.5)});
  if (pair.type == Builder::kF32) {
    values.push_back({"infinity", Builder::kF32, raw(std::numeric_limits<float>::infinity())});
    values.push_back({"NaN", Builder::kF64, raw(std::numeric_limits<double>::quiet_NaN())});
  }
  if (is_integer_key(pair)) {
    values.push_back({"-1", Builder::kI32, raw<int32_t>(-1)});
    values.push_back({"2^40", Builder::kU64, raw(uint64_t{1} << 40)});
    values.push_back({"2^64-1", Builder::kU64, raw(~uint64_t{0})});
  }
  return values;
}

void add_key_cases(const Builder& file, std::vector<HostileCase>& cases) {
  for (size_t i = 0; i < file.key_values.size(); ++i) {
    const std::string& key = file.key_values[i].key;
    std::vector<Replacement> replacements = damaged_values();
    for (Replacement& value : confused_values(file.key_values[i])) {
      replacements.push_back(std::move(value));
    }
    for (const Replacement& replacement : replacements) {
      Builder mutant = file;
      mutant.key_values[i] = {key, replacement.type, replacement.payload};
      cases.push_back({fmt::format("{} is {}", key, replacement.what), mutant.build(), key});
    }
    Builder twice = file;
    twice.key_values.push_back(file.key_values[i]);
    cases.push_back({key + " twice", twice.build(), key});
  }
  for (const char* required :
       {"general.architecture", "llama.block_count", "llama.context_length",
        "llama.embedding_length", "llama.feed_forward_length", "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon"}) {
    Builder mutant = file;
    std::erase_if(mutant.key_values, [&](const auto& pair) { return pair.key == required; });
    cases.push_back({fmt::format("{} missing", required), mutant.build(), required});
  }
}

void add_value_cases(const Builder& file, std::vector<HostileCase>& cases) {
  const auto replace = [&](const char* key, uint32_t type, std::string payload) {
    Builder mutant = file;
    mutant.at(key) = {key, type, std::move(payload)};
    cases.push_back({fmt::format("{} out of range", key), mutant.build(), key});
  };
  replace("general.architecture", Builder::kString, Builder::text("bert\n"));
  replace("general.architecture", Builder::kString, Builder::text(""));
  for (const uint32_t alignment : {0u, 1u, 4u, 24u, 33u, 1u << 21}) {
    replace("general.alignment", Builder::kU32, raw(alignment));
  }
  for (const char* key : {"llama.block_count", "llama.context_length", "llama.embedding_length",
                          "llama.feed_forward_length", "llama.attention.head_count",
                          "llama.attention.head_count_kv", "llama.attention.key_length",
                          "llama.attention.value_length", "llama.rope.dimension_count"}) {
    replace(key, Builder::kU32, raw(0u));
  }
  replace("llama.block_count", Builder::kU32, raw(5000u));
  replace("llama.attention.value_length", Builder::kU32, raw(8u));
  replace("llama.rope.dimension_count", Builder::kU32, raw(6u));
  replace("llama.rope.dimension_count", Builder::kU32, raw(2u));
  replace("llama.rope.scaling.type", Builder::kString, Builder::text("cubic"));
  replace("tokenizer.ggml.bos_token_id", Builder::kU32, raw(3u));
  replace("tokenizer.ggml.token_type", Builder::kArray,
          Builder::array(Builder::kI32, 3, raw_values<int32_t>({2, 7, 3})));
  replace("tokenizer.ggml.token_type", Builder::kArray,
          Builder::array(Builder::kI32, 2, raw_values<int32_t>({2, 3})));
  replace("tokenizer.ggml.scores", Builder::kArray,
          Builder::array(Builder::kF32, 2, raw_values<float>({0, 1})));
}

void add_tensor_cases(const Builder& file, std::vector<HostileCase>& cases) {
  for (size_t i = 0; i < file.infos.size(); ++i) {
    const std::string name = file.infos[i].name;
    const auto add = [&](const std::string& rule,
                         const std::function<void(Builder::Info&)>& change) {
      Builder mutant = file;
      change(mutant.infos[i]);
      cases.push_back({name + ": " + rule, mutant.build(), mutant.infos[i].name});
    };
    for (const uint32_t type : {4u, 5u, 9u, 10u, 11u, 15u, 16u, 24u, 29u, 31u, 39u, 255u, ~0u}) {
      add(fmt::format("type {}", type), [&](auto& info) { info.type = type; });
    }
    add("blocks that do not fill rows", [](auto& info) { info.type = 8; });
    add("5 dimensions", [](auto& info) { info.dims = {8, 1, 1, 1, 1}; });
    add("2^32-1 dimensions", [](auto& info) { info.dims.assign(100, 1); });
    add("a dimension of 2^63", [](auto& info) { info.dims[0] = uint64_t{1} << 63; });
    add("a dimension of 2^64-1", [](auto& info) { info.dims[0] = ~uint64_t{0}; });
    add("dimensions that overflow",
        [](auto& info) { info.dims = {uint64_t{1} << 32, uint64_t{1} << 32}; });
    add("bytes that overflow", [](auto& info) { info.dims = {uint64_t{1} << 62}; });
    add("more data than the file", [](auto& info) { info.dims[0] = 1000; });
    add("an offset off the alignment", [](auto& info) { info.offset += 4; });
    add("an offset beyond the file", [](auto& info) { info.offset += 1 << 20; });
    add("an offset that wraps around", [](auto& info) { info.offset = ~uint64_t{31}; });
    add("an unknown name", [](auto& info) { info.name += ".bogus"; });
    add("a layer beyond the last", [](auto& info) { info.name = "blk.1.attn_norm.weight"; });
    add("a negative layer", [](auto& info) { info.name = "blk.-1.attn_norm.weight"; });
    add("a layer of many digits",
        [](auto& info) { info.name = "blk.99999999999999999999.attn_norm.weight"; });
    if (i > 0) {
      add("the name of the one before", [&](auto& info) { info.name = file.infos[i - 1].name; });
      add("the data of the one before",
          [&](auto& info) { info.offset = file.infos[i - 1].offset; });
    }
  }
}

std::vector<HostileCase> file_cases(const Builder& file) {
  const std::string valid = file.build();
  const auto patched = [&](size_t at, std::string_view bytes) {
    std::string copy = valid;
    copy.replace(at, bytes.size(), bytes);
    return copy;
  };
  std::vector<HostileCase> cases = {
      {"no bytes", "", "GGUF"},
      {"another magic", patched(0, "GGUX"), "GGUF"},
      {"version 0", patched(4, raw(0u)), "version 0"},
      {"version 1", patched(4, raw(1u)), "version 1"},
      {"version 4", patched(4, raw(4u)), "version 4"},
      {"big-endian", patched(4, raw(3u << 24)), "big-endian"},
      {"2^64-1 tensors", patched(8, raw(~uint64_t{0})), "tensors"},
      {"2^40 tensors", patched(8, raw(uint64_t{1} << 40)), "tensors"},
      {"2^64-1 key-values", patched(16, raw(~uint64_t{0})), "metadata entries"},
      {"2^40 key-values", patched(16, raw(uint64_t{1} << 40)), "metadata entries"},
      {"a key of 2^64-1 bytes", patched(24, raw(~uint64_t{0})), "metadata key"},
      {"a key of 0 bytes", patched(24, raw(uint64_t{0})), "metadata key"},
      {"without its data", file.header(), "token_embd.weight"},
  };
  Builder split = file;
  split.add_u32("split.count", 3);
  cases.push_back({"one part of three", split.build(), "split.count"});
  Builder query = file;
  query.at("llama.attention.head_count").payload = raw(3u);
  cases.push_back({"query rows that 3 heads do not divide", query.build(), "blk.0.attn_q.weight"});
  return cases;
}

TEST(GgufHostile, RefusesMalformedFiles) {
  const Builder file = seed();
  const Result<void> valid = parse_and_read(file.build());
  ASSERT_TRUE(valid) << valid.error().message;
  std::vector<HostileCase> cases = file_cases(file);
  add_key_cases(file, cases);
  add_value_cases(file, cases);
  add_tensor_cases(file, cases);
  EXPECT_GE(cases.size(), 300u);
  RecordProperty("cases", static_cast<int>(cases.size()));
  expect_refused(cases, parse_and_read);
}

TEST(GgufHostile, SurvivesTruncationAndFlippedBits) {
  const std::string valid = seed().build();
  expect_robust(valid, seed().header().size(), parse_and_read);
}

TEST(GgufHostile, RowsWithoutColumnsCostNothing) {
  Builder file = seed();
  for (Builder::Info& info : file.infos) {
    if (info.name == "blk.0.attn_q.weight") info.dims = {0, uint64_t{1} << 50};
  }
  const CpuTime time;
  EXPECT_TRUE(parse_and_read(file.build()));
  EXPECT_LT(time.seconds(), kLongest);
}

TEST(GgufHostile, ExpertsWithoutDataCostNothing) {
  Builder file = seed();
  file.add_u32("llama.expert_count", 4096);
  file.add_u32("llama.expert_used_count", 2);
  std::erase_if(file.infos,
                [](const auto& info) { return info.name.find("ffn") != info.name.npos; });
  file.add_tensor("blk.0.ffn_gate_exps.weight", {uint64_t{1} << 40, 0, 8}, 0, "");
  const auto parsed = read_gguf(bytes_of(file.build()), nullptr, "x");
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message.find("blk.0.ffn_gate_exps.weight"), std::string::npos);
}

}  // namespace
}  // namespace lotse
