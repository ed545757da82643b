#include "device/walk/storage.h"

#include <set>

#include "base/checked.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace lotse {
namespace {

// The formats that are not element types by themselves, each with its scales: one fp32 an output
// row, one fp32 a group, one fp32 a block of 128 x 128, one for all, one byte for 32 elements.
double quantised_bytes(std::string_view format, int64_t rows, int64_t columns, int64_t group) {
  const auto n = static_cast<double>(rows);
  const auto k = static_cast<double>(columns);
  if (format == "w8a8" || format == "fp8_channel") return n * (k + 4);
  if (format == "fp8_tensor") return n * k + 4;
  if (format == "fp8_block") {
    return n * k + 4 * static_cast<double>(ceil_div(rows, 128) * ceil_div(columns, 128));
  }
  if (format == "mxfp4") return n * (k / 2 + static_cast<double>(ceil_div(columns, 32)));
  LOTSE_CHECK(format == "w4a16" || format == "w4a8");
  const int64_t groups = ceil_div(columns, group > 0 ? group : columns);
  return n * (k / 2 + 4 * static_cast<double>(groups));
}

int64_t elements(const WeightDecl& weight) { return weight.rows * weight.columns; }

}  // namespace

double format_bytes(std::string_view format, int64_t rows, int64_t columns, int64_t group) {
  const auto dtype = dtype_from_name(format);
  if (!dtype) return quantised_bytes(format, rows, columns, group);
  const DTypeInfo& type = info(*dtype);
  return static_cast<double>(rows) * static_cast<double>(ceil_div(columns, type.block_elements)) *
         type.block_bytes;
}

double element_bytes(std::string_view dtype) {
  if (dtype == "int8" || dtype == "fp8") return 1;
  const auto type = dtype_from_name(dtype);
  LOTSE_CHECK(type.has_value());
  return info(*type).block_bytes;
}

Storage uniform_storage(const Program& program, const std::string& format,
                        const std::string& activation) {
  Storage storage;
  storage.activation = activation;
  storage.kv = activation;
  storage.weights.resize(program.weights.size());
  for (size_t i = 0; i < program.weights.size(); ++i) {
    const bool is_vector = program.weights[i].role == WeightRole::vector;
    set_format(storage, program, static_cast<WeightId>(i), is_vector ? "f32" : format, 128);
  }
  return storage;
}

void set_format(Storage& storage, const Program& program, WeightId id, const std::string& format,
                int64_t group) {
  const auto index = static_cast<size_t>(id);
  const WeightDecl& weight = program.weights[index];
  const int64_t kept = format == "w4a16" || format == "w4a8" ? group : 0;
  storage.weights[index] = {format, kept, format_bytes(format, weight.rows, weight.columns, kept)};
}

std::vector<bool> kept_in_full(const Program& program) {
  std::vector<bool> kept(program.weights.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    const WeightRole role = program.weights[i].role;
    kept[i] = role == WeightRole::vector || role == WeightRole::table;
  }
  for (const Op& op : program.ops) {
    if (const auto* moe = std::get_if<Moe>(&op.operation)) {
      kept[static_cast<size_t>(moe->router)] = true;
    }
    const auto* linear = std::get_if<Linear>(&op.operation);
    if (linear && program.values[static_cast<size_t>(linear->out)].rows == Rows::outputs) {
      kept[static_cast<size_t>(linear->weight)] = true;
    }
  }
  return kept;
}

void quantise(Storage& storage, const Program& program, const std::string& format, int64_t group) {
  const std::vector<bool> kept = kept_in_full(program);
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) set_format(storage, program, static_cast<WeightId>(i), format, group);
  }
}

double weight_bytes(const Storage& storage) {
  double bytes = 0;
  for (const WeightStorage& weight : storage.weights) bytes += weight.bytes;
  return bytes;
}

double kv_bytes_per_token(const Program& program, const std::string& kv) {
  double bytes = 0;
  for (const CacheLayer& layer : program.cache_layers) {
    const double head = static_cast<double>(layer.head_dim) * element_bytes(kv);
    // An int8 cache has an fp32 scale for each head's key and each value.
    bytes += 2 * static_cast<double>(layer.kv_heads) * (kv == "int8" ? head + 4 : head);
  }
  return bytes;
}

int64_t parameter_count(const Program& program) {
  std::set<std::vector<std::string>> seen;
  int64_t count = 0;
  for (const WeightDecl& weight : program.weights) {
    if (seen.insert(weight.sources).second) count += elements(weight);
  }
  return count;
}

int64_t active_parameter_count(const Program& program) {
  int64_t count = parameter_count(program);
  for (const Op& op : program.ops) {
    const auto* moe = std::get_if<Moe>(&op.operation);
    if (!moe) continue;
    for (const WeightId id : {moe->gate_up, moe->down}) {
      const WeightDecl& weight = program.weights[static_cast<size_t>(id)];
      count -= elements(weight) / moe->experts * (moe->experts - moe->top_k);
    }
  }
  return count;
}

}  // namespace lotse
