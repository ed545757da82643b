// What each tensor becomes on which target.
#include "port/legalise.h"

#include <algorithm>

#include "base/float_types.h"
#include "model/model.h"
#include "tests/port/model_builder.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

fs::path nano() { return fs::path(LOTSE_SOURCE_DIR) / "models" / "lotse-nano"; }

Result<PortPlan> plan(const fs::path& model, const std::string& target, WeightFormat quant,
                      bool quantise_head = false) {
  LegaliseOptions options;
  options.quant = quant;
  options.quantise_head = quantise_head;
  return plan_port(LOTSE_TRY(open_checkpoint(model)), load_chip(target).value(), options);
}

std::string refusal(const Result<PortPlan>& result) { return result ? "" : result.error().message; }

// dtype of each output tensor.
std::map<std::string, DType> outputs(const PortPlan& plan) {
  std::map<std::string, DType> all;
  for (const PlannedShard& shard : plan.shards) {
    for (const PlannedTensor& tensor : shard.tensors) {
      for (const TensorInfo& output : tensor.outputs) all[output.name] = output.dtype;
    }
  }
  return all;
}

bool holds(const Json& list, const std::string& text) {
  return std::any_of(list.begin(), list.end(), [&](const Json& item) { return item == text; });
}

Json config_of(const PortPlan& plan) { return parse_json(plan.config, "config").value(); }

TEST(Legalise, QuantisesLinearsAndKeepsTheRestInBf16) {
  const PortPlan planned = plan(golden("mixtral"), "ascend-910c", WeightFormat::w8a8).value();
  const auto all = outputs(planned);
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(all.at(layer + "self_attn.q_proj.weight"), DType::i8);
  EXPECT_EQ(all.at(layer + "self_attn.q_proj.weight_scale"), DType::f32);
  EXPECT_EQ(all.at(layer + "block_sparse_moe.experts.3.w2.weight"), DType::i8);
  EXPECT_EQ(all.at(layer + "block_sparse_moe.gate.weight"), DType::bf16);
  EXPECT_EQ(all.at(layer + "input_layernorm.weight"), DType::bf16);
  EXPECT_EQ(all.at("model.embed_tokens.weight"), DType::bf16);
  EXPECT_EQ(all.at("lm_head.weight"), DType::bf16);
  const Json config = config_of(planned);
  EXPECT_EQ(config.at("torch_dtype"), "bfloat16");
  const Json& quantisation = config.at("quantization_config");
  EXPECT_EQ(quantisation.at("format"), "int-quantized");
  EXPECT_EQ(quantisation.at("ignore"), Json({"lm_head", "model.layers.0.block_sparse_moe.gate",
                                             "model.layers.1.block_sparse_moe.gate"}));
  const Quantisation read = read_quantisation(config, "config").value();
  EXPECT_EQ(read.format, WeightFormat::w8a8);
}

TEST(Legalise, PacksInt4InTheGroupsOfTheTarget) {
  struct Case {
    const char* target;
    WeightFormat quant;
    int64_t group;
  };
  for (const Case& c : {Case{"cpu", WeightFormat::w4a16, 128}, Case{"cpu", WeightFormat::w4a8, 128},
                        Case{"ascend-910c", WeightFormat::w4a16, 128},
                        Case{"ascend-910c", WeightFormat::w4a8, 256}}) {
    const auto planned = plan(nano(), c.target, c.quant);
    ASSERT_TRUE(planned) << planned.error().message;
    EXPECT_EQ(planned->group, c.group) << c.target << " " << name(c.quant);
    const auto all = outputs(*planned);
    const std::string stem = "model.layers.0.self_attn.q_proj.weight";
    EXPECT_EQ(all.at(stem + "_packed"), DType::i32);
    EXPECT_EQ(all.at(stem + "_scale"), DType::bf16);
    EXPECT_EQ(all.at(stem + "_shape"), DType::i64);
    EXPECT_FALSE(all.contains(stem));
    const Quantisation read = read_quantisation(config_of(*planned), "config").value();
    EXPECT_EQ(read.format, c.quant);
    EXPECT_EQ(read.group, c.group);
  }
}

TEST(Legalise, KeepsColumnsThatNoGroupDivides) {
  // Hidden size 32, intermediate 40: down projections of the experts stay.
  const PortPlan planned = plan(golden("mixtral"), "cpu", WeightFormat::w4a16).value();
  EXPECT_EQ(planned.group, 32);
  const auto all = outputs(planned);
  const std::string expert = "model.layers.0.block_sparse_moe.experts.0.";
  EXPECT_TRUE(all.contains(expert + "w1.weight_packed"));
  EXPECT_EQ(all.at(expert + "w2.weight"), DType::bf16);
  const Json ignore = config_of(planned).at("quantization_config").at("ignore");
  EXPECT_TRUE(holds(ignore, expert + "w2"));
  EXPECT_FALSE(holds(ignore, expert + "w1"));
  // Hidden size 48, intermediate 80: nothing is left to quantise.
  EXPECT_NE(refusal(plan(golden("llama_sharded"), "cpu", WeightFormat::w4a16)).find("use w8a8"),
            std::string::npos);
}

TEST(Legalise, SaysWhichFormatsATargetCanRun) {
  const std::string message = refusal(plan(nano(), "ascend-310p", WeightFormat::w4a16));
  EXPECT_NE(message.find("ascend-310p cannot run"), std::string::npos) << message;
  EXPECT_NE(message.find("it can run: bf16, w8a8"), std::string::npos) << message;
  EXPECT_EQ(message.find("w4a8"), std::string::npos) << message;
}

TEST(Legalise, TurnsEverythingIntoF16WhereThereIsNoBf16) {
  for (const WeightFormat quant : {WeightFormat::bf16, WeightFormat::w8a8}) {
    const PortPlan planned = plan(golden("llama3_bf16"), "ascend-310p", quant).value();
    EXPECT_EQ(config_of(planned).at("torch_dtype"), "float16");
    for (const auto& [name, dtype] : outputs(planned)) {
      const bool is_scale = name.ends_with("_scale");
      EXPECT_TRUE(dtype == DType::f16 || dtype == DType::i8 || (is_scale && dtype == DType::f32))
          << name;
    }
  }
}

TEST(Legalise, KeepsAnF16ModelInF16UnlessAskedForBf16) {
  const ScratchFolder scratch;
  PortSettings settings;
  settings.target = "ascend-310p";
  settings.quant = WeightFormat::bf16;
  ASSERT_TRUE(port(golden("qwen3"), scratch.path() / "f16", settings));
  const auto dtype = [&](WeightFormat quant) {
    return plan(scratch.path() / "f16", "ascend-910c", quant).value().dtype;
  };
  EXPECT_EQ(dtype(WeightFormat::w8a8), DType::f16);
  EXPECT_EQ(dtype(WeightFormat::bf16), DType::bf16);
}

TEST(Legalise, NamesTheTensorThatF16CannotHold) {
  const ScratchFolder scratch;
  ModelBuilder model(golden("llama3_bf16"));
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const Tensor original = model.tensors.at(name);
  std::vector<uint16_t> values(original.as<uint16_t>().begin(), original.as<uint16_t>().end());
  values[80 * 7 + 3] = float_to_bf16(-70000.0f);
  model.tensors[name] = make_tensor(DType::bf16, original.shape, values);
  const fs::path folder = model.write(scratch.path() / "model");
  PortSettings settings;
  settings.target = "ascend-310p";
  settings.quant = WeightFormat::bf16;
  const auto result = port(folder, scratch.path() / "out", settings);
  ASSERT_FALSE(result);
  for (const char* part : {"model.layers.1.mlp.down_proj.weight", "row 7", "-70144", "f16"}) {
    EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
  }
  settings.quant = WeightFormat::w8a8;
  EXPECT_TRUE(port(folder, scratch.path() / "out", settings)) << "int8 has its own scale";
}

TEST(Legalise, KeepsF32VectorsOfAModelThatIsNotF32) {
  const ScratchFolder scratch;
  ModelBuilder model(golden("llama3_bf16"));
  const std::string name = "model.norm.weight";
  model.tensors[name] = make_tensor(DType::f32, model.tensors.at(name).shape, model.floats(name));
  const auto all = outputs(
      plan(model.write(scratch.path() / "model"), "ascend-910c", WeightFormat::w8a8).value());
  EXPECT_EQ(all.at(name), DType::f32);
  EXPECT_EQ(all.at("model.layers.0.input_layernorm.weight"), DType::bf16);
}

TEST(Legalise, QuantisesTheHeadOnlyOnRequestAndWithinTheTargetsLimit) {
  const auto planned = plan(golden("mixtral"), "ascend-910c", WeightFormat::w8a8, true);
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(outputs(*planned).at("lm_head.weight"), DType::i8);
  const Json ignore = config_of(*planned).at("quantization_config").at("ignore");
  EXPECT_FALSE(holds(ignore, "lm_head"));
  EXPECT_NE(refusal(plan(golden("qwen3"), "cpu", WeightFormat::w8a8, true)).find("tied"),
            std::string::npos);
  EXPECT_NE(refusal(plan(golden("mixtral"), "cpu", WeightFormat::w4a16, true)).find("only w8a8"),
            std::string::npos);
  // 65,536 output columns are one more than the quantised product takes.
  const ScratchFolder scratch;
  ModelBuilder large(golden("mixtral"));
  large.config["vocab_size"] = 65536;
  for (const char* name : {"lm_head.weight", "model.embed_tokens.weight"}) {
    large.tensors[name] =
        make_tensor(DType::bf16, Shape({65536, 32}), std::vector<uint16_t>(65536 * 32, 0x3f80));
  }
  const fs::path folder = large.write(scratch.path() / "model");
  EXPECT_NE(refusal(plan(folder, "ascend-910c", WeightFormat::w8a8, true)).find("65,535"),
            std::string::npos);
  EXPECT_TRUE(plan(folder, "cpu", WeightFormat::w8a8, true));
  EXPECT_TRUE(plan(folder, "ascend-910c", WeightFormat::w8a8));
}

TEST(Legalise, CarriesTensorsThatTheModelDoesNotName) {
  const ScratchFolder scratch;
  ModelBuilder model(golden("llama3_bf16"));
  model.tensors["vision.patch.weight"] =
      make_tensor(DType::f32, Shape({2, 3}), std::vector<float>{1, 2, 3, 4, 5, 6});
  model.tensors["position_ids"] = make_tensor(DType::i64, Shape({2}), std::vector<int64_t>{0, 1});
  const PortPlan planned =
      plan(model.write(scratch.path() / "model"), "ascend-910c", WeightFormat::w8a8).value();
  const auto all = outputs(planned);
  EXPECT_EQ(all.at("vision.patch.weight"), DType::f32);
  EXPECT_EQ(all.at("position_ids"), DType::i64);
  const Json ignore = config_of(planned).at("quantization_config").at("ignore");
  EXPECT_EQ(ignore, Json({"lm_head", "vision.patch"}));
}

TEST(Legalise, FindsATextModelInsideAMultimodalOne) {
  const ScratchFolder scratch;
  ModelBuilder model(golden("llama3_bf16"));
  std::map<std::string, Tensor> renamed;
  for (const auto& [name, tensor] : model.tensors) {
    renamed["model.language_model." + name.substr(name.find('.') + 1)] = tensor;
  }
  model.tensors = renamed;
  const Json text = model.config;
  model.config = {{"model_type", "wrapper"}, {"text_config", text}};
  const PortPlan planned =
      plan(model.write(scratch.path() / "model"), "ascend-310p", WeightFormat::w8a8).value();
  EXPECT_EQ(outputs(planned).at("model.language_model.layers.0.mlp.up_proj.weight"), DType::i8);
  EXPECT_EQ(config_of(planned).at("text_config").at("torch_dtype"), "float16");
}

TEST(Legalise, SplitsShardsByTheirDataInNaturalOrder) {
  ModelBuilder model(nano());
  LegaliseOptions options;
  options.shard_bytes = 300'000;
  const PortPlan planned =
      plan_port(open_checkpoint(nano()).value(), load_chip("cpu").value(), options).value();
  ASSERT_GT(planned.shards.size(), 4u);
  std::vector<std::string> names;
  for (const PlannedShard& shard : planned.shards) {
    int64_t bytes = 0;
    for (const PlannedTensor& tensor : shard.tensors) {
      names.push_back(tensor.source.name);
      for (const TensorInfo& output : tensor.outputs) bytes += output.bytes;
    }
    EXPECT_TRUE(bytes <= options.shard_bytes || shard.tensors.size() == 1) << shard.file;
  }
  EXPECT_EQ(names.size(), model.tensors.size());
  const Json index = parse_json(planned.index, "index").value();
  for (const auto& [name, dtype] : outputs(planned)) {
    EXPECT_TRUE(index.at("weight_map").contains(name));
  }
  EXPECT_EQ(planned.shards[1].file,
            fmt::format("model-00002-of-{:05}.safetensors", planned.shards.size()));
}

TEST(Legalise, NamesWhatIsMissingMisshapenOrUnreadable) {
  const ScratchFolder scratch;
  const auto refused = [&](const auto& change) {
    ModelBuilder model(golden("llama3_bf16"));
    change(model);
    fs::remove_all(scratch.path() / "model");
    return refusal(plan(model.write(scratch.path() / "model"), "cpu", WeightFormat::w8a8));
  };
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  EXPECT_NE(refused([&](ModelBuilder& m) { m.tensors.erase(name); }).find("no tensor " + name),
            std::string::npos);
  const std::string shape = refused([&](ModelBuilder& m) {
    m.tensors[name] = make_tensor(DType::bf16, Shape({80, 47}), std::vector<uint16_t>(80 * 47));
  });
  EXPECT_NE(shape.find(name + ": expected [rows, 48], got shape [80, 47]"), std::string::npos)
      << shape;
  EXPECT_NE(refused([&](ModelBuilder& m) {
              m.tensors[name] =
                  make_tensor(DType::i8, Shape({80, 48}), std::vector<int8_t>(80 * 48));
            }).find("i8 without scales"),
            std::string::npos);
  const std::string method = refused([&](ModelBuilder& m) {
    m.config["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}};
  });
  EXPECT_NE(method.find("quant_method \"gptq\""), std::string::npos) << method;
  EXPECT_NE(refused([&](ModelBuilder& m) { m.config["model_type"] = "qwen9"; }).find("qwen9"),
            std::string::npos);
  EXPECT_NE(refusal(plan(golden("qwen3") / "config.json", "cpu", WeightFormat::w8a8))
                .find("no weights to port"),
            std::string::npos);
}

}  // namespace
}  // namespace lotse
