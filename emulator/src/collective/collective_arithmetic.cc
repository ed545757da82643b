#include "collective/collective_arithmetic.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "runtime/error.h"
#include "runtime/soc.h"
#include "tensor/convert.h"

namespace lotse::emulator {
namespace {

struct TypeInfo {
  const char* name;
  int64_t size;
  aclDataType dtype;
  bool reducible;
};

constexpr std::array<TypeInfo, 12> kTypes = {{{"INT8", 1, ACL_INT8, true},
                                              {"INT16", 2, ACL_INT16, true},
                                              {"INT32", 4, ACL_INT32, true},
                                              {"FP16", 2, ACL_FLOAT16, true},
                                              {"FP32", 4, ACL_FLOAT, true},
                                              {"INT64", 8, ACL_INT64, true},
                                              {"UINT64", 8, ACL_UINT64, false},
                                              {"UINT8", 1, ACL_UINT8, false},
                                              {"UINT16", 2, ACL_UINT16, false},
                                              {"UINT32", 4, ACL_UINT32, false},
                                              {"FP64", 8, ACL_DOUBLE, false},
                                              {"BFP16", 2, ACL_BF16, true}}};
constexpr int64_t kBlock = 1024;

const TypeInfo& info(HcclDataType type) { return kTypes[static_cast<size_t>(type)]; }

template <class T>
T combined(HcclReduceOp op, T a, T b) {
  switch (op) {
    case HCCL_REDUCE_SUM:
      return static_cast<T>(a + b);
    case HCCL_REDUCE_PROD:
      return static_cast<T>(a * b);
    case HCCL_REDUCE_MAX:
      return a < b ? b : a;
    case HCCL_REDUCE_MIN:
      return b < a ? b : a;
  }
  return a;
}

template <class T>
void combine_all(HcclReduceOp op, T* total, const T* more, int64_t count) {
  for (int64_t i = 0; i < count; ++i) total[i] = combined(op, total[i], more[i]);
}

// `load(piece, begin, count, values)` and `store(begin, count, values)` move a block.
template <class T, class Load, class Store>
void reduce_blocks(HcclReduceOp op, size_t pieces, int64_t count, const Load& load,
                   const Store& store) {
  std::array<T, kBlock> total, more;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t length = std::min(kBlock, count - begin);
    load(size_t{0}, begin, length, total.data());
    for (size_t piece = 1; piece < pieces; ++piece) {
      load(piece, begin, length, more.data());
      combine_all(op, total.data(), more.data(), length);
    }
    store(begin, length, total.data());
  }
}

template <class T>
void reduce_native(HcclReduceOp op, std::span<const std::byte* const> pieces, int64_t count,
                   std::byte* out) {
  constexpr int64_t kSize = sizeof(T);
  reduce_blocks<T>(
      op, pieces.size(), count,
      [&](size_t piece, int64_t begin, int64_t length, T* values) {
        std::memcpy(values, pieces[piece] + begin * kSize, static_cast<size_t>(length * kSize));
      },
      [&](int64_t begin, int64_t length, const T* values) {
        std::memcpy(out + begin * kSize, values, static_cast<size_t>(length * kSize));
      });
}

void reduce_halves(aclDataType dtype, HcclReduceOp op, std::span<const std::byte* const> pieces,
                   int64_t count, std::byte* out) {
  reduce_blocks<float>(
      op, pieces.size(), count,
      [&](size_t piece, int64_t begin, int64_t length, float* values) {
        load_run(dtype, pieces[piece], begin, 1, length, values);
      },
      [&](int64_t begin, int64_t length, const float* values) {
        store_run(dtype, out, begin, 1, length, values);
      });
}

}  // namespace

void require_type(HcclDataType type) {
  if (type < 0 || type >= static_cast<int>(kTypes.size())) {
    fail(HCCL_E_PARA, "argument dataType: got {}, expected 0 to {}", static_cast<int>(type),
         kTypes.size() - 1);
  }
  if (!soc().dtypes.contains(info(type).dtype)) {
    fail(HCCL_E_NOT_SUPPORT, "argument dataType: {} has no {}", soc().name, name_of(type));
  }
}

void require_reduction(HcclDataType type, HcclReduceOp op) {
  require_type(type);
  if (op < HCCL_REDUCE_SUM || op > HCCL_REDUCE_MIN) {
    fail(HCCL_E_PARA, "argument op: got {}, expected 0 to 3", static_cast<int>(op));
  }
  if (!info(type).reducible) {
    fail(HCCL_E_NOT_SUPPORT,
         "argument dataType: {} cannot be reduced, only INT8, INT16, INT32, INT64, FP16, FP32 and "
         "BFP16",
         name_of(type));
  }
}

int64_t size_of(HcclDataType type) { return info(type).size; }
const char* name_of(HcclDataType type) { return info(type).name; }

const char* name_of(HcclReduceOp op) {
  constexpr std::array<const char*, 4> kNames = {"SUM", "PROD", "MAX", "MIN"};
  return kNames[static_cast<size_t>(op)];
}

void reduce_pieces(HcclDataType type, HcclReduceOp op, std::span<const std::byte* const> pieces,
                   int64_t count, std::byte* out) {
  switch (type) {
    case HCCL_DATA_TYPE_INT8:
      return reduce_native<int8_t>(op, pieces, count, out);
    case HCCL_DATA_TYPE_INT16:
      return reduce_native<int16_t>(op, pieces, count, out);
    case HCCL_DATA_TYPE_INT32:
      return reduce_native<int32_t>(op, pieces, count, out);
    case HCCL_DATA_TYPE_INT64:
      return reduce_native<int64_t>(op, pieces, count, out);
    case HCCL_DATA_TYPE_FP32:
      return reduce_native<float>(op, pieces, count, out);
    default:
      return reduce_halves(info(type).dtype, op, pieces, count, out);
  }
}

}  // namespace lotse::emulator
