#include "tensor/dtype.h"

#include <array>

#include "base/checked.h"

namespace lotse {
namespace {

constexpr std::array<DTypeInfo, 25> kTypes = {{
    {"f64", 1, 8},      {"f32", 1, 4},     {"f16", 1, 2},      {"bf16", 1, 2},
    {"i64", 1, 8},      {"i32", 1, 4},     {"i16", 1, 2},      {"i8", 1, 1},
    {"u8", 1, 1},       {"bool", 1, 1},    {"f8_e4m3", 1, 1},  {"f8_e5m2", 1, 1},
    {"f8_e8m0", 1, 1},  {"f4_e2m1", 2, 1}, {"f6_e2m3", 4, 3},  {"f6_e3m2", 4, 3},
    {"i4", 2, 1},       {"q8_0", 32, 34},  {"q4_0", 32, 18},   {"q4_1", 32, 20},
    {"q5_0", 32, 22},   {"q5_1", 32, 24},  {"q4_k", 256, 144}, {"q5_k", 256, 176},
    {"q6_k", 256, 210},
}};
static_assert(kTypes.size() == static_cast<size_t>(DType::q6_k) + 1);

}  // namespace

const DTypeInfo& info(DType type) { return kTypes[static_cast<size_t>(type)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::optional<int64_t> byte_size(DType type, int64_t elements) {
  const DTypeInfo& t = info(type);
  if (elements < 0 || elements % t.block_elements != 0) return std::nullopt;
  return checked_mul(elements / t.block_elements, t.block_bytes);
}

bool is_plain_float(DType type) {
  return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

bool is_gguf_block(DType type) { return type >= DType::q8_0; }

}  // namespace lotse
