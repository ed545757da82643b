// What the versions of aclnnMlaProlog compute.
#pragma once

#include "ops/op.h"

namespace lotse::emulator {

// Tensors left out are not present. Every description has been checked.
struct MlaProlog {
  Tensor x, weight_dq, weight_uq_qr, weight_uk, weight_dkv_kr, gamma_cq, gamma_ckv, sin, cos;
  Tensor index, kv_cache, kr_cache;
  Tensor scale_x, scale_dq, scale_uq_qr, scale_dkv_kr;  // INT8 times these
  Tensor scale_ckv, scale_kr, smooth;                   // times these becomes INT8
  Tensor query, query_rope, query_scale, query_norm, query_norm_scale;
  float epsilon_cq = 0, epsilon_ckv = 0;
  bool fractal_cache = false;

  int64_t tokens() const { return x.count() / x.dims().back(); }
  int64_t heads() const { return weight_uk.size(0); }
  int64_t head_size() const { return weight_uk.size(1); }  // without its rotated part
  int64_t rope_size() const { return sin.dims().back(); }

  void run() const;
};

}  // namespace lotse::emulator
