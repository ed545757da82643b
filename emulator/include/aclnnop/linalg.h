/* Linear algebra other than products. */
#ifndef LOTSE_EMULATOR_ACLNN_LINALG_H
#define LOTSE_EMULATOR_ACLNN_LINALG_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

aclnnStatus aclnnTriangularSolveGetWorkspaceSize(const aclTensor* self, const aclTensor* A,
                                                 bool upper, bool transpose, bool unitriangular,
                                                 aclTensor* xOut, aclTensor* mOut,
                                                 uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnTriangularSolve(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                                 aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
