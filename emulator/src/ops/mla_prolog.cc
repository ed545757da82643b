// aclnnMlaProlog, aclnnMlaPrologV2WeightNz and aclnnMlaPrologV3WeightNz: what they take.
#include "ops/mla_prolog.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "aclnnop/mla.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kBf16 = {ACL_BF16};
constexpr DtypeSet kBf16OrInt8 = {ACL_BF16, ACL_INT8};

// Sizes that a version is documented to take.
struct Sizes {
  std::vector<int64_t> hidden, lora, head;
  int64_t least_block, most_block;  // positions of a cache block
};
const Sizes kFirstSizes = {{7168}, {1536}, {128}, 16, 128};
const Sizes kThirdSizes = {
    {1024, 2048, 3072, 4096, 5120, 6144, 7168, 7680, 8192}, {1536, 2048}, {128, 192}, 16, 1024};
constexpr int64_t kLatent = 512, kRotated = 64;
const std::vector<int64_t> kHeads = {1, 2, 4, 8, 16, 32, 64, 128};

void expect_size(const Op& op, const Tensor& tensor, int64_t dim,
                 const std::vector<int64_t>& sizes) {
  op.require(std::ranges::find(sizes, tensor.size(dim)) != sizes.end(),
             "{}, expected dimension {} to be one of {}", tensor.text(), dim,
             fmt::join(sizes, ", "));
}

// FRACTAL_NZ of [rows, columns].
Tensor weight(Op& op, const char* argument, const aclTensor* tensor, DtypeSet types) {
  const Tensor result = op.in(argument, tensor, types, Layout::any);
  op.expect_rank(result, 2, 2);
  op.require(result.desc().is_fractal(), "{}, expected FRACTAL_NZ", result.text());
  return result;
}

// A scale that a mode of quantisation needs, or that it must not have.
Tensor scale(Op& op, const char* argument, const aclTensor* tensor, bool needed, const Dims& dims) {
  op.require(needed || tensor == nullptr, "argument {}: nothing here is quantised by it", argument);
  if (!needed) return {};
  const Tensor result = op.in(argument, tensor, {ACL_FLOAT});
  op.expect_shape(result, dims);
  return result;
}

struct PrologArguments {
  const aclTensor *x, *weight_dq, *weight_uq_qr, *weight_uk, *weight_dkv_kr, *gamma_cq, *gamma_ckv,
      *sin, *cos, *index, *kv_cache, *kr_cache, *scale_x, *scale_dq, *scale_uq_qr, *scale_dkv_kr,
      *scale_ckv, *scale_kr, *smooth;
  double epsilon_cq, epsilon_ckv;
  const char* cache_mode;
  const aclTensor *query, *query_rope, *query_scale;
};

enum WeightQuant : int64_t { kNone = 0, kSecond = 1, kAll = 2 };
enum CacheQuant : int64_t { kPlainCache = 0, kOneScale = 1, kByColumn = 2 };

void describe_weights(Op& op, MlaProlog& p, const PrologArguments& a, const Sizes& sizes) {
  p.x = op.in("tokenX", a.x, kBf16OrInt8);
  op.expect_rank(p.x, 2, 3);
  expect_size(op, p.x, p.x.rank() - 1, sizes.hidden);
  const int64_t hidden = p.x.dims().back();
  p.weight_dq = weight(op, "weightDq", a.weight_dq, {p.x.dtype()});
  expect_size(op, p.weight_dq, 1, sizes.lora);
  op.expect_shape(p.weight_dq, {hidden, p.weight_dq.size(1)});
  p.weight_uk = op.in("weightUk", a.weight_uk, kBf16);
  op.expect_rank(p.weight_uk, 3, 3);
  expect_size(op, p.weight_uk, 0, kHeads);
  expect_size(op, p.weight_uk, 1, sizes.head);
  expect_size(op, p.weight_uk, 2, {kLatent});
  const bool all = p.x.dtype() == ACL_INT8;
  p.weight_uq_qr = weight(op, "weightUqQr", a.weight_uq_qr, all ? DtypeSet{ACL_INT8} : kBf16OrInt8);
  op.expect_shape(p.weight_uq_qr,
                  {p.weight_dq.size(1), p.weight_uk.size(0) * (p.weight_uk.size(1) + kRotated)});
  p.weight_dkv_kr = weight(op, "weightDkvKr", a.weight_dkv_kr, {p.x.dtype()});
  op.expect_shape(p.weight_dkv_kr, {hidden, kLatent + kRotated});
  p.gamma_cq = op.in("rmsnormGammaCq", a.gamma_cq, kBf16);
  op.expect_shape(p.gamma_cq, {p.weight_dq.size(1)});
  p.gamma_ckv = op.in("rmsnormGammaCkv", a.gamma_ckv, kBf16);
  op.expect_shape(p.gamma_ckv, {kLatent});
}

// x's dimensions with others in place of the last one.
Dims like(const Tensor& x, std::initializer_list<int64_t> last) {
  Dims dims = x.dims();
  dims.erase(dims.size() - 1);
  for (const int64_t size : last) dims.push_back(size);
  return dims;
}

void describe_caches(Op& op, MlaProlog& p, const PrologArguments& a, const Sizes& sizes) {
  const std::string_view mode = a.cache_mode == nullptr ? "PA_BSND" : a.cache_mode;
  const bool paged = mode == "PA_BSND" || mode == "PA_NZ";
  op.require(paged || (sizes.head.size() > 1 && (mode == "BSND" || mode == "TND")),
             "argument cacheMode: got {}, expected PA_BSND or PA_NZ{}", mode,
             sizes.head.size() > 1 ? ", BSND or TND" : "");
  p.fractal_cache = mode == "PA_NZ";
  p.kv_cache = op.in_out("kvCacheRef", a.kv_cache, kBf16OrInt8);
  p.kr_cache = op.in_out("krCacheRef", a.kr_cache, kBf16OrInt8);
  if (!paged) {
    op.require(a.index == nullptr, "argument cacheIndex: {} takes none", mode);
    op.require((mode == "TND") == (p.x.rank() == 2), "argument cacheMode: got {}, but {}", mode,
               p.x.text());
    op.expect_shape(p.kv_cache, like(p.x, {1, kLatent}));
    op.expect_shape(p.kr_cache, like(p.x, {1, kRotated}));
    return;
  }
  p.index = op.in("cacheIndex", a.index, {ACL_INT64});
  op.expect_shape(p.index, like(p.x, {}));
  op.expect_rank(p.kv_cache, 4, 4);
  const int64_t blocks = p.kv_cache.size(0), block = p.kv_cache.size(1);
  op.require(block >= sizes.least_block && block <= sizes.most_block && block % 16 == 0 &&
                 (sizes.most_block > 128 || block == 16 || block == 128),
             "{}, expected blocks of {} positions", p.kv_cache.text(),
             sizes.most_block > 128 ? "16 to 1024, in multiples of 16," : "16 or 128");
  op.expect_shape(p.kv_cache, {blocks, block, 1, kLatent});
  op.expect_shape(p.kr_cache, {blocks, block, 1, kRotated});
}

// Which scales there must be, by the types of x, the second weight and the caches.
void describe_scales(Op& op, MlaProlog& p, const PrologArguments& a, const Dims& one_scale) {
  const bool all = p.x.dtype() == ACL_INT8, second = p.weight_uq_qr.dtype() == ACL_INT8;
  const bool cached = p.kv_cache.dtype() == ACL_INT8;
  op.require(!cached || second, "{}, which goes with weightUqQr of INT8", p.kv_cache.text());
  op.expect_dtype(p.kr_cache, cached && !all ? ACL_INT8 : ACL_BF16);
  p.scale_x = scale(op, "dequantScaleX", a.scale_x, all, {p.tokens(), 1});
  p.scale_dq = scale(op, "dequantScaleWDq", a.scale_dq, all, {1, p.weight_dq.size(1)});
  p.scale_uq_qr =
      scale(op, "dequantScaleWUqQr", a.scale_uq_qr, second, {1, p.weight_uq_qr.size(1)});
  p.scale_dkv_kr =
      scale(op, "dequantScaleWDkvKr", a.scale_dkv_kr, all, {1, p.weight_dkv_kr.size(1)});
  p.scale_ckv = scale(op, "quantScaleCkv", a.scale_ckv, cached, all ? one_scale : Dims{1, kLatent});
  p.scale_kr = scale(op, "quantScaleCkr", a.scale_kr, cached && !all, {1, kRotated});
  p.smooth = scale(op, "smoothScalesCq", a.smooth, second && a.smooth != nullptr,
                   {1, p.weight_dq.size(1)});
}

void describe_queries(Op& op, MlaProlog& p, const PrologArguments& a) {
  const int64_t heads = p.heads();
  const bool quantised = p.x.dtype() == ACL_INT8 && p.kv_cache.dtype() == ACL_INT8;
  p.query = op.out("queryOut", a.query, {quantised ? ACL_INT8 : ACL_BF16});
  op.expect_shape(p.query, like(p.x, {heads, kLatent}));
  p.query_rope = op.out("queryRopeOut", a.query_rope, kBf16);
  op.expect_shape(p.query_rope, like(p.x, {heads, kRotated}));
  if (!quantised) return;
  p.query_scale = op.out("dequantScaleQNopeOut", a.query_scale, {ACL_FLOAT});
  op.expect_shape(p.query_scale, {p.tokens(), heads, 1});
}

double count(const Tensor& tensor) { return static_cast<double>(tensor.count()); }

MlaProlog describe(Op& op, const PrologArguments& a, const Sizes& sizes, const Dims& one_scale) {
  op.require(!soc().is_310p(), "{} does not have this operator", soc().name);
  MlaProlog p;
  describe_weights(op, p, a, sizes);
  p.sin = op.in("ropeSin", a.sin, kBf16);
  op.expect_shape(p.sin, like(p.x, {kRotated}));
  p.cos = op.in("ropeCos", a.cos, kBf16);
  op.expect_shape(p.cos, p.sin.dims());
  describe_caches(op, p, a, sizes);
  describe_scales(op, p, a, one_scale);
  describe_queries(op, p, a);
  p.epsilon_cq = static_cast<float>(a.epsilon_cq);
  p.epsilon_ckv = static_cast<float>(a.epsilon_ckv);
  op.cost().cube_ops =
      2 * static_cast<double>(p.tokens()) *
      (count(p.weight_dq) + count(p.weight_uq_qr) + count(p.weight_uk) + count(p.weight_dkv_kr));
  op.cost().cube_rate = p.x.dtype() == ACL_INT8 ? CubeRate::i8 : CubeRate::f16;
  // A row of each cache for a token, not all of them.
  op.cost().bytes = 0;
  for (const Tensor& tensor :
       {p.x, p.weight_dq, p.weight_uq_qr, p.weight_uk, p.weight_dkv_kr, p.query, p.query_rope}) {
    op.cost().bytes += static_cast<double>(bytes_of(tensor.dtype(), tensor.count()));
  }
  op.cost().vector_ops = 8 * static_cast<double>(p.tokens()) *
                         static_cast<double>(p.weight_dq.size(1) + p.weight_dkv_kr.size(1));
  op.cost().launch = Launch::matmul;
  return p;
}

}  // namespace

// clang-format off
ACLNN(aclnnMlaProlog, const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr, const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq, const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos, const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef, const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional, const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional, const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional, const aclTensor* smoothScalesCqOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv, char* cacheModeOptional, const aclTensor* queryOut, const aclTensor* queryRopeOut) {
  // clang-format on
  op.in("tokenX", tokenX, kBf16);
  const MlaProlog p = describe(op,
                               {tokenX,
                                weightDq,
                                weightUqQr,
                                weightUk,
                                weightDkvKr,
                                rmsnormGammaCq,
                                rmsnormGammaCkv,
                                ropeSin,
                                ropeCos,
                                cacheIndex,
                                kvCacheRef,
                                krCacheRef,
                                dequantScaleXOptional,
                                dequantScaleWDqOptional,
                                dequantScaleWUqQrOptional,
                                dequantScaleWDkvKrOptional,
                                quantScaleCkvOptional,
                                quantScaleCkrOptional,
                                smoothScalesCqOptional,
                                rmsnormEpsilonCq,
                                rmsnormEpsilonCkv,
                                cacheModeOptional,
                                queryOut,
                                queryRopeOut,
                                nullptr},
                               kFirstSizes, {1, kLatent});
  op.compute([p] { p.run(); });
}
ACLNN_END

// clang-format off
ACLNN(aclnnMlaPrologV2WeightNz, const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr, const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq, const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos, const aclTensor* cacheIndex, aclTensor* kvCacheRef, aclTensor* krCacheRef, const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional, const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional, const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional, const aclTensor* smoothScalesCqOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv, char* cacheModeOptional, const aclTensor* queryOut, const aclTensor* queryRopeOut, const aclTensor* dequantScaleQNopeOutOptional) {
  // clang-format on
  const MlaProlog p = describe(op,
                               {tokenX,
                                weightDq,
                                weightUqQr,
                                weightUk,
                                weightDkvKr,
                                rmsnormGammaCq,
                                rmsnormGammaCkv,
                                ropeSin,
                                ropeCos,
                                cacheIndex,
                                kvCacheRef,
                                krCacheRef,
                                dequantScaleXOptional,
                                dequantScaleWDqOptional,
                                dequantScaleWUqQrOptional,
                                dequantScaleWDkvKrOptional,
                                quantScaleCkvOptional,
                                quantScaleCkrOptional,
                                smoothScalesCqOptional,
                                rmsnormEpsilonCq,
                                rmsnormEpsilonCkv,
                                cacheModeOptional,
                                queryOut,
                                queryRopeOut,
                                dequantScaleQNopeOutOptional},
                               kFirstSizes, {1, kLatent});
  op.compute([p] { p.run(); });
}
ACLNN_END

// clang-format off
ACLNN(aclnnMlaPrologV3WeightNz, const aclTensor* tokenX, const aclTensor* weightDq, const aclTensor* weightUqQr, const aclTensor* weightUk, const aclTensor* weightDkvKr, const aclTensor* rmsnormGammaCq, const aclTensor* rmsnormGammaCkv, const aclTensor* ropeSin, const aclTensor* ropeCos, aclTensor* kvCacheRef, aclTensor* krCacheRef, const aclTensor* cacheIndexOptional, const aclTensor* dequantScaleXOptional, const aclTensor* dequantScaleWDqOptional, const aclTensor* dequantScaleWUqQrOptional, const aclTensor* dequantScaleWDkvKrOptional, const aclTensor* quantScaleCkvOptional, const aclTensor* quantScaleCkrOptional, const aclTensor* smoothScalesCqOptional, const aclTensor* actualSeqLenOptional, const aclTensor* kNopeClipAlphaOptional, double rmsnormEpsilonCq, double rmsnormEpsilonCkv, char* cacheModeOptional, int64_t weightQuantMode, int64_t kvCacheQuantMode, int64_t queryQuantMode, int64_t ckvkrRepoMode, int64_t quantScaleRepoMode, int64_t tileSize, double qcQrScale, double kcScale, const aclTensor* queryOut, const aclTensor* queryRopeOut, const aclTensor* dequantScaleQNopeOutOptional, const aclTensor* queryNormOutOptional, const aclTensor* dequantScaleQNormOutOptional) {
  // clang-format on
  static_cast<void>(tileSize);              // of kvCacheQuantMode 3
  static_cast<void>(actualSeqLenOptional);  // of the PA_BLK cache modes
  op.require(weightQuantMode >= kNone && weightQuantMode <= kAll,
             "argument weightQuantMode: got {}; 0 (none), 1 (weightUqQr) and 2 (INT8) are emulated",
             weightQuantMode);
  const CacheQuant quantised = weightQuantMode == kAll ? kOneScale : kByColumn;
  op.require(
      kvCacheQuantMode == kPlainCache ||
          (weightQuantMode != kNone && kvCacheQuantMode == quantised),
      "argument kvCacheQuantMode: got {}, but with weightQuantMode {} 0{} emulated",
      kvCacheQuantMode, weightQuantMode,
      weightQuantMode == kNone ? " is" : fmt::format(" and {} are", static_cast<int>(quantised)));
  op.require(queryQuantMode == (kvCacheQuantMode == kOneScale ? 1 : 0),
             "argument queryQuantMode: got {}, expected {}", queryQuantMode,
             kvCacheQuantMode == kOneScale ? 1 : 0);
  op.require(ckvkrRepoMode == 0 && quantScaleRepoMode == 0,
             "arguments ckvkrRepoMode and quantScaleRepoMode: got {} and {}; 0 is emulated",
             ckvkrRepoMode, quantScaleRepoMode);
  op.require(kNopeClipAlphaOptional == nullptr,
             "argument kNopeClipAlpha: it goes with kvCacheQuantMode 3, which is not emulated");
  op.require(qcQrScale == 1 && kcScale == 1,
             "arguments qcQrScale and kcScale: got {} and {}; 1 is emulated", qcQrScale, kcScale);
  MlaProlog p = describe(op,
                         {tokenX,
                          weightDq,
                          weightUqQr,
                          weightUk,
                          weightDkvKr,
                          rmsnormGammaCq,
                          rmsnormGammaCkv,
                          ropeSin,
                          ropeCos,
                          cacheIndexOptional,
                          kvCacheRef,
                          krCacheRef,
                          dequantScaleXOptional,
                          dequantScaleWDqOptional,
                          dequantScaleWUqQrOptional,
                          dequantScaleWDkvKrOptional,
                          quantScaleCkvOptional,
                          quantScaleCkrOptional,
                          smoothScalesCqOptional,
                          rmsnormEpsilonCq,
                          rmsnormEpsilonCkv,
                          cacheModeOptional,
                          queryOut,
                          queryRopeOut,
                          dequantScaleQNopeOutOptional},
                         kThirdSizes, {1});
  op.expect_dtype(p.x, weightQuantMode == kAll ? ACL_INT8 : ACL_BF16);
  op.expect_dtype(p.weight_uq_qr, weightQuantMode == kNone ? ACL_BF16 : ACL_INT8);
  op.expect_dtype(p.kv_cache, kvCacheQuantMode == kPlainCache ? ACL_BF16 : ACL_INT8);
  if (queryNormOutOptional != nullptr) {
    p.query_norm = op.out("queryNormOut", queryNormOutOptional, {p.weight_uq_qr.dtype()});
    op.expect_shape(p.query_norm, like(p.x, {p.weight_dq.size(1)}));
    if (weightQuantMode != kNone) {
      p.query_norm_scale =
          op.out("dequantScaleQNormOut", dequantScaleQNormOutOptional, {ACL_FLOAT});
      op.expect_shape(p.query_norm_scale, {p.tokens(), 1});
    }
  }
  op.compute([p] { p.run(); });
}
ACLNN_END

}  // namespace lotse::emulator
