/* RMS norm, alone and after a sum. */
#ifndef LOTSE_EMULATOR_ACLNN_RMS_NORM_H
#define LOTSE_EMULATOR_ACLNN_RMS_NORM_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = x / sqrt(mean(x²) + epsilon) · gamma over the trailing dimensions that gamma has; rstd is
 * FLOAT, a number for each norm. */
aclnnStatus aclnnRmsNormGetWorkspaceSize(const aclTensor* x, const aclTensor* gamma, double epsilon,
                                         const aclTensor* yOut, const aclTensor* rstdOut,
                                         uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                         aclrtStream stream);

/* The same of xOut = x1 + x2, rounded to its type. */
aclnnStatus aclnnAddRmsNormGetWorkspaceSize(const aclTensor* x1, const aclTensor* x2,
                                            const aclTensor* gamma, double epsilon,
                                            const aclTensor* yOut, const aclTensor* rstdOut,
                                            const aclTensor* xOut, uint64_t* workspaceSize,
                                            aclOpExecutor** executor);
aclnnStatus aclnnAddRmsNorm(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                            aclrtStream stream);

/* The norm of xOut = x1 + x2, quantised by rows as aclnnDynamicQuant does, without a rounding in
 * between. y2Out and scale2Out are written where smoothScale2Optional is given. */
aclnnStatus aclnnAddRmsNormDynamicQuantGetWorkspaceSize(
    const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma,
    const aclTensor* smoothScale1Optional, const aclTensor* smoothScale2Optional, double epsilon,
    const aclTensor* y1Out, const aclTensor* y2Out, const aclTensor* xOut,
    const aclTensor* scale1Out, const aclTensor* scale2Out, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnAddRmsNormDynamicQuant(void* workspace, uint64_t workspaceSize,
                                        aclOpExecutor* executor, aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
