#include "verify/dump.h"

#include <cstring>
#include <map>

#include "checkpoint/dequantize.h"
#include "checkpoint/safetensors.h"

namespace lotse {
namespace {

// The program's name of a recorded value, empty when there is none.
std::string operator_name(const std::string& recorded) {
  if (recorded == "model.embed.output") return "embed";
  if (recorded == "model.norm.output") return "final_norm";
  if (recorded == "logits") return "logits";
  const std::string prefix = "model.layers.";
  const size_t dot = recorded.find('.', prefix.size());
  if (!recorded.starts_with(prefix) || dot == std::string::npos) return "";
  const std::string layer = "layers." + recorded.substr(prefix.size(), dot - prefix.size());
  const std::string what = recorded.substr(dot);
  if (what == ".output") return layer + ".output";
  if (what == ".self_attn.output") return layer + ".attention_output";
  if (what == ".mlp.output") return layer + ".mlp_output";
  return "";
}

struct Dump {
  std::vector<int32_t> tokens;
  std::map<std::string, std::vector<float>> values;  // by the program's names
};

Result<Dump> read_dump(const std::filesystem::path& path, int64_t vocabulary) {
  const SafetensorsFile file = LOTSE_TRY(open_safetensors(path));
  Dump dump;
  for (const StoredTensor& stored : file.tensors) {
    const Tensor tensor{stored.info.dtype, stored.info.shape, stored.bytes, stored.owner};
    const std::string name = operator_name(stored.info.name);
    if (!name.empty()) dump.values[name] = LOTSE_TRY(dequantize(tensor));
    if (stored.info.name != "input_ids") continue;
    if (tensor.dtype != DType::i64) {
      return fail(ErrorCode::invalid_input, "{}: tensor input_ids: expected i64, got {}",
                  path.string(), lotse::name(tensor.dtype));
    }
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      int64_t id = 0;
      std::memcpy(&id, tensor.bytes.data() + i * 8, sizeof id);
      if (id < 0 || id >= vocabulary) {
        return fail(ErrorCode::invalid_input,
                    "{}: tensor input_ids: id {} is outside the vocabulary of {}", path.string(),
                    id, vocabulary);
      }
      dump.tokens.push_back(static_cast<int32_t>(id));
    }
  }
  if (dump.tokens.empty()) {
    return fail(ErrorCode::invalid_input, "{}: tensor input_ids is missing or empty",
                path.string());
  }
  return dump;
}

class DumpComparer final : public Observer {
 public:
  DumpComparer(const Dump& dump, double tolerance) : dump_(dump), tolerance_(tolerance) {}

  Result<void> on_value(const Op& op, std::span<float> data, int64_t rows,
                        int64_t columns) override {
    const auto it = dump_.values.find(op.name);
    if (it == dump_.values.end()) return {};
    if (it->second.size() != data.size()) {
      return fail(ErrorCode::invalid_input,
                  "the dump's value for {} has {} elements, expected {} x {}", op.name,
                  it->second.size(), rows, columns);
    }
    const Departure departure = compare(data, it->second);
    departures.push_back({op.name, kind_name(op.operation), departure, departure, tolerance_});
    return {};
  }
  std::vector<OperatorDeparture> departures;

 private:
  const Dump& dump_;
  double tolerance_;
};

}  // namespace

Result<std::vector<OperatorDeparture>> compare_with_dump(Engine& engine,
                                                         const std::filesystem::path& path) {
  const Dump dump = LOTSE_TRY(read_dump(path, engine.config().vocabulary));
  const auto room =
      static_cast<size_t>(std::min(engine.limits().max_tokens, engine.limits().max_outputs));
  if (dump.tokens.size() > room) {
    return fail(ErrorCode::limit, "{}: {} tokens are more than one step of {}", path.string(),
                dump.tokens.size(), room);
  }
  DumpComparer comparer(dump, operator_tolerance(narrowest_format(engine.model())));
  const auto session = engine.make_session();
  engine.executable().observe(&comparer);
  const auto result = session->append_scored(dump.tokens, [](size_t, std::span<const float>) {});
  engine.executable().observe(nullptr);
  LOTSE_TRY(result);
  if (comparer.departures.empty()) {
    return fail(ErrorCode::invalid_input, "{}: no value that this model has; made for another?",
                path.string());
  }
  return comparer.departures;
}

}  // namespace lotse
