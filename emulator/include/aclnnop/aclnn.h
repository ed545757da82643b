/* The emulated operators, a header a family. Each is two calls: aclnnXGetWorkspaceSize checks its
 * arguments and makes an executor; aclnnX runs it asynchronously on a stream. */
#ifndef LOTSE_EMULATOR_ACLNN_H
#define LOTSE_EMULATOR_ACLNN_H

#include "aclnnop/attention.h"
#include "aclnnop/elementwise.h"
#include "aclnnop/fill.h"
#include "aclnnop/gated.h"
#include "aclnnop/indexing.h"
#include "aclnnop/linalg.h"
#include "aclnnop/matmul.h"
#include "aclnnop/mla.h"
#include "aclnnop/moe.h"
#include "aclnnop/moe_distribute.h"
#include "aclnnop/norm_layer.h"
#include "aclnnop/quant.h"
#include "aclnnop/quant_matmul.h"
#include "aclnnop/reduce.h"
#include "aclnnop/rms_norm.h"
#include "aclnnop/rope.h"
#include "aclnnop/scatter.h"
#include "aclnnop/shape.h"
#include "aclnnop/softmax.h"
#include "aclnnop/sort.h"
#include "aclnnop/window.h"

#endif
