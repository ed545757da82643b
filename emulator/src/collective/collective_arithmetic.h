// Data types and reductions of the collectives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hccl/hccl.h"

namespace lotse::emulator {

// Throws HCCL_E_PARA for a number that is no type or operation, HCCL_E_NOT_SUPPORT for a type that
// the chip lacks or that cannot be reduced.
void require_type(HcclDataType type);
void require_reduction(HcclDataType type, HcclReduceOp op);

int64_t size_of(HcclDataType type);
const char* name_of(HcclDataType type);
const char* name_of(HcclReduceOp op);

// Combines `count` elements of each piece into `out`, in the order of the pieces: FP16 and BFP16 in
// FP32 with one rounding at the end; integers wrap.
void reduce_pieces(HcclDataType type, HcclReduceOp op, std::span<const std::byte* const> pieces,
                   int64_t count, std::byte* out);

}  // namespace lotse::emulator
