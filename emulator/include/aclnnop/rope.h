/* Rotary position embedding. */
#ifndef LOTSE_EMULATOR_ACLNN_ROPE_H
#define LOTSE_EMULATOR_ACLNN_ROPE_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = x · cos + rotated x · sin. mode: 0 half, 1 interleave, 2 quarter, 3 interleave-half. */
aclnnStatus aclnnRotaryPositionEmbeddingGetWorkspaceSize(const aclTensor* x, const aclTensor* cos,
                                                         const aclTensor* sin, int64_t mode,
                                                         const aclTensor* out,
                                                         uint64_t* workspaceSize,
                                                         aclOpExecutor** executor);
aclnnStatus aclnnRotaryPositionEmbedding(void* workspace, uint64_t workspaceSize,
                                         aclOpExecutor* executor, aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
