// HcclGetErrorString.
#include "hccl/hccl.h"
#include "runtime/api.h"

LOTSE_C_API const char* HcclGetErrorString(HcclResult code) {
  return code == 0 ? "no error" : "error; aclGetRecentErrMsg has the text";
}
