#include "device/ascend/prepared_weight.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/environment.h"
#include "base/float_types.h"
#include "device/ascend/fractal.h"

namespace lotse::ascend {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Elements of a row are packed along rows so that a token's columns meet whole words.
int nibble(const WeightPart& part, int64_t row, int64_t column) {
  const auto bytes = part.data.as<uint8_t>();
  const uint8_t byte = bytes[at(row * ceil_div(part.columns, 2) + column / 2)];
  return column % 2 == 0 ? byte & 15 : byte >> 4;
}

// Where element (row, column) of a matrix stands once each expert's rows were transposed.
int64_t transposed_place(const Segment& segment, int64_t columns, int64_t row, int64_t column) {
  const int64_t rows = segment.rows / segment.experts;
  return (row / rows * columns + column) * rows + row % rows;
}

// [columns, rows] of two's complement nibbles for each expert, the lower row first in a byte.
std::vector<std::byte> transposed_int4(std::span<const WeightPart> parts, const Segment& segment) {
  std::vector<std::byte> out(at(segment.columns * segment.rows / 2));
  int64_t first = 0;
  for (const WeightPart& part : parts) {
    for (int64_t r = 0; r < part.rows; ++r) {
      const int shift = (first + r) % 2 == 0 ? 0 : 4;
      for (int64_t k = 0; k < segment.columns; ++k) {
        out[at(transposed_place(segment, segment.columns, first + r, k) / 2)] |=
            static_cast<std::byte>(nibble(part, r, k) << shift);
      }
    }
    first += part.rows;
  }
  return out;
}

// [rows, groups] of each part → [groups, rows] for each expert.
std::vector<float> transposed_scales(std::span<const WeightPart> parts, const Segment& segment,
                                     int64_t groups) {
  std::vector<float> out(at(segment.rows * groups));
  int64_t first = 0;
  for (const WeightPart& part : parts) {
    const auto scales = part.scales.as<float>();
    for (int64_t r = 0; r < part.rows; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        out[at(transposed_place(segment, groups, first + r, g))] = scales[at(r * groups + g)];
      }
    }
    first += part.rows;
  }
  return out;
}

// The data of each part, one after another, straight to the device.
Result<Buffer> upload_data(const Queue& queue, std::span<const WeightPart> parts) {
  int64_t total = 0;
  for (const WeightPart& part : parts) total += std::ssize(part.data.bytes);
  Buffer buffer = LOTSE_TRY(queue.allocate(total, "weights"));
  std::byte* to = buffer.data();
  for (const WeightPart& part : parts) {
    LOTSE_TRY(queue.copy_in(to, part.data.bytes));
    to += part.data.bytes.size();
  }
  LOTSE_TRY(queue.synchronise());
  return buffer;
}

// The scales of all parts' rows.
std::vector<float> row_scales(std::span<const WeightPart> parts) {
  std::vector<float> scales;
  for (const WeightPart& part : parts) {
    const auto of_part = part.scales.as<float>();
    scales.insert(scales.end(), of_part.begin(), of_part.end());
  }
  return scales;
}

// The numbers of rows [first, first + count) as [columns, count].
void unpack_int4(std::span<const WeightPart> parts, int64_t first, int64_t count,
                 std::span<int32_t> values) {
  int64_t start = 0;
  for (const WeightPart& part : parts) {
    const int64_t begin = std::max(first, start);
    const int64_t end = std::min(first + count, start + part.rows);
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t k = 0; k < part.columns; ++k) {
        const int bits = nibble(part, r - start, k);
        values[at(k * count + r - first)] = bits >= 8 ? bits - 16 : bits;
      }
    }
    start += part.rows;
  }
}

// Numbers of `columns` [first, first + count) of a matrix [rows, width].
std::vector<float> columns_of(std::span<const float> matrix, int64_t rows, int64_t width,
                              int64_t first, int64_t count) {
  std::vector<float> out;
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = matrix.subspan(at(r * width + first), at(count));
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

Result<void> check_format(const WeightDecl& decl, const Segment& segment, AclType half) {
  if (segment.format == WeightFormat::w4a8) {
    return fail(ErrorCode::unsupported,
                "{}: W4A8 weights are not run on Ascend devices yet; `lotse port` to w4a16 or w8a8",
                decl.sources.front());
  }
  if (segment.format == WeightFormat::bf16 && half != AclType::bf16) {
    return fail(ErrorCode::unsupported,
                "{}: BF16 weights, and this device has no BF16; `lotse port --target ascend-310p` "
                "converts them",
                decl.sources.front());
  }
  const bool is_int4 = segment.format == WeightFormat::w4a16;
  const int64_t rows = segment.rows / segment.experts;
  if (is_int4 && (segment.columns % segment.group != 0 || rows % 8 != 0)) {
    return fail(
        ErrorCode::unsupported,
        "{}: W4A16 weight of {} x {} in groups of {}: an Ascend device needs whole groups and "
        "rows in multiples of 8; `lotse port --quant w8a8` has no such limit",
        decl.sources.front(), rows, segment.columns, segment.group);
  }
  return {};
}

// What the products of each format document of FRACTAL_NZ. Tables are looked up by row, experts
// taken by rows, so that both stay row-major.
bool takes_fractal(const Library& library, const WeightDecl& decl, const Segment& segment) {
  if (decl.role != WeightRole::matrix || segment.rows == 1 || segment.columns == 1) return false;
  switch (segment.format) {
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return library.format_cast.exists() && library.matmul_nz.exists();
    case WeightFormat::w8a8:
      return library.format_cast.exists() && library.quant_matmul_nz.exists();
    case WeightFormat::w4a16:
      return library.pack_int4.exists() && (segment.group == 64 || segment.group == 128) &&
             segment.group < segment.columns && segment.rows % 64 == 0;
    default:
      return false;
  }
}

Result<Segment> make_row_major(const Queue& queue, std::span<const WeightPart> parts,
                               Segment segment, const Preparation& preparation) {
  const AclType half = preparation.half;
  if (segment.format == WeightFormat::w4a16) {
    const int64_t groups = segment.columns / segment.group;
    segment.data = LOTSE_TRY(queue.upload(transposed_int4(parts, segment), "weights"));
    segment.scales = LOTSE_TRY(
        queue.upload(encode(transposed_scales(parts, segment, groups), half), "scales of weights"));
    return segment;
  }
  segment.data = LOTSE_TRY(upload_data(queue, parts));
  if (segment.format == WeightFormat::w8a8) {
    // Grouped products with BF16 results take BF16 scales.
    const bool is_grouped = segment.experts > 1 && !preparation.exact;
    if (is_grouped && half == AclType::bf16) segment.scale_type = half;
    segment.scales =
        LOTSE_TRY(queue.upload(encode(row_scales(parts), segment.scale_type), "scales of weights"));
  }
  return segment;
}

// Segments of at most kMaxQuantisedRows.
Result<std::vector<Segment>> make_int4_fractal(Queue& queue, std::span<const WeightPart> parts,
                                               const Segment& whole, AclType half) {
  const int64_t groups = whole.columns / whole.group;
  const std::vector<float> scales = transposed_scales(parts, whole, groups);
  std::vector<Segment> segments;
  for (int64_t begin = 0; begin < whole.rows; begin += kMaxQuantisedRows) {
    Segment segment{whole.format,
                    std::min(kMaxQuantisedRows, whole.rows - begin),
                    whole.columns,
                    whole.group,
                    {},
                    {},
                    {}};
    Fractal made =
        LOTSE_TRY(pack_int4_fractal(queue, segment.rows, segment.columns,
                                    [&](int64_t first, int64_t count, std::span<int32_t> values) {
                                      unpack_int4(parts, begin + first, count, values);
                                    }));
    segment.data = std::move(made.data);
    segment.storage = std::move(made.storage);
    segment.scales = LOTSE_TRY(queue.upload(
        encode(columns_of(scales, groups, whole.rows, begin, segment.rows), half), "scales"));
    segments.push_back(std::move(segment));
  }
  return segments;
}

// The same of formats that aclnnNpuFormatCast takes; row-major on the device first.
Result<std::vector<Segment>> make_fractal(Queue& queue, std::span<const WeightPart> parts,
                                          const Segment& whole) {
  const bool is_int8 = whole.format == WeightFormat::w8a8;
  const Buffer staged = LOTSE_TRY(upload_data(queue, parts));
  const std::vector<float> scales = is_int8 ? row_scales(parts) : std::vector<float>();
  const AclType type = stored_type(whole.format);
  const int64_t most = is_int8 ? kMaxQuantisedRows : whole.rows;
  std::vector<Segment> segments;
  for (int64_t begin = 0; begin < whole.rows; begin += most) {
    Segment segment{whole.format, std::min(most, whole.rows - begin), whole.columns, 0, {}, {}, {}};
    Fractal made = LOTSE_TRY(
        cast_to_fractal(queue, View::dense(staged.data() + bytes_of(type, begin * whole.columns),
                                           type, {segment.rows, segment.columns})));
    segment.data = std::move(made.data);
    segment.storage = std::move(made.storage);
    if (is_int8) {
      const auto part = std::span(scales).subspan(at(begin), at(segment.rows));
      segment.scales = LOTSE_TRY(queue.upload(std::as_bytes(part), "scales"));
    }
    segments.push_back(std::move(segment));
  }
  return segments;
}

// As docs/numerics.md says: each number is bf16(q · scale).
void append_int4(const WeightPart& part, std::vector<float>& values) {
  const auto scales = part.scales.as<float>();
  const int64_t groups = ceil_div(part.columns, part.group);
  for (int64_t r = 0; r < part.rows; ++r) {
    for (int64_t k = 0; k < part.columns; ++k) {
      const int bits = nibble(part, r, k);
      const auto number = static_cast<float>(bits >= 8 ? bits - 16 : bits);
      values.push_back(round_to_bf16(number * scales[at(r * groups + k / part.group)]));
    }
  }
}

Result<void> append_widened(const WeightDecl& decl, const WeightPart& part,
                            std::vector<float>& values) {
  switch (part.format) {
    case WeightFormat::f32:
      for (const float value : part.data.as<float>()) values.push_back(value);
      return {};
    case WeightFormat::f16:
      for (const uint16_t bits : part.data.as<uint16_t>()) values.push_back(fp16_to_float(bits));
      return {};
    case WeightFormat::bf16:
      for (const uint16_t bits : part.data.as<uint16_t>()) values.push_back(bf16_to_float(bits));
      return {};
    case WeightFormat::w4a16:
      append_int4(part, values);
      return {};
    case WeightFormat::w8a8:
    case WeightFormat::w4a8:
      break;
  }
  return fail(ErrorCode::unsupported,
              "{}: {} weights are not widened to FP32 on Ascend devices; `lotse port` to w8a8, or "
              "leave them as floats",
              decl.sources.front(), name(part.format));
}

// A part at a time, so that the host holds no second copy of a whole matrix.
Result<Segment> make_wide(const Queue& queue, const WeightDecl& decl,
                          std::span<const WeightPart> parts, Segment segment) {
  segment.is_wide = true;
  segment.data = LOTSE_TRY(
      queue.allocate(bytes_of(AclType::f32, segment.rows * segment.columns), "weights in FP32"));
  std::byte* to = segment.data.data();
  for (const WeightPart& part : parts) {
    std::vector<float> values;
    LOTSE_TRY(append_widened(decl, part, values));
    LOTSE_TRY(queue.copy_in(to, std::as_bytes(std::span(values))));
    LOTSE_TRY(queue.synchronise());
    to += bytes_of(AclType::f32, std::ssize(values));
  }
  return segment;
}

Result<std::vector<Segment>> make_segments(Queue& queue, const WeightDecl& decl,
                                           std::span<const WeightPart> parts,
                                           const Preparation& preparation) {
  Segment whole;
  whole.format = parts.front().format;
  whole.columns = parts.front().columns;
  whole.group = parts.front().group;
  whole.experts = decl.experts;
  for (const WeightPart& part : parts) whole.rows += part.rows;
  if (preparation.exact && whole.format != WeightFormat::w8a8) {
    std::vector<Segment> segments;
    segments.push_back(LOTSE_TRY(make_wide(queue, decl, parts, std::move(whole))));
    return segments;
  }
  LOTSE_TRY(check_format(decl, whole, preparation.half));
  if (preparation.fractal_nz && takes_fractal(queue.library(), decl, whole)) {
    return whole.format == WeightFormat::w4a16
               ? make_int4_fractal(queue, parts, whole, preparation.half)
               : make_fractal(queue, parts, whole);
  }
  std::vector<Segment> segments;
  segments.push_back(LOTSE_TRY(make_row_major(queue, parts, std::move(whole), preparation)));
  return segments;
}

}  // namespace

int64_t PreparedWeight::bytes() const {
  int64_t total = vector.size();
  for (const Segment& segment : segments) total += segment.data.size() + segment.scales.size();
  return total;
}

AclType Segment::type() const { return is_wide ? AclType::f32 : stored_type(format); }

AclType stored_type(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return AclType::f32;
    case WeightFormat::f16:
      return AclType::f16;
    case WeightFormat::bf16:
      return AclType::bf16;
    case WeightFormat::w8a8:
      return AclType::i8;
    default:
      return AclType::i4;
  }
}

bool prefers_fractal_nz(bool chip_has_bf16) {
  return chip_has_bf16 && environment("LOTSE_ASCEND_WEIGHTS") != "nd";
}

Result<PreparedWeight> prepare_weight(Queue& queue, const WeightDecl& decl, const Weight& weight,
                                      const Preparation& preparation) {
  PreparedWeight prepared;
  const std::span<const WeightPart> parts(weight.parts);
  for (size_t begin = 0; begin < parts.size();) {
    size_t end = begin + 1;
    while (end < parts.size() && parts[end].format == parts[begin].format &&
           parts[end].group == parts[begin].group) {
      ++end;
    }
    for (Segment& segment :
         LOTSE_TRY(make_segments(queue, decl, parts.subspan(begin, end - begin), preparation))) {
      prepared.segments.push_back(std::move(segment));
    }
    begin = end;
  }
  if (decl.experts > 1 && prepared.segments.size() > 1) {
    return fail(ErrorCode::unsupported,
                "{}: its experts are in {} and {}, but an Ascend device needs one format for all; "
                "`lotse port` to one",
                decl.sources.front(), name(prepared.segments[0].format),
                name(prepared.segments[1].format));
  }
  return prepared;
}

Result<PreparedWeight> prepare_wide(const Queue& queue, const WeightDecl& decl,
                                    const Weight& weight) {
  std::vector<float> values;
  for (const WeightPart& part : weight.parts) LOTSE_TRY(append_widened(decl, part, values));
  PreparedWeight prepared;
  prepared.segments.emplace_back();
  Segment& segment = prepared.segments.back();
  segment.rows = decl.rows;
  segment.columns = decl.columns;
  segment.data = LOTSE_TRY(queue.upload(std::as_bytes(std::span(values)), "weights"));
  return prepared;
}

Result<PreparedWeight> prepare_vector(const Queue& queue, const WeightDecl& decl,
                                      const Weight& weight, AclType type) {
  std::vector<float> values;
  for (const WeightPart& part : weight.parts) {
    for (const float value : part.data.as<float>()) values.push_back(value + decl.offset);
  }
  PreparedWeight prepared;
  prepared.vector = LOTSE_TRY(queue.upload(encode(values, type), "vectors"));
  return prepared;
}

std::vector<std::byte> encode(std::span<const float> values, AclType type) {
  std::vector<std::byte> bytes(at(bytes_of(type, std::ssize(values))));
  if (type == AclType::f32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half =
        type == AclType::bf16 ? float_to_bf16(values[i]) : float_to_fp16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

}  // namespace lotse::ascend
