/* The emulated operators, a header a family. Each is two calls: aclnnXGetWorkspaceSize checks its
 * arguments and makes an executor; aclnnX runs it asynchronously on a stream. */
#ifndef LOTSE_EMULATOR_ACLNN_H
#define LOTSE_EMULATOR_ACLNN_H

#include "aclnnop/elementwise.h"
#include "aclnnop/gated.h"
#include "aclnnop/indexing.h"
#include "aclnnop/matmul.h"
#include "aclnnop/reduce.h"
#include "aclnnop/rms_norm.h"
#include "aclnnop/rope.h"
#include "aclnnop/softmax.h"

#endif
