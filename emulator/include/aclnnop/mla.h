/* What comes before multi-head latent attention: queries, and keys and values into their cache. */
#ifndef LOTSE_EMULATOR_ACLNN_MLA_H
#define LOTSE_EMULATOR_ACLNN_MLA_H

#include "acl/acl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cq = norm(x · weightDq); [qc | qr] = cq · weightUqQr, by head; query = qc · weightUk of the head;
 * queryRope = rope(qr); [ckv | kr] = x · weightDkvKr; kvCache[cacheIndex] = norm(ckv),
 * krCache[cacheIndex] = rope(kr). rope: even elements of x become the first half, odd ones the
 * second, then y = x · cos + [-second half, first half] · sin.
 *
 * x is [t, h] or [b, s, h], BF16; the three matrices are FRACTAL_NZ, BF16. With weightUqQr of INT8,
 * cq times smoothScalesCq is quantised by row; then caches may be INT8 too, times their scales by
 * column. cacheMode: PA_BSND, or PA_NZ, where each block of a cache is FRACTAL_NZ. */
aclnnStatus aclnnMlaPrologGetWorkspaceSize(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef,
    const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional,
    const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional,
    const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional,
    const aclTensor* smoothScalesCqOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv,
    char* cacheModeOptional, const aclTensor* queryOut, const aclTensor* queryRopeOut,
    uint64_t* workspaceSize, aclOpExecutor** executor);
aclnnStatus aclnnMlaProlog(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor,
                           aclrtStream stream);

/* Also with x, and all three matrices, of INT8 and scales by row and by column. Then kvCache may be
 * INT8, and query INT8 with a scale of each token and head in dequantScaleQNope. */
aclnnStatus aclnnMlaPrologV2WeightNzGetWorkspaceSize(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef,
    const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional,
    const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional,
    const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional,
    const aclTensor* smoothScalesCqOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv,
    char* cacheModeOptional, const aclTensor* queryOut, const aclTensor* queryRopeOut,
    const aclTensor* dequantScaleQNopeOutOptional, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnMlaPrologV2WeightNz(void* workspace, uint64_t workspaceSize,
                                     aclOpExecutor* executor, aclrtStream stream);

/* weightQuantMode: 0 none, 1 weightUqQr, 2 all three. kvCacheQuantMode: 0 none, 1 one scale (with
 * weightQuantMode 2 and queryQuantMode 1), 2 by column (with weightQuantMode 1). cacheMode also
 * BSND and TND, without an index: a row for each token. queryNorm is cq as the second product takes
 * it. Not emulated: kvCacheQuantMode 3, caches in one tensor, PA_BLK modes, factors other than 1.
 */
aclnnStatus aclnnMlaPrologV3WeightNzGetWorkspaceSize(
    const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr,
    const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq,
    const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos,
    aclTensor* kvCacheRef, aclTensor* krCacheRef, const aclTensor* cacheIndexOptional,
    const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional,
    const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional,
    const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional,
    const aclTensor* smoothScalesCqOptional, const aclTensor* actualSeqLenOptional,
    const aclTensor* kNopeClipAlphaOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv,
    char* cacheModeOptional, int64_t weightQuantMode, int64_t kvCacheQuantMode,
    int64_t queryQuantMode, int64_t ckvkrRepoMode, int64_t quantScaleRepoMode, int64_t tileSize,
    double qcQrScale, double kcScale, const aclTensor* queryOut, const aclTensor* queryRopeOut,
    const aclTensor* dequantScaleQNopeOutOptional, const aclTensor* queryNormOutOptional,
    const aclTensor* dequantScaleQNormOutOptional, uint64_t* workspaceSize,
    aclOpExecutor** executor);
aclnnStatus aclnnMlaPrologV3WeightNz(void* workspace, uint64_t workspaceSize,
                                     aclOpExecutor* executor, aclrtStream stream);

#ifdef __cplusplus
}
#endif
#endif
