/* Gated activations: one half of a dimension scales the other. */
#ifndef LOTSE_EMULATOR_ACLNN_GATED_H
#define LOTSE_EMULATOR_ACLNN_GATED_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = silu(first half) · second half */
aclnnStatus aclnnSwiGluGetWorkspaceSize(const aclTensor* x, int64_t dim, const aclTensor* out,
                                        uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnSwiGlu(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                        aclrtStream stream);

/* out = gelu(one half) · other half; approximate: 0 by erf, 1 by tanh; activateLeft: gelu of the
 * first half, else of the second. */
aclnnStatus aclnnGeGluV3GetWorkspaceSize(const aclTensor* self, int64_t dim, int64_t approximate,
                                         bool activateLeft, aclTensor* out, aclTensor* outGelu,
                                         uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnGeGluV3(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                         aclrtStream stream);

/* silu(one half) · other half of (x + integer bias) · weight scale · activation scale + floating
 * bias, quantised by rows as aclnnDynamicQuant does, all in FLOAT. x: INT32 sums, or FLOAT16 or
 * BF16 without scales. activateLeft: silu of the first half. quantModeOptional: "dynamic";
 * quantScaleOptional: smoothing factors. */
aclnnStatus aclnnDequantSwigluQuantGetWorkspaceSize(
    const aclTensor* x, const aclTensor* weightScaleOptional,
    const aclTensor* activationScaleOptional, const aclTensor* biasOptional,
    const aclTensor* quantScaleOptional, const aclTensor* quantOffsetOptional,
    const aclTensor* groupIndexOptional, bool activateLeft, char* quantModeOptional,
    const aclTensor* yOut, const aclTensor* scaleOut, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnDequantSwigluQuant(void* workspace, uint64_t workspaceSize,
                                    aclOpExecutor* executor, aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
