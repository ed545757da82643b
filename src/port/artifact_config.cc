#include "port/artifact_config.h"

namespace lotse {
namespace {

Json weight_scheme(const PortPlan& plan) {
  const bool is_8_bit = plan.quant == WeightFormat::w8a8;
  return {{"num_bits", is_8_bit ? 8 : 4},
          {"type", "int"},
          {"symmetric", true},
          {"strategy", is_8_bit ? "channel" : "group"},
          {"group_size", is_8_bit ? Json(nullptr) : Json(plan.group)},
          {"block_structure", nullptr},
          {"dynamic", false},
          {"actorder", nullptr},
          {"observer", "minmax"},
          {"observer_kwargs", Json::object()}};
}

Json activation_scheme() {
  return {{"num_bits", 8},         {"type", "int"},
          {"symmetric", true},     {"strategy", "token"},
          {"group_size", nullptr}, {"block_structure", nullptr},
          {"dynamic", true},       {"actorder", nullptr},
          {"observer", nullptr},   {"observer_kwargs", Json::object()}};
}

Json quantization_config(const PortPlan& plan, const std::vector<std::string>& unquantised) {
  const std::string format = plan.quant == WeightFormat::w8a8 ? "int-quantized" : "pack-quantized";
  const bool has_int8_activations = plan.quant != WeightFormat::w4a16;
  const Json group = {
      {"targets", {"Linear"}},
      {"weights", weight_scheme(plan)},
      {"input_activations", has_int8_activations ? activation_scheme() : Json(nullptr)},
      {"output_activations", nullptr},
      {"format", format}};
  return {{"quant_method", "compressed-tensors"}, {"format", format},
          {"quantization_status", "compressed"},  {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr},  {"ignore", unquantised},
          {"config_groups", {{"group_0", group}}}};
}

// "torch_dtype", or "dtype" as newer configurations spell it.
void set_dtype(Json& config, const char* dtype) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (config.contains(key)) config[key] = dtype;
  }
}

std::string json_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string artifact_config(const Json& source, const PortPlan& plan,
                            const std::vector<std::string>& unquantised) {
  Json config = source;
  config.erase("quantization_config");
  config.erase("compression_config");
  if (plan.quant != WeightFormat::bf16) {
    config["quantization_config"] = quantization_config(plan, unquantised);
  }
  const char* dtype = plan.dtype == DType::f16 ? "float16" : "bfloat16";
  if (!config.contains("dtype")) config["torch_dtype"] = dtype;
  set_dtype(config, dtype);
  const auto text = config.find("text_config");
  if (text != config.end() && text->is_object()) set_dtype(*text, dtype);
  return json_text(config);
}

std::string shard_index(const PortPlan& plan) {
  if (plan.shards.size() < 2) return "";
  Json map = Json::object();
  int64_t bytes = 0;
  for (const PlannedShard& shard : plan.shards) {
    for (const PlannedTensor& tensor : shard.tensors) {
      for (const TensorInfo& output : tensor.outputs) {
        map[output.name] = shard.file;
        bytes += output.bytes;
      }
    }
  }
  return json_text({{"metadata", {{"total_size", bytes}}}, {"weight_map", map}});
}

}  // namespace lotse
