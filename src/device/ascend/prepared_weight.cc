#include "device/ascend/prepared_weight.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/float_types.h"

namespace lotse::ascend {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Elements of a row are packed along rows so that a token's columns meet whole words.
int nibble(const WeightPart& part, int64_t row, int64_t column) {
  const auto bytes = part.data.as<uint8_t>();
  const uint8_t byte = bytes[at(row * ceil_div(part.columns, 2) + column / 2)];
  return column % 2 == 0 ? byte & 15 : byte >> 4;
}

// [columns, rows] of two's complement nibbles, the lower row first in a byte.
std::vector<std::byte> transposed_int4(std::span<const WeightPart> parts, int64_t rows,
                                       int64_t columns) {
  std::vector<std::byte> out(at(columns * rows / 2));
  int64_t first = 0;
  for (const WeightPart& part : parts) {
    for (int64_t r = 0; r < part.rows; ++r) {
      const int shift = (first + r) % 2 == 0 ? 0 : 4;
      for (int64_t k = 0; k < columns; ++k) {
        out[at((k * rows + first + r) / 2)] |= static_cast<std::byte>(nibble(part, r, k) << shift);
      }
    }
    first += part.rows;
  }
  return out;
}

// [rows, groups] of each part → [groups, rows].
std::vector<float> transposed_scales(std::span<const WeightPart> parts, int64_t rows,
                                     int64_t groups) {
  std::vector<float> out(at(rows * groups));
  int64_t first = 0;
  for (const WeightPart& part : parts) {
    const auto scales = part.scales.as<float>();
    for (int64_t r = 0; r < part.rows; ++r) {
      for (int64_t g = 0; g < groups; ++g) {
        out[at(g * rows + first + r)] = scales[at(r * groups + g)];
      }
    }
    first += part.rows;
  }
  return out;
}

// The bytes of each part, one after another, straight to the device.
Result<Buffer> upload_stacked(const Queue& queue, std::span<const WeightPart> parts,
                              const Tensor WeightPart::* field, const char* what) {
  int64_t total = 0;
  for (const WeightPart& part : parts) total += std::ssize((part.*field).bytes);
  Buffer buffer = LOTSE_TRY(queue.allocate(total, what));
  std::byte* to = buffer.data();
  for (const WeightPart& part : parts) {
    const std::span<const std::byte> bytes = (part.*field).bytes;
    LOTSE_TRY(queue.copy_in(to, bytes));
    to += bytes.size();
  }
  LOTSE_TRY(queue.synchronise());
  return buffer;
}

Result<Segment> make_int4_segment(const Queue& queue, const WeightDecl& decl,
                                  std::span<const WeightPart> parts, Segment segment,
                                  AclType half) {
  if (segment.columns % segment.group != 0 || segment.rows % 8 != 0) {
    return fail(
        ErrorCode::unsupported,
        "{}: W4A16 weight of {} x {} in groups of {}: an Ascend device needs whole groups and "
        "rows in multiples of 8; `lotse port --quant w8a8` has no such limit",
        decl.sources.front(), segment.rows, segment.columns, segment.group);
  }
  const int64_t groups = segment.columns / segment.group;
  segment.data =
      LOTSE_TRY(queue.upload(transposed_int4(parts, segment.rows, segment.columns), "weights"));
  segment.scales = LOTSE_TRY(queue.upload(
      encode(transposed_scales(parts, segment.rows, groups), half), "scales of weights"));
  return segment;
}

Result<Segment> make_segment(const Queue& queue, const WeightDecl& decl,
                             std::span<const WeightPart> parts, AclType half) {
  Segment segment;
  segment.format = parts.front().format;
  segment.columns = parts.front().columns;
  segment.group = parts.front().group;
  for (const WeightPart& part : parts) segment.rows += part.rows;
  switch (segment.format) {
    case WeightFormat::w4a16:
      return make_int4_segment(queue, decl, parts, std::move(segment), half);
    case WeightFormat::w4a8:
      return fail(
          ErrorCode::unsupported,
          "{}: W4A8 weights are not run on Ascend devices yet; `lotse port` to w4a16 or w8a8",
          decl.sources.front());
    case WeightFormat::bf16:
      if (half != AclType::bf16) {
        return fail(ErrorCode::unsupported,
                    "{}: BF16 weights, and this device has no BF16; `lotse port --target "
                    "ascend-310p` converts them",
                    decl.sources.front());
      }
      break;
    case WeightFormat::w8a8:
      segment.scales = LOTSE_TRY(upload_stacked(queue, parts, &WeightPart::scales, "scales"));
      break;
    default:
      break;
  }
  segment.data = LOTSE_TRY(upload_stacked(queue, parts, &WeightPart::data, "weights"));
  return segment;
}

}  // namespace

int64_t PreparedWeight::bytes() const {
  int64_t total = vector.size();
  for (const Segment& segment : segments) total += segment.data.size() + segment.scales.size();
  return total;
}

Result<PreparedWeight> prepare_weight(const Queue& queue, const WeightDecl& decl,
                                      const Weight& weight, AclType half) {
  PreparedWeight prepared;
  const std::span<const WeightPart> parts(weight.parts);
  for (size_t begin = 0; begin < parts.size();) {
    size_t end = begin + 1;
    while (end < parts.size() && parts[end].format == parts[begin].format &&
           parts[end].group == parts[begin].group) {
      ++end;
    }
    prepared.segments.push_back(
        LOTSE_TRY(make_segment(queue, decl, parts.subspan(begin, end - begin), half)));
    begin = end;
  }
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
