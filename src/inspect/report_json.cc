#include "inspect/report.h"

namespace lotse {
namespace {

int64_t whole(double bytes) { return static_cast<int64_t>(bytes); }

Json model_json(const ModelFacts& model) {
  const ModelConfig& c = model.config;
  return {{"path", model.checkpoint.path.string()},
          {"format", model.checkpoint.format},
          {"family", c.model_type},
          {"architecture", c.architecture},
          {"parameters", parameter_count(model.program)},
          {"active_parameters", active_parameter_count(model.program)},
          {"layers", c.layers},
          {"hidden", c.hidden},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"experts", c.moe.experts},
          {"experts_per_token", c.moe.top_k},
          {"vocabulary", c.vocabulary},
          {"max_context", c.max_context},
          {"weight_format", main_format(model.storage)},
          {"activation", model.storage.activation},
          {"tensors", model.has_weights ? Json(model.tensors) : Json()},
          {"stored_bytes", model.has_weights ? Json(model.stored_bytes) : Json()}};
}

Json memory_json(const ModelFacts& model, const Storage& storage) {
  Json table = Json::array();
  for (const MemoryRow& row : memory_table(model, storage)) {
    table.push_back({{"context", row.context},
                     {"batch", row.batch},
                     {"weight_bytes", whole(row.need.weights)},
                     {"kv_bytes", whole(row.need.cache)},
                     {"working_bytes", whole(row.need.working)},
                     {"total_bytes", whole(row.need.total())}});
  }
  return {{"weight_format", main_format(storage)},
          {"weight_bytes", whole(weight_bytes(storage))},
          {"kv_dtype", storage.kv},
          {"kv_bytes_per_token", whole(kv_bytes_per_token(model.program, storage.kv))},
          {"table", std::move(table)}};
}

Json constant_json(const MaybeConstant& constant) {
  if (!constant) return {};
  return {{"value", constant->value}, {"from", name(constant->from)}, {"note", constant->note}};
}

Json support_json(const Support& support) {
  return {{"status", name(support.status)}, {"how", support.how},   {"why", support.why},
          {"helps", support.helps},         {"from", support.from}, {"to", support.to}};
}

Json operators_json(const TargetReport& report) {
  Json list = Json::array();
  for (const OperatorReport& op : report.operators) {
    Json row = support_json(op.row.support);
    row["name"] = op.row.name;
    row["kind"] = op.row.query.kind;
    row["count"] = op.row.count;
    row["shape"] = op.row.shape;
    row["weight_format"] = op.row.query.weight_format;
    row["activation"] = op.row.query.activation;
    row["after"] = support_json(op.after);
    row["decode_seconds"] = op.limit ? Json(op.seconds) : Json();
    row["limited_by"] = op.limit ? Json(name(*op.limit)) : Json();
    list.push_back(std::move(row));
  }
  return list;
}

Json speed_json(const TargetReport& report) {
  if (!report.speed) return {{"basis", "roofline"}, {"unknown_because", report.no_speed}};
  const auto batch = static_cast<double>(report.load.batch);
  const auto context = static_cast<double>(report.load.context);
  if (report.speed->of_texts) {
    return {{"basis", "roofline"}, {"texts_per_second", batch / report.speed->decode_step}};
  }
  return {{"basis", "roofline"},
          {"decode_tokens_per_second", batch / report.speed->decode_step},
          {"decode_seconds_per_token", report.speed->decode_step},
          {"prefill_tokens_per_second", context / report.speed->prefill},
          {"prefill_seconds", report.speed->prefill}};
}

Json target_json(const TargetReport& report) {
  return {{"name", report.chip.name},
          {"title", report.chip.title},
          {"devices_per_chip", report.chip.devices_per_chip},
          {"context", report.load.context},
          {"batch", report.load.batch},
          {"quant", report.load.quant},
          {"weight_format", main_format(report.storage)},
          {"usable_bytes_per_chip", whole(report.usable)},
          {"need_bytes", whole(report.need.total())},
          {"power_per_chip", constant_json(report.chip.power)},
          {"usd_per_chip", constant_json(report.chip.price)},
          {"usd_per_chip_hour", constant_json(report.chip.price_per_hour)},
          {"speed", speed_json(report)}};
}

}  // namespace

Json report_json(const ModelFacts& model, const TargetReport* target) {
  Json json = {{"model", model_json(model)},
               {"memory", memory_json(model, target ? target->storage : model.storage)}};
  if (!target) return json;
  json["target"] = target_json(*target);
  json["supported"] = target->supported;
  json["needs_port"] = target->needs_port;
  json["fits"] = target->fits;
  json["chips"] = target->chips ? Json(*target->chips) : Json();
  json["verdict"] = target->verdict;
  json["operators"] = operators_json(*target);
  return json;
}

Json tensors_json(const ModelFacts& model) {
  Json list = Json::array();
  for (const TensorInfo& tensor : model.checkpoint.weights->tensors()) {
    const auto dims = tensor.shape.dims();
    list.push_back({{"name", tensor.name},
                    {"dtype", name(tensor.dtype)},
                    {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                    {"bytes", tensor.bytes},
                    {"file", tensor.file}});
  }
  return list;
}

}  // namespace lotse
