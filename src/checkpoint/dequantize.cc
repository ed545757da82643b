// Block formats as published in ggml's block definitions (ggml-common.h): a scale d (and a minimum)
// in fp16 for each block of 32 elements, or for a super-block of 256 whose 8 or 16 sub-blocks have
// small integer scales of their own.
#include "checkpoint/dequantize.h"

#include <cstring>

#include "base/float_types.h"

namespace lotse {
namespace {

template <class T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

float half(const uint8_t* bytes) { return fp16_to_float(load<uint16_t>(bytes)); }
float low(uint8_t byte) { return static_cast<float>(byte & 15); }
float high(uint8_t byte) { return static_cast<float>(byte >> 4); }

void decode_q8_0(const uint8_t* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

void decode_q4_0(const uint8_t* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (low(block[2 + i]) - 8);
    out[i + 16] = d * (high(block[2 + i]) - 8);
  }
}

void decode_q4_1(const uint8_t* block, float* out) {
  const float d = half(block);
  const float minimum = half(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * low(block[4 + i]) + minimum;
    out[i + 16] = d * high(block[4 + i]) + minimum;
  }
}

// The fifth bit of element i, as 0 or 16.
float fifth_bit(uint32_t bits, int i) { return ((bits >> i) & 1u) != 0 ? 16.0f : 0.0f; }

void decode_q5_0(const uint8_t* block, float* out) {
  const float d = half(block);
  const uint32_t bits = load<uint32_t>(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (low(block[6 + i]) + fifth_bit(bits, i) - 16);
    out[i + 16] = d * (high(block[6 + i]) + fifth_bit(bits, i + 16) - 16);
  }
}

void decode_q5_1(const uint8_t* block, float* out) {
  const float d = half(block);
  const float minimum = half(block + 2);
  const uint32_t bits = load<uint32_t>(block + 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * (low(block[8 + i]) + fifth_bit(bits, i)) + minimum;
    out[i + 16] = d * (high(block[8 + i]) + fifth_bit(bits, i + 16)) + minimum;
  }
}

struct ScaleAndMinimum {
  float scale;
  float minimum;
};

// The 6-bit scale and minimum of sub-block i (0 to 7), packed into 12 bytes: the first four pairs
// in the low 6 bits of bytes 0-3 and 4-7, the others in bytes 8-11 and the spare high bits.
ScaleAndMinimum unpack_k_scales(const uint8_t* packed, int i) {
  if (i < 4) {
    return {static_cast<float>(packed[i] & 63), static_cast<float>(packed[i + 4] & 63)};
  }
  const int scale = (packed[i + 4] & 15) | ((packed[i - 4] >> 6) << 4);
  const int minimum = (packed[i + 4] >> 4) | ((packed[i] >> 6) << 4);
  return {static_cast<float>(scale), static_cast<float>(minimum)};
}

void decode_q4_k(const uint8_t* block, float* out) {
  const float d = half(block);
  const float d_minimum = half(block + 2);
  for (int sub = 0; sub < 8; ++sub) {
    const auto [scale, minimum] = unpack_k_scales(block + 4, sub);
    const uint8_t* quants = block + 16 + 32 * (sub / 2);
    for (int i = 0; i < 32; ++i) {
      const float q = sub % 2 == 0 ? low(quants[i]) : high(quants[i]);
      out[32 * sub + i] = d * scale * q - d_minimum * minimum;
    }
  }
}

void decode_q5_k(const uint8_t* block, float* out) {
  const float d = half(block);
  const float d_minimum = half(block + 2);
  const uint8_t* fifth_bits = block + 16;
  for (int sub = 0; sub < 8; ++sub) {
    const auto [scale, minimum] = unpack_k_scales(block + 4, sub);
    const uint8_t* quants = block + 48 + 32 * (sub / 2);
    for (int i = 0; i < 32; ++i) {
      const float nibble = sub % 2 == 0 ? low(quants[i]) : high(quants[i]);
      const float q = nibble + fifth_bit(fifth_bits[i], sub);
      out[32 * sub + i] = d * scale * q - d_minimum * minimum;
    }
  }
}

// Each half of 128 elements takes 64 bytes of low nibbles, 32 bytes of upper bit pairs, 8 scales.
void decode_q6_k(const uint8_t* block, float* out) {
  const float d = half(block + 208);
  for (int element = 0; element < 256; ++element) {
    const int part = element / 128;
    const int quarter = element % 128 / 32;
    const int i = element % 32;
    const uint8_t nibbles = block[64 * part + 32 * (quarter % 2) + i];
    const int upper = (block[128 + 32 * part + i] >> (2 * quarter)) & 3;
    const int q = (quarter < 2 ? nibbles & 15 : nibbles >> 4) | (upper << 4);
    const auto scale = static_cast<int8_t>(block[192 + element / 16]);
    out[element] = d * static_cast<float>(scale) * static_cast<float>(q - 32);
  }
}

void decode_f64(const uint8_t* in, float* out) { *out = static_cast<float>(load<double>(in)); }
void decode_f32(const uint8_t* in, float* out) { *out = load<float>(in); }
void decode_f16(const uint8_t* in, float* out) { *out = half(in); }
void decode_bf16(const uint8_t* in, float* out) { *out = bf16_to_float(load<uint16_t>(in)); }
void decode_e4m3(const uint8_t* in, float* out) { *out = e4m3_to_float(*in); }
void decode_e5m2(const uint8_t* in, float* out) { *out = e5m2_to_float(*in); }
void decode_e8m0(const uint8_t* in, float* out) { *out = e8m0_to_float(*in); }

// A run of blocks decoded one after another; `Decode` is known at compile time, to be inlined.
template <void (*Decode)(const uint8_t*, float*)>
void decode_run(const DTypeInfo& type, const uint8_t* in, int64_t blocks, float* out) {
  for (int64_t i = 0; i < blocks; ++i) {
    Decode(in, out);
    in += type.block_bytes;
    out += type.block_elements;
  }
}

using DecodeRun = void (*)(const DTypeInfo&, const uint8_t*, int64_t, float*);

// nullptr for a type that cannot be decoded by itself.
DecodeRun decoder(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return decode_run<decode_f64>;
    case DType::f32:
      return decode_run<decode_f32>;
    case DType::f16:
      return decode_run<decode_f16>;
    case DType::bf16:
      return decode_run<decode_bf16>;
    case DType::f8_e4m3:
      return decode_run<decode_e4m3>;
    case DType::f8_e5m2:
      return decode_run<decode_e5m2>;
    case DType::f8_e8m0:
      return decode_run<decode_e8m0>;
    case DType::q8_0:
      return decode_run<decode_q8_0>;
    case DType::q4_0:
      return decode_run<decode_q4_0>;
    case DType::q4_1:
      return decode_run<decode_q4_1>;
    case DType::q5_0:
      return decode_run<decode_q5_0>;
    case DType::q5_1:
      return decode_run<decode_q5_1>;
    case DType::q4_k:
      return decode_run<decode_q4_k>;
    case DType::q5_k:
      return decode_run<decode_q5_k>;
    case DType::q6_k:
      return decode_run<decode_q6_k>;
    default:
      return nullptr;
  }
}

}  // namespace

bool can_dequantize(DType dtype) { return decoder(dtype) != nullptr; }

Result<void> dequantize_rows(const Tensor& tensor, int64_t row_begin, int64_t row_end, float* out) {
  const DecodeRun decode = decoder(tensor.dtype);
  if (decode == nullptr) {
    return fail(ErrorCode::unsupported, "dtype {} cannot be read as floats without its scales",
                name(tensor.dtype));
  }
  const int rank = tensor.shape.rank();
  const int64_t row_length = rank == 0 ? 1 : tensor.shape[rank - 1];
  const DTypeInfo& type = info(tensor.dtype);
  const int64_t row_blocks = row_length / type.block_elements;
  LOTSE_CHECK(0 <= row_begin && row_begin <= row_end && row_length % type.block_elements == 0);
  LOTSE_CHECK(row_end * row_blocks * type.block_bytes <= static_cast<int64_t>(tensor.bytes.size()));
  const auto* bytes = reinterpret_cast<const uint8_t*>(tensor.bytes.data());
  decode(type, bytes + row_begin * row_blocks * type.block_bytes,
         (row_end - row_begin) * row_blocks, out);
  return {};
}

Result<std::vector<float>> dequantize(const Tensor& tensor) {
  const int rank = tensor.shape.rank();
  const int64_t row_length = rank == 0 ? 1 : tensor.shape[rank - 1];
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  const int64_t rows = row_length == 0 ? 0 : tensor.elements() / row_length;
  LOTSE_TRY(dequantize_rows(tensor, 0, rows, values.data()));
  return values;
}

}  // namespace lotse
