/* Mixtures of experts over several devices: tokens to the ranks of their experts, and back. */
#ifndef LOTSE_EMULATOR_ACLNN_MOE_DISTRIBUTE_H
#define LOTSE_EMULATOR_ACLNN_MOE_DISTRIBUTE_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* groupEp is the name of a communicator (HcclGetCommName) of epWorldSize ranks, of which the first
 * sharedExpertRankNum hold shared experts, a copy of one each, and the others moeExpertNum experts,
 * as many each. Every token's row goes to the ranks of its experts and to a copy of each shared
 * one. A rank's rows stand by expert, then by sending rank, then in that rank's order. quantMode 2:
 * rows times the expert's row of scales, where given, become INT8 with a scale each.
 * expertTokenNums: sums so far (expertTokenNumsType 0) or counts (1). epRecvCounts: rows so far, by
 * expert and sending rank. What expandIdx holds is for the combination alone. */
aclnnStatus aclnnMoeDistributeDispatchGetWorkspaceSize(
    const aclTensor* x, const aclTensor* expertIds, const aclTensor* scalesOptional,
    const aclTensor* xActiveMaskOptional, const aclTensor* expertScalesOptional,
    const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum,
    const char* groupTp, int64_t tpWorldSize, int64_t tpRankId, int64_t expertShardType,
    int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t quantMode, int64_t globalBs,
    int64_t expertTokenNumsType, const aclTensor* expandXOut, const aclTensor* dynamicScalesOut,
    const aclTensor* expandIdxOut, const aclTensor* expertTokenNumsOut,
    const aclTensor* epRecvCountsOut, const aclTensor* tpRecvCountsOut,
    const aclTensor* expandScalesOut, uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnMoeDistributeDispatch(void* workspace, uint64_t workspaceSize,
                                       aclOpExecutor* executor, aclrtStream stream);

aclnnStatus aclnnMoeDistributeDispatchV2GetWorkspaceSize(
    const aclTensor* x, const aclTensor* expertIds, const aclTensor* scalesOptional,
    const aclTensor* xActiveMaskOptional, const aclTensor* expertScalesOptional,
    const char* groupEp, int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum,
    const char* groupTp, int64_t tpWorldSize, int64_t tpRankId, int64_t expertShardType,
    int64_t sharedExpertNum, int64_t sharedExpertRankNum, int64_t quantMode, int64_t globalBs,
    int64_t expertTokenNumsType, const char* commAlg, const aclTensor* expandXOut,
    const aclTensor* dynamicScalesOut, const aclTensor* assistInfoForCombineOut,
    const aclTensor* expertTokenNumsOut, const aclTensor* epRecvCountsOut,
    const aclTensor* tpRecvCountsOut, const aclTensor* expandScalesOut, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnMoeDistributeDispatchV2(void* workspace, uint64_t workspaceSize,
                                         aclOpExecutor* executor, aclrtStream stream);

/* x[t] = Σ over j of expertScales[t, j] · row of (t, j) + rows of the shared experts
 * + sharedExpertX[t]. epSendCounts is the dispatch's epRecvCounts. */
aclnnStatus aclnnMoeDistributeCombineGetWorkspaceSize(
    const aclTensor* expandX, const aclTensor* expertIds, const aclTensor* expandIdx,
    const aclTensor* epSendCounts, const aclTensor* expertScales,
    const aclTensor* tpSendCountsOptional, const aclTensor* xActiveMaskOptional,
    const aclTensor* activationScaleOptional, const aclTensor* weightScaleOptional,
    const aclTensor* groupListOptional, const aclTensor* expandScalesOptional, const char* groupEp,
    int64_t epWorldSize, int64_t epRankId, int64_t moeExpertNum, const char* groupTp,
    int64_t tpWorldSize, int64_t tpRankId, int64_t expertShardType, int64_t sharedExpertNum,
    int64_t sharedExpertRankNum, int64_t globalBs, int64_t outDtype, int64_t commQuantMode,
    int64_t groupListType, const aclTensor* xOut, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnMoeDistributeCombine(void* workspace, uint64_t workspaceSize,
                                      aclOpExecutor* executor, aclrtStream stream);

aclnnStatus aclnnMoeDistributeCombineV2GetWorkspaceSize(
    const aclTensor* expandX, const aclTensor* expertIds, const aclTensor* assistInfoForCombine,
    const aclTensor* epSendCounts, const aclTensor* expertScales,
    const aclTensor* tpSendCountsOptional, const aclTensor* xActiveMaskOptional,
    const aclTensor* activationScaleOptional, const aclTensor* weightScaleOptional,
    const aclTensor* groupListOptional, const aclTensor* expandScalesOptional,
    const aclTensor* sharedExpertXOptional, const char* groupEp, int64_t epWorldSize,
    int64_t epRankId, int64_t moeExpertNum, const char* groupTp, int64_t tpWorldSize,
    int64_t tpRankId, int64_t expertShardType, int64_t sharedExpertNum, int64_t sharedExpertRankNum,
    int64_t globalBs, int64_t outDtype, int64_t commQuantMode, int64_t groupListType,
    const char* commAlg, const aclTensor* xOut, uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnMoeDistributeCombineV2(void* workspace, uint64_t workspaceSize,
                                        aclOpExecutor* executor, aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
