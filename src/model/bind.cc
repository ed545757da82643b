#include "model/bind.h"

#include <fmt/format.h>

#include <optional>

#include "base/checked.h"
#include "base/float_types.h"
#include "checkpoint/dequantize.h"

namespace lotse {
namespace {

constexpr std::string_view kSupported =
    "Lotse reads unquantised weights, compressed-tensors int8 W8A8 and int4 W4A16 or W4A8, and "
    "GGUF";

// The fields of one config group that decide the arithmetic.
struct Scheme {
  int64_t bits;
  int64_t group;  // 0: a scale per output channel
  bool int8_activations;
};

Result<Scheme> read_scheme(const JsonFields& group) {
  const auto weights = LOTSE_TRY(group.object("weights"));
  if (!weights) return fail(ErrorCode::invalid_input, "{}: weights is missing", group.origin());
  Scheme scheme{};
  scheme.bits = LOTSE_TRY(weights->required_integer("num_bits", 1, 64));
  const std::string type = LOTSE_TRY(weights->string_or("type", "int"));
  const std::string strategy = LOTSE_TRY(weights->string_or("strategy", "channel"));
  const bool symmetric = LOTSE_TRY(weights->boolean_or("symmetric", true));
  if (type != "int" || !symmetric || (strategy != "channel" && strategy != "group")) {
    return fail(ErrorCode::unsupported, "{}: {} weights, strategy {}, {}: {}", group.origin(), type,
                strategy, symmetric ? "symmetric" : "asymmetric", kSupported);
  }
  if (strategy == "group") {
    scheme.group = LOTSE_TRY(weights->required_integer("group_size", 1, 1 << 20));
  }
  const auto inputs = LOTSE_TRY(group.object("input_activations"));
  scheme.int8_activations = inputs.has_value();
  if (inputs && (LOTSE_TRY(inputs->integer_or("num_bits", 8, 1, 64)) != 8 ||
                 LOTSE_TRY(inputs->string_or("type", "int")) != "int" ||
                 LOTSE_TRY(inputs->string_or("strategy", "token")) != "token")) {
    return fail(ErrorCode::unsupported, "{}: input_activations other than int8 per token: {}",
                group.origin(), kSupported);
  }
  return scheme;
}

std::optional<std::string> resolve(const WeightSource& source, const std::string& name) {
  for (std::string& stored : stored_names(name)) {
    if (source.find(stored) != nullptr) return std::move(stored);
  }
  return std::nullopt;
}

class Binder {
 public:
  Binder(const WeightSource& source, const Quantisation& quantisation)
      : source_(source), quantisation_(quantisation) {}

  Result<Weight> bind(const WeightDecl& decl) const {
    Weight weight;
    int64_t rows = 0;
    for (const std::string& name : decl.sources) {
      WeightPart part =
          LOTSE_TRY(decl.role == WeightRole::vector ? vector_part(name) : matrix_part(name));
      const int64_t expected = decl.role == WeightRole::vector ? part.columns : decl.columns;
      if (part.columns != expected) {
        return fail(ErrorCode::invalid_input, "{}: tensor {}: expected {} columns, got {}",
                    file_of(name), name, expected, part.columns);
      }
      rows += decl.role == WeightRole::vector ? part.columns : part.rows;
      weight.parts.push_back(std::move(part));
    }
    const int64_t expected = decl.role == WeightRole::vector ? decl.columns : decl.rows;
    if (rows == expected) return weight;
    return fail(ErrorCode::invalid_input, "{}: tensor {}: expected {} {}, got {}",
                file_of(decl.sources.front()),
                fmt::join(decl.sources.begin(), shown_end(decl), " + "), expected,
                decl.role == WeightRole::vector ? "elements" : "rows", rows);
  }

 private:
  static std::vector<std::string>::const_iterator shown_end(const WeightDecl& decl) {
    return decl.sources.begin() + std::min<ptrdiff_t>(3, std::ssize(decl.sources));
  }

  std::string file_of(const std::string& name) const {
    const auto real = resolve(source_, name);
    return real ? source_.find(*real)->file : "checkpoint";
  }

  Result<Tensor> read(const std::string& name) const {
    return source_.read(resolve(source_, name).value_or(name));
  }

  bool has(const std::string& name) const { return resolve(source_, name).has_value(); }

  Result<WeightPart> vector_part(const std::string& name) const {
    const Tensor tensor = LOTSE_TRY(read(name));
    if (tensor.shape.rank() != 1) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected one dimension, got shape {}",
                  file_of(name), name, to_string(tensor.shape));
    }
    std::vector<float> values = LOTSE_TRY(dequantize(tensor));
    const int64_t size = tensor.shape[0];
    return WeightPart{WeightFormat::f32,
                      1,
                      size,
                      make_tensor(DType::f32, Shape({1, size}), std::move(values)),
                      {},
                      0};
  }

  Result<WeightPart> matrix_part(const std::string& name) const {
    const std::string stem = name.substr(0, name.rfind(".weight"));
    if (has(stem + ".weight_packed")) return int4_part(stem);
    const Tensor tensor = LOTSE_TRY(read(name));
    if (tensor.shape.rank() != 2) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected two dimensions, got shape {}",
                  file_of(name), name, to_string(tensor.shape));
    }
    WeightPart part{WeightFormat::f32, tensor.shape[0], tensor.shape[1], tensor, {}, 0};
    switch (tensor.dtype) {
      case DType::f32:
        return part;
      case DType::f16:
        part.format = WeightFormat::f16;
        return part;
      case DType::bf16:
        part.format = WeightFormat::bf16;
        return part;
      case DType::i8:
        return int8_part(stem, std::move(part));
      default:
        break;
    }
    if (is_gguf_block(tensor.dtype)) return block_part(name, std::move(part));
    return fail(ErrorCode::unsupported, "{}: tensor {}: weights of type {} are not supported: {}",
                file_of(name), name, lotse::name(tensor.dtype), kSupported);
  }

  // Scales as f32 [rows, groups].
  Result<Tensor> scales(const std::string& stem, int64_t rows, int64_t groups) const {
    const std::string name = stem + ".weight_scale";
    const Tensor stored = LOTSE_TRY(read(name));
    if (!is_plain_float(stored.dtype) || stored.elements() != rows * groups) {
      return fail(ErrorCode::invalid_input,
                  "{}: tensor {}: expected {} x {} floating-point scales, got {} {}", file_of(name),
                  name, rows, groups, lotse::name(stored.dtype), to_string(stored.shape));
    }
    return make_tensor(DType::f32, Shape({rows, groups}), LOTSE_TRY(dequantize(stored)));
  }

  Result<WeightPart> int8_part(const std::string& stem, WeightPart part) const {
    if (quantisation_.format != WeightFormat::w8a8) {
      return fail(ErrorCode::unsupported,
                  "{}: tensor {}.weight is int8, but quantization_config does not say W8A8",
                  file_of(stem + ".weight"), stem);
    }
    part.format = WeightFormat::w8a8;
    part.scales = LOTSE_TRY(scales(stem, part.rows, 1));
    return part;
  }

  // compressed-tensors' pack-quantized: eight nibbles an int32, lowest first, stored as value + 8.
  Result<WeightPart> int4_part(const std::string& stem) const {
    const std::string name = stem + ".weight_packed";
    const Tensor packed = LOTSE_TRY(read(name));
    const std::vector<int64_t> shape = LOTSE_TRY(stored_shape(stem));
    const int64_t rows = shape[0];
    const int64_t columns = shape[1];
    const int64_t words = ceil_div(columns, 8);
    if (packed.dtype != DType::i32 || packed.shape != Shape({rows, words})) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected i32 [{}, {}], got {} {}",
                  file_of(name), name, rows, words, lotse::name(packed.dtype),
                  to_string(packed.shape));
    }
    const int64_t row_bytes = ceil_div(columns, 2);
    std::vector<uint8_t> nibbles(static_cast<size_t>(rows * row_bytes));
    const auto bytes = packed.as<uint8_t>();
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t i = 0; i < row_bytes; ++i) {
        nibbles[static_cast<size_t>(row * row_bytes + i)] =
            bytes[static_cast<size_t>(row * words * 4 + i)] ^ 0x88;
      }
    }
    const int64_t group = quantisation_.group > 0 ? quantisation_.group : columns;
    auto storage = std::make_shared<const std::vector<uint8_t>>(std::move(nibbles));
    return WeightPart{quantisation_.format,
                      rows,
                      columns,
                      Tensor{DType::i4, Shape({rows, row_bytes * 2}),
                             std::as_bytes(std::span(*storage)), storage},
                      LOTSE_TRY(scales(stem, rows, ceil_div(columns, group))),
                      group};
  }

  Result<std::vector<int64_t>> stored_shape(const std::string& stem) const {
    const std::string name = stem + ".weight_shape";
    const Tensor tensor = LOTSE_TRY(read(name));
    std::vector<int64_t> shape;
    if (tensor.dtype == DType::i64) {
      shape.assign(tensor.as<int64_t>().begin(), tensor.as<int64_t>().end());
    } else if (tensor.dtype == DType::i32) {
      shape.assign(tensor.as<int32_t>().begin(), tensor.as<int32_t>().end());
    }
    constexpr int64_t kMax = 1 << 24;
    if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > kMax || shape[1] > kMax) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected two positive integers",
                  file_of(name), name);
    }
    return shape;
  }

  Result<WeightPart> block_part(const std::string& name, WeightPart part) const {
    const Tensor stored = std::move(part.data);
    std::vector<uint16_t> halves(static_cast<size_t>(part.rows * part.columns));
    std::vector<float> row(static_cast<size_t>(part.columns));
    for (int64_t r = 0; r < part.rows; ++r) {
      LOTSE_TRY(dequantize_rows(stored, r, r + 1, row.data()));
      for (int64_t k = 0; k < part.columns; ++k) {
        const uint16_t half = float_to_fp16(row[static_cast<size_t>(k)]);
        if ((half & 0x7c00u) == 0x7c00u) {
          return fail(ErrorCode::invalid_input,
                      "{}: tensor {}: row {} has a value beyond the range of f16", file_of(name),
                      name, r);
        }
        halves[static_cast<size_t>(r * part.columns + k)] = half;
      }
    }
    part.format = WeightFormat::f16;
    part.data = make_tensor(DType::f16, stored.shape, std::move(halves));
    return part;
  }

  const WeightSource& source_;
  const Quantisation& quantisation_;
};

}  // namespace

Result<Quantisation> read_quantisation(const Json& config, const std::string& origin) {
  Quantisation result;
  const JsonFields root(config, origin);
  const auto fields = LOTSE_TRY(root.object("quantization_config"));
  if (!fields) return result;
  result.method = LOTSE_TRY(fields->string_or("quant_method", ""));
  if (result.method == "fp8") {
    return fail(ErrorCode::unsupported,
                "{}: FP8 weights are not run as they are: `lotse port MODEL OUT --target T --quant "
                "w8a8` (or bf16) converts them",
                fields->origin());
  }
  if (result.method != "compressed-tensors") {
    return fail(ErrorCode::unsupported, "{}: field \"quant_method\": \"{}\" is not supported: {}",
                fields->origin(), result.method, kSupported);
  }
  const auto groups = LOTSE_TRY(fields->object("config_groups"));
  if (!groups || groups->json().empty()) {
    return fail(ErrorCode::invalid_input, "{}: config_groups is missing", fields->origin());
  }
  std::optional<Scheme> scheme;
  for (const auto& [key, value] : groups->json().items()) {
    const auto group = LOTSE_TRY(groups->object(key.c_str()));
    if (!group) continue;
    const Scheme next = LOTSE_TRY(read_scheme(*group));
    if (scheme && (next.bits != scheme->bits || next.group != scheme->group ||
                   next.int8_activations != scheme->int8_activations)) {
      return fail(ErrorCode::unsupported, "{}: groups of different schemes are not supported",
                  groups->origin());
    }
    scheme = next;
  }
  if (!scheme) return fail(ErrorCode::invalid_input, "{}: no group", groups->origin());
  if (scheme->bits == 8 && scheme->int8_activations && scheme->group == 0) {
    result.format = WeightFormat::w8a8;
  } else if (scheme->bits == 4) {
    result.format = scheme->int8_activations ? WeightFormat::w4a8 : WeightFormat::w4a16;
    result.group = scheme->group;
  } else {
    return fail(ErrorCode::unsupported, "{}: {}-bit weights with {} activations: {}",
                groups->origin(), scheme->bits, scheme->int8_activations ? "int8" : "16-bit",
                kSupported);
  }
  return result;
}

Result<std::vector<Weight>> bind_weights(const Program& program, const WeightSource& source,
                                         const Quantisation& quantisation) {
  const Binder binder(source, quantisation);
  std::vector<Weight> weights;
  weights.reserve(program.weights.size());
  for (const WeightDecl& decl : program.weights) weights.push_back(LOTSE_TRY(binder.bind(decl)));
  return weights;
}

}  // namespace lotse
