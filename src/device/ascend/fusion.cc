#include "device/ascend/fusion.h"

#include <algorithm>

#include "base/checked.h"

namespace lotse::ascend {
namespace {

// Whether a quantised value has room in the memory of one of 16 bits, however many its tokens are.
bool has_room(int64_t columns) {
  const int64_t of_one_token = ceil_div(columns, kScaleAlignment) * kScaleAlignment + 4;
  return columns >= 20 && of_one_token <= 2 * columns;
}

bool reads(const Op& op, ValueId value) {
  return std::ranges::count(inputs_of(op.operation), value) > 0;
}

class Finder {
 public:
  Finder(const Program& program, const std::vector<PreparedWeight>& weights, Quantising quantising)
      : program_(program), weights_(weights), quantising_(quantising) {}

  Fusion find(size_t i) const {
    if (const auto* norm = std::get_if<RmsNorm>(&program_.ops[i].operation)) {
      return quantising_.of_norm && is_norm_of(*norm, norm->in) && feeds_int8_only(norm->out)
                 ? Fusion::norm_quant
                 : Fusion::none;
    }
    if (i + 1 == program_.ops.size()) return Fusion::none;
    const Operation& next = program_.ops[i + 1].operation;
    if (const auto* add = std::get_if<Add>(&program_.ops[i].operation)) {
      const auto* norm = std::get_if<RmsNorm>(&next);
      if (norm == nullptr || !is_norm_of(*norm, add->out)) return Fusion::none;
      return quantising_.of_sum && feeds_int8_only(norm->out) ? Fusion::add_norm_quant
                                                              : Fusion::add_norm;
    }
    const auto* linear = std::get_if<Linear>(&program_.ops[i].operation);
    const auto* gated = std::get_if<GatedActivation>(&next);
    const bool is_pair = linear != nullptr && gated != nullptr && gated->in == linear->out;
    if (!is_pair || !quantising_.of_gated || gated->activation != Activation::silu)
      return Fusion::none;
    const bool is_whole = weights_[index(linear->weight)].segments.size() == 1;
    return is_whole && linear->bias == kNone && is_int8(linear->weight) &&
                   readers(linear->out) == 1 && feeds_int8_only(gated->out)
               ? Fusion::swiglu_quant
               : Fusion::none;
  }

 private:
  static size_t index(int32_t id) { return static_cast<size_t>(id); }

  bool is_norm_of(const RmsNorm& norm, ValueId sum) const {
    return norm.in == sum && norm.out != sum && norm.groups == 1 &&
           norm.width == program_.values[index(sum)].columns;
  }

  bool is_int8(WeightId id) const {
    return std::ranges::all_of(weights_[index(id)].segments, [](const Segment& segment) {
      return segment.format == WeightFormat::w8a8;
    });
  }

  int64_t readers(ValueId value) const {
    return std::ranges::count_if(program_.ops, [&](const Op& op) { return reads(op, value); });
  }

  // Whether every operator that reads the value is a linear of INT8 weights.
  bool feeds_int8_only(ValueId value) const {
    if (!has_room(program_.values[index(value)].columns)) return false;
    const bool is_result = value == program_.logits || value == program_.hidden;
    return !is_result && std::ranges::all_of(program_.ops, [&](const Op& op) {
      if (!reads(op, value)) return true;
      const auto* linear = std::get_if<Linear>(&op.operation);
      return linear != nullptr && is_int8(linear->weight);
    });
  }

  const Program& program_;
  const std::vector<PreparedWeight>& weights_;
  Quantising quantising_;
};

}  // namespace

Result<Quantising> find_quantising(Queue& queue, AclType type) {
  const Library& library = queue.library();
  if (type == AclType::f32) return Quantising();
  constexpr int64_t kWidth = 64;
  constexpr int64_t kPlace = 512;  // bytes, enough for any of the tensors
  constexpr int64_t kPlaces = 16;
  const std::vector<std::byte> zeros(kPlaces * kPlace);
  const Buffer memory = LOTSE_TRY(queue.upload(zeros, "a trial of operators"));
  int64_t place = 0;
  const auto tensor = [&](AclType of, std::vector<int64_t> shape) {
    return queue.tensor(View::dense(memory.data() + kPlace * place++, of, std::move(shape)));
  };
  const auto row = [&](AclType of, int64_t width) { return tensor(of, {1, width}); };
  const auto scale = [&] { return tensor(AclType::f32, {1}); };
  Quantising found;
  if (library.add_rms_norm_quant.exists()) {
    const Result<void> done =
        queue.run(library.add_rms_norm_quant, row(type, kWidth), row(type, kWidth),
                  tensor(type, {kWidth}), nullptr, nullptr, 1e-5, row(AclType::i8, kWidth),
                  row(AclType::i8, kWidth), row(type, kWidth), scale(), scale());
    found.of_sum = done.has_value();
    found.of_norm = found.of_sum && type == AclType::bf16;
  }
  if (library.dequant_swiglu_quant.exists()) {
    char mode[] = "dynamic";
    const Result<void> done =
        queue.run(library.dequant_swiglu_quant, row(AclType::i32, kWidth),
                  tensor(AclType::f32, {kWidth}), row(AclType::f32, 1), nullptr, nullptr, nullptr,
                  nullptr, true, mode, row(AclType::i8, kWidth / 2), scale());
    found.of_gated = done.has_value();
  }
  LOTSE_TRY(queue.synchronise());
  return found;
}

size_t length_of(Fusion fusion) {
  return fusion == Fusion::none || fusion == Fusion::norm_quant ? 1 : 2;
}

Fusions find_fusions(const Program& program, const std::vector<PreparedWeight>& weights,
                     Quantising quantising) {
  const Finder finder(program, weights, quantising);
  Fusions found;
  found.at.resize(program.ops.size());
  found.is_quantised.resize(program.values.size());
  for (size_t i = 0; i < program.ops.size(); i += length_of(found.at[i])) {
    found.at[i] = finder.find(i);
    if (found.at[i] == Fusion::none || found.at[i] == Fusion::add_norm) continue;
    const Op& last = program.ops[i + length_of(found.at[i]) - 1];
    found.is_quantised[static_cast<size_t>(output_of(last.operation))] = true;
  }
  return found;
}

Program with_longer_lives(const Program& program, const Fusions& fusions) {
  Program planned = program;
  planned.ops.clear();
  planned.values.push_back({Rows::tokens, 1});
  const auto unused = static_cast<ValueId>(planned.values.size()) - 1;
  for (size_t i = 0; i < program.ops.size(); ++i) {
    planned.ops.push_back(program.ops[i]);
    const Fusion before = i == 0 ? Fusion::none : fusions.at[i - 1];
    if (before != Fusion::add_norm && before != Fusion::add_norm_quant) continue;
    const Add& add = std::get<Add>(program.ops[i - 1].operation);
    planned.ops.push_back({Add{add.a, add.b, unused}, kNone, ""});
  }
  return planned;
}

}  // namespace lotse::ascend
