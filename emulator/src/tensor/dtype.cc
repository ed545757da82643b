#include "tensor/dtype.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace lotse::emulator {
namespace {

struct Row {
  aclDataType type;
  const char* name;
  int64_t bits;
  int rank;  // in promotion: bool, integers, floats
};

constexpr std::array<Row, 20> kRows = {{{ACL_FLOAT, "FLOAT", 32, 22},
                                        {ACL_FLOAT16, "FLOAT16", 16, 20},
                                        {ACL_BF16, "BF16", 16, 21},
                                        {ACL_DOUBLE, "DOUBLE", 64, 23},
                                        {ACL_INT8, "INT8", 8, 11},
                                        {ACL_INT16, "INT16", 16, 12},
                                        {ACL_INT32, "INT32", 32, 14},
                                        {ACL_INT64, "INT64", 64, 16},
                                        {ACL_UINT8, "UINT8", 8, 10},
                                        {ACL_UINT16, "UINT16", 16, 13},
                                        {ACL_UINT32, "UINT32", 32, 15},
                                        {ACL_UINT64, "UINT64", 64, 17},
                                        {ACL_BOOL, "BOOL", 8, 0},
                                        {ACL_INT4, "INT4", 4, 1},
                                        {ACL_FLOAT8_E5M2, "FLOAT8_E5M2", 8, 18},
                                        {ACL_FLOAT8_E4M3FN, "FLOAT8_E4M3FN", 8, 19},
                                        {ACL_HIFLOAT8, "HIFLOAT8", 0, 0},
                                        {ACL_FLOAT4_E2M1, "FLOAT4_E2M1", 0, 0},
                                        {ACL_COMPLEX64, "COMPLEX64", 0, 0},
                                        {ACL_STRING, "STRING", 0, 0}}};

const Row* find(aclDataType type) {
  const auto found = std::ranges::find(kRows, type, &Row::type);
  return found == kRows.end() ? nullptr : &*found;
}

}  // namespace

std::string name_of(aclDataType type) {
  const Row* row = find(type);
  return row != nullptr ? row->name : fmt::format("dtype {}", static_cast<int>(type));
}

std::string names_of(DtypeSet types) {
  std::string names;
  for (const Row& row : kRows) {
    if (types.contains(row.type)) names += (names.empty() ? "" : ", ") + std::string(row.name);
  }
  return names;
}

int64_t bits_of(aclDataType type) {
  const Row* row = find(type);
  return row != nullptr ? row->bits : 0;
}

aclDataType promoted(aclDataType a, aclDataType b) {
  if (a == b) return a;
  if (kHalf.contains(a) && kHalf.contains(b)) return ACL_FLOAT;
  const Row* first = find(a);
  const Row* second = find(b);
  if (first == nullptr || second == nullptr) return a;
  return first->rank >= second->rank ? a : b;
}

}  // namespace lotse::emulator
