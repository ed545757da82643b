#include "port/source_weight.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/checked.h"
#include "checkpoint/dequantize.h"

namespace lotse {
namespace {

constexpr std::string_view kReadable =
    "Lotse ports unquantised weights, GGUF, FP8 with scales per tensor, channel or block, and "
    "compressed-tensors' symmetric int8 and int4";

bool is_fp8(DType dtype) { return dtype == DType::f8_e4m3 || dtype == DType::f8_e5m2; }

int64_t row_length(const Shape& shape) { return shape.rank() == 0 ? 1 : shape[shape.rank() - 1]; }

int64_t row_count(const Shape& shape) {
  int64_t rows = 1;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) rows *= shape[axis];
  return rows;
}

struct BlockSize {
  int64_t rows = 0;
  int64_t columns = 0;
};

// What `quantization_config` says beyond what the tensors show by themselves.
struct SourceScheme {
  bool is_quantised = false;
  BlockSize fp8_block;
};

Result<BlockSize> read_block(const JsonFields& fields, const char* key) {
  const auto found = fields.json().find(key);
  if (found == fields.json().end() || found->is_null()) return BlockSize{};
  const auto is_dimension = [](const Json& value) {
    return value.is_number_integer() && value.get<int64_t>() > 0 &&
           value.get<int64_t>() <= (1 << 20);
  };
  if (!found->is_array() || found->size() != 2 || !is_dimension((*found)[0]) ||
      !is_dimension((*found)[1])) {
    return fail(ErrorCode::invalid_input, "{}: field \"{}\": expected two positive integers",
                fields.origin(), key);
  }
  return BlockSize{(*found)[0].get<int64_t>(), (*found)[1].get<int64_t>()};
}

Result<SourceScheme> read_scheme(const Json& config, const std::string& origin) {
  const JsonFields root(config, origin);
  auto fields = LOTSE_TRY(root.object("quantization_config"));
  SourceScheme scheme;
  if (!fields) return scheme;
  scheme.is_quantised = true;
  const std::string method = LOTSE_TRY(fields->string_or("quant_method", ""));
  if (method == "fp8") {
    scheme.fp8_block = LOTSE_TRY(read_block(*fields, "weight_block_size"));
    return scheme;
  }
  const std::string format = LOTSE_TRY(fields->string_or("format", ""));
  const bool is_known = format == "int-quantized" || format == "pack-quantized" ||
                        format == "float-quantized" || format == "naive-quantized";
  if (method == "compressed-tensors" && is_known) return scheme;
  return fail(ErrorCode::unsupported, "{}: quant_method \"{}\"{}{} cannot be ported: {}",
              fields->origin(), method, format.empty() ? "" : " with format ", format, kReadable);
}

class Grouping {
 public:
  Grouping(const WeightSource& source, const SourceScheme& scheme)
      : source_(source), scheme_(scheme) {}

  Result<std::vector<SourceWeight>> run() {
    std::vector<SourceWeight> weights;
    for (const TensorInfo& info : source_.tensors()) {
      if (info.name.ends_with(".weight_packed")) {
        weights.push_back(LOTSE_TRY(packed(info)));
      } else if (scheme_.is_quantised && (is_fp8(info.dtype) || info.dtype == DType::i8)) {
        weights.push_back(LOTSE_TRY(scaled(info)));
      }
    }
    for (const TensorInfo& info : source_.tensors()) {
      if (!used_.contains(info.name)) weights.push_back(LOTSE_TRY(plain(info)));
    }
    std::sort(weights.begin(), weights.end(),
              [](const SourceWeight& a, const SourceWeight& b) { return a.name < b.name; });
    return weights;
  }

 private:
  // Takes the tensor of that name into `weight`; nullptr when there is none.
  const TensorInfo* take(SourceWeight& weight, const std::string& name) {
    const TensorInfo* info = source_.find(name);
    if (info == nullptr) return nullptr;
    used_.insert(info->name);
    weight.bytes += info->bytes;
    return info;
  }

  // Reads stem.weight_scale or …_scale_inv, and sets the block that its shape implies.
  Result<void> take_scales(SourceWeight& weight, const std::string& stem) {
    for (const char* trap : {".weight_zero_point", ".weight_g_idx"}) {
      const TensorInfo* info = source_.find(stem + trap);
      if (info == nullptr) continue;
      return fail(ErrorCode::unsupported, "{}: tensor {}: {}", info->file, info->name, kReadable);
    }
    for (const char* activation : {".input_scale", ".output_scale"})
      take(weight, stem + activation);
    const bool is_inverse = source_.find(stem + ".weight_scale_inv") != nullptr;
    const std::string name = stem + (is_inverse ? ".weight_scale_inv" : ".weight_scale");
    const TensorInfo* scales = take(weight, name);
    if (scales == nullptr) {
      return fail(ErrorCode::invalid_input, "{}: tensor {} of {}: its scales {} are missing",
                  weight.file, weight.name, lotse::name(weight.dtype), name);
    }
    weight.scales = name;
    const int64_t rows = row_count(weight.shape);
    const int64_t columns = row_length(weight.shape);
    const int64_t count = scales->shape.elements().value_or(0);
    const BlockSize& block = scheme_.fp8_block;
    if (block.rows > 0 && count == ceil_div(rows, block.rows) * ceil_div(columns, block.columns)) {
      weight.block_rows = block.rows;
      weight.block_columns = block.columns;
    } else if (count == 1) {
      weight.block_rows = rows;
      weight.block_columns = columns;
    } else if (rows > 0 && count % rows == 0 && count > 0 && columns % (count / rows) == 0) {
      weight.block_rows = 1;
      weight.block_columns = columns / (count / rows);
    }
    if (weight.block_rows > 0 && weight.block_columns > 0 && is_plain_float(scales->dtype)) {
      return {};
    }
    return fail(
        ErrorCode::invalid_input,
        "{}: tensor {}: {} {} do not fit weight {} {}: expected floating-point scales per "
        "tensor, row, or group of a row{}",
        scales->file, name, lotse::name(scales->dtype), to_string(scales->shape), weight.name,
        to_string(weight.shape),
        block.rows > 0 ? fmt::format(", or per block of {} x {}", block.rows, block.columns) : "");
  }

  Result<SourceWeight> packed(const TensorInfo& info) {
    const std::string stem = info.name.substr(0, info.name.rfind(".weight_packed"));
    SourceWeight weight;
    weight.name = stem + ".weight";
    weight.values = info.name;
    weight.file = info.file;
    weight.dtype = DType::i4;
    take(weight, info.name);
    weight.shape = LOTSE_TRY(stored_shape(weight, stem + ".weight_shape"));
    const Shape expected({weight.shape[0], ceil_div(weight.shape[1], 8)});
    if (info.dtype != DType::i32 || info.shape != expected) {
      return fail(ErrorCode::unsupported, "{}: tensor {}: expected i32 {} (int4), got {} {}",
                  info.file, info.name, to_string(expected), lotse::name(info.dtype),
                  to_string(info.shape));
    }
    LOTSE_TRY(take_scales(weight, stem));
    return weight;
  }

  Result<Shape> stored_shape(SourceWeight& weight, const std::string& name) {
    if (take(weight, name) == nullptr) {
      return fail(ErrorCode::invalid_input, "{}: tensor {} is missing", weight.file, name);
    }
    const Tensor tensor = LOTSE_TRY(source_.read(name));
    std::vector<int64_t> dims;
    if (tensor.dtype == DType::i64) {
      dims.assign(tensor.as<int64_t>().begin(), tensor.as<int64_t>().end());
    } else if (tensor.dtype == DType::i32) {
      dims.assign(tensor.as<int32_t>().begin(), tensor.as<int32_t>().end());
    }
    constexpr int64_t kMax = 1 << 24;
    if (dims.size() != 2 || dims[0] < 1 || dims[1] < 1 || dims[0] > kMax || dims[1] > kMax) {
      return fail(ErrorCode::invalid_input, "{}: tensor {}: expected two positive integers",
                  weight.file, name);
    }
    return Shape(dims);
  }

  Result<SourceWeight> scaled(const TensorInfo& info) {
    SourceWeight weight = LOTSE_TRY(plain(info));
    const size_t dot = info.name.rfind(".weight");
    if (info.shape.rank() != 2 || dot == std::string::npos || dot + 7 != info.name.size()) {
      return fail(ErrorCode::unsupported, "{}: tensor {} {} of {}: {}", info.file, info.name,
                  to_string(info.shape), lotse::name(info.dtype), kReadable);
    }
    LOTSE_TRY(take_scales(weight, info.name.substr(0, dot)));
    return weight;
  }

  Result<SourceWeight> plain(const TensorInfo& info) {
    SourceWeight weight;
    weight.name = weight.values = info.name;
    weight.file = info.file;
    weight.shape = info.shape;
    weight.dtype = info.dtype;
    take(weight, info.name);
    return weight;
  }

  const WeightSource& source_;
  const SourceScheme& scheme_;
  std::unordered_set<std::string_view> used_;
};

}  // namespace

Result<std::vector<SourceWeight>> source_weights(const WeightSource& source, const Json& config,
                                                 const std::string& origin) {
  const SourceScheme scheme = LOTSE_TRY(read_scheme(config, origin));
  return Grouping(source, scheme).run();
}

Result<SourceRows> SourceRows::open(const WeightSource& source, const SourceWeight& weight) {
  SourceRows rows;
  rows.values_ = LOTSE_TRY(source.read(weight.values));
  rows.dtype_ = weight.dtype;
  rows.rows_ = row_count(weight.shape);
  rows.columns_ = row_length(weight.shape);
  if (weight.is_quantised()) {
    rows.scales_ = LOTSE_TRY(dequantize(LOTSE_TRY(source.read(weight.scales))));
    rows.block_rows_ = weight.block_rows;
    rows.block_columns_ = weight.block_columns;
    rows.scale_columns_ = ceil_div(rows.columns_, rows.block_columns_);
  }
  return rows;
}

std::span<const std::byte> SourceRows::bytes(int64_t begin, int64_t end) const {
  if (rows_ == 0) return {};
  const auto stride = values_.bytes.size() / static_cast<size_t>(rows_);
  return values_.bytes.subspan(static_cast<size_t>(begin) * stride,
                               static_cast<size_t>(end - begin) * stride);
}

void SourceRows::read_elements(int64_t row, float* out) const {
  const std::byte* stored = bytes(row, row + 1).data();
  for (int64_t k = 0; k < columns_; ++k) {
    if (dtype_ == DType::i8) {
      out[k] = static_cast<float>(static_cast<int8_t>(stored[k]));
    } else {
      const auto pair = std::to_integer<int>(stored[k / 2]);
      out[k] = static_cast<float>((k % 2 == 0 ? pair & 0xf : pair >> 4) - 8);
    }
  }
}

Result<void> SourceRows::read(int64_t begin, int64_t end, float* out) const {
  const bool is_integer = dtype_ == DType::i8 || dtype_ == DType::i4;
  if (!is_integer) LOTSE_TRY(dequantize_rows(values_, begin, end, out));
  if (scales_.empty()) return {};
  for (int64_t row = begin; row < end; ++row) {
    float* values = out + (row - begin) * columns_;
    if (is_integer) read_elements(row, values);
    const float* scales = scales_.data() + row / block_rows_ * scale_columns_;
    for (int64_t k = 0; k < columns_; k += block_columns_) {
      const int64_t stop = std::min(k + block_columns_, columns_);
      for (int64_t i = k; i < stop; ++i) values[i] *= scales[k / block_columns_];
    }
  }
  return {};
}

void release_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t skipped = (page - reinterpret_cast<uintptr_t>(bytes.data()) % page) % page;
  if (bytes.size() < skipped + page) return;
  const std::span<const std::byte> pages =
      bytes.subspan(skipped, (bytes.size() - skipped) / page * page);
  ::madvise(const_cast<std::byte*>(pages.data()), pages.size(), MADV_PAGEOUT);
}

}  // namespace lotse
