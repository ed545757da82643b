// Element types of tensors, among them the block formats of GGUF.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lotse {

enum class DType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f4_e2m1,
  f6_e2m3,
  f6_e3m2,  // OCP MX elements, packed
  i4,       // two's complement nibbles, low nibble first
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q4_k,
  q5_k,
  q6_k,  // GGUF blocks
};

struct DTypeInfo {
  std::string_view name;  // as shown to people, lower case
  int block_elements;     // elements in one indivisible block; 1 for plain types
  int block_bytes;        // bytes of one block
};

const DTypeInfo& info(DType type);
inline std::string_view name(DType type) { return info(type).name; }

// The type of that name ("bf16", "f8_e4m3", …), nothing when unknown.
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes of `elements` elements laid out contiguously, nothing on overflow or when `elements` is
// negative or not a multiple of the block.
std::optional<int64_t> byte_size(DType type, int64_t elements);

// Whether every element is a floating-point number stored by itself (f64, f32, f16, bf16).
bool is_plain_float(DType type);
// Whether this is one of GGUF's block formats.
bool is_gguf_block(DType type);

}  // namespace lotse
