/* Quantisation of activations, and scales in the form of the matrix unit. */
#ifndef LOTSE_EMULATOR_ACLNN_QUANT_H
#define LOTSE_EMULATOR_ACLNN_QUANT_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A scale for each row: q = x · (127 / max|x|), rounded half to even, and scale = max|x| / 127,
 * both in FLOAT. A row of zeros has scale 0, one with an infinity or NaN has scale NaN. */
aclnnStatus aclnnDynamicQuantGetWorkspaceSize(const aclTensor* x,
                                              const aclTensor* smoothScalesOptional,
                                              const aclTensor* yOut, const aclTensor* scaleOut,
                                              uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnDynamicQuant(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                              aclrtStream stream);

/* dstType: 2 INT8, 29 INT4, 3 INT4 packed by eights in INT32. Asymmetric where offsetOut is given:
 * q = x / scale + offset. groupIndexOptional: INT32 ends of the groups of rows that the rows of
 * smoothScales are for. */
aclnnStatus aclnnDynamicQuantV2GetWorkspaceSize(
    const aclTensor* x, const aclTensor* smoothScalesOptional, const aclTensor* groupIndexOptional,
    int64_t dstType, const aclTensor* yOut, const aclTensor* scaleOut, const aclTensor* offsetOut,
    uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnDynamicQuantV2(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                aclrtStream stream);

/* y = x · scale + offset (with sqrtMode x · scale² + offset); roundMode: round (half to even),
 * floor, ceil or trunc; dstType as above. */
aclnnStatus aclnnAscendQuantGetWorkspaceSize(const aclTensor* x, const aclTensor* scale,
                                             const aclTensor* offset, bool sqrtMode,
                                             const char* roundMode, int32_t dstType,
                                             const aclTensor* y, uint64_t* workspaceSize,
                                             aclOpExecutor** executor);
aclnnStatus aclnnAscendQuant(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                             aclrtStream stream);

/* UINT64: the scale's upper 19 bits in bits 13 to 31, the offset as nine bits from bit 37, bit 46
 * set. */
aclnnStatus aclnnTransQuantParamV2GetWorkspaceSize(const aclTensor* scale, const aclTensor* offset,
                                                   const aclTensor* out, uint64_t* workspaceSize,
                                                   aclOpExecutor** executor);
aclnnStatus aclnnTransQuantParamV2(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                   aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
