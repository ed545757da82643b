// What comes before multi-head latent attention, against double.
#include "aclnnop/mla.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "aclnnop/matmul.h"
#include "support.h"

namespace emulator_test {
namespace {

using Matrix = std::vector<double>;

constexpr int64_t kHeads = 2, kLatent = 512, kRotated = 64, kBlocks = 3;
constexpr double kEpsilon = 1e-5;

size_t at(int64_t index) { return static_cast<size_t>(index); }

// A copy of a matrix in FRACTAL_NZ.
class Fractal {
 public:
  explicit Fractal(const Tensor& matrix) {
    const int64_t block = matrix.dtype() == ACL_INT8 ? 32 : 16;
    const int64_t rows = matrix.dims()[0], columns = matrix.dims()[1];
    const Shape storage = {(columns + block - 1) / block, (rows + 15) / 16, 16, block};
    const int64_t count = std::accumulate(storage.begin(), storage.end(), int64_t{1},
                                          [](int64_t a, int64_t b) { return a * b; });
    memory_ = std::make_unique<Memory>(at(count) * (block == 32 ? 1 : 2));
    tensor_ = aclCreateTensor(matrix.dims().data(), 2, matrix.dtype(), nullptr, 0,
                              ACL_FORMAT_FRACTAL_NZ, storage.data(), 4, memory_->get());
    EXPECT_EQ(run(aclnnNpuFormatCastGetWorkspaceSize, aclnnNpuFormatCast, matrix, tensor_), 0)
        << recent_error();
  }
  ~Fractal() { aclDestroyTensor(tensor_); }
  Fractal(const Fractal&) = delete;
  Fractal& operator=(const Fractal&) = delete;
  operator const aclTensor*() const { return tensor_; }  // NOLINT

 private:
  std::unique_ptr<Memory> memory_;
  aclTensor* tensor_ = nullptr;
};

struct Case {
  int version = 1;
  int64_t hidden = 7168, lora = 1536, head = 128;
  bool batched = false;
  int64_t weights = 0;  // quantised: 0 none, 1 the second, 2 all
  bool cache = false;   // quantised
  const char* mode = "PA_BSND";
  int64_t block = 16;
};

Tensor matrix(aclDataType dtype, Shape dims, uint32_t seed) {
  const bool whole = dtype == ACL_INT8;
  return Tensor::random(dtype, std::move(dims), seed, false, whole ? -127 : -0.05,
                        whole ? 127 : 0.05);
}

// The arguments of one call, and what they should give.
struct Prolog {
  explicit Prolog(const Case& wanted)
      : c(wanted),
        x(c.weights == 2 ? matrix(ACL_INT8, tokens({c.hidden}), 1)
                         : Tensor::random(ACL_BF16, tokens({c.hidden}), 1, false, -1, 1)),
        dq(matrix(first_type(), {c.hidden, c.lora}, 2)),
        uq_qr(matrix(second_type(), {c.lora, kHeads * (c.head + kRotated)}, 3)),
        uk(matrix(ACL_BF16, {kHeads, c.head, kLatent}, 4)),
        dkv_kr(matrix(first_type(), {c.hidden, kLatent + kRotated}, 5)) {}

  static int64_t count() { return 6; }
  Shape tokens(const Shape& last) const {
    Shape shape = c.batched ? Shape{2, 3} : Shape{6};
    shape.insert(shape.end(), last.begin(), last.end());
    return shape;
  }
  aclDataType first_type() const { return c.weights == 2 ? ACL_INT8 : ACL_BF16; }
  aclDataType second_type() const { return c.weights > 0 ? ACL_INT8 : ACL_BF16; }
  bool paged() const { return std::string(c.mode).starts_with("PA"); }
  Shape cache_shape(int64_t size) const {
    return paged() ? Shape{kBlocks, c.block, 1, size} : tokens({1, size});
  }
  aclDataType kr_type() const { return c.cache && c.weights == 1 ? ACL_INT8 : ACL_BF16; }

  int launch() {
    const Fractal nz_dq(dq), nz_uq_qr(uq_qr), nz_dkv_kr(dkv_kr);
    const aclTensor* const none = nullptr;
    const auto when = [&](bool used, const Tensor& tensor) {
      return used ? static_cast<const aclTensor*>(tensor) : none;
    };
    const bool all = c.weights == 2, second = c.weights > 0;
    const aclTensor *sx = when(all, scale_x), *sdq = when(all, scale_dq),
                    *suq = when(second, scale_uq_qr), *sdkv = when(all, scale_dkv_kr),
                    *sm = when(second, smooth);
    const aclTensor* skr = when(c.cache && !all, scale_kr);
    const aclTensor* sckv = when(c.cache, c.version == 3 && all ? one_scale : scale_ckv);
    char* mode = const_cast<char*>(c.mode);
    if (c.version == 1) {
      return run(aclnnMlaPrologGetWorkspaceSize, aclnnMlaProlog, x, nz_dq, nz_uq_qr, uk, nz_dkv_kr,
                 gamma_cq, gamma_ckv, sin, cos, index, kv, kr, sx, sdq, suq, sdkv, sckv, skr, sm,
                 kEpsilon, kEpsilon, mode, query, rope);
    }
    if (c.version == 2) {
      return run(aclnnMlaPrologV2WeightNzGetWorkspaceSize, aclnnMlaPrologV2WeightNz, x, nz_dq,
                 nz_uq_qr, uk, nz_dkv_kr, gamma_cq, gamma_ckv, sin, cos, index, kv, kr, sx, sdq,
                 suq, sdkv, sckv, skr, sm, kEpsilon, kEpsilon, mode, query, rope, query_scale);
    }
    const bool one = c.cache && all;
    return run(aclnnMlaPrologV3WeightNzGetWorkspaceSize, aclnnMlaPrologV3WeightNz, x, nz_dq,
               nz_uq_qr, uk, nz_dkv_kr, gamma_cq, gamma_ckv, sin, cos, kv, kr, when(paged(), index),
               sx, sdq, suq, sdkv, sckv, skr, sm, none, none, kEpsilon, kEpsilon, mode, c.weights,
               !c.cache ? 0
               : one    ? 1
                        : 2,
               one ? 1 : 0, 0, 0, 128, 1.0, 1.0, query, rope, query_scale, norm, norm_scale);
  }

  Case c;
  Tensor x, dq, uq_qr, uk, dkv_kr;
  Tensor gamma_cq = Tensor::random(ACL_BF16, {c.lora}, 6, false, 0.5, 1.5);
  Tensor gamma_ckv = Tensor::random(ACL_BF16, {kLatent}, 7, false, 0.5, 1.5);
  Tensor sin = Tensor::random(ACL_BF16, tokens({kRotated}), 8, false, -1, 1);
  Tensor cos = Tensor::random(ACL_BF16, tokens({kRotated}), 9, false, -1, 1);
  Tensor index = Tensor(ACL_INT64, tokens({}), {5, 0, 47, 16, 31, 20});
  Tensor scale_x = Tensor::random(ACL_FLOAT, {count(), 1}, 10, false, 0.005, 0.01);
  Tensor scale_dq = Tensor::random(ACL_FLOAT, {1, c.lora}, 11, false, 1e-4, 2e-4);
  Tensor scale_uq_qr =
      Tensor::random(ACL_FLOAT, {1, kHeads*(c.head + kRotated)}, 12, false, 1e-4, 2e-4);
  Tensor scale_dkv_kr = Tensor::random(ACL_FLOAT, {1, kLatent + kRotated}, 13, false, 1e-4, 2e-4);
  Tensor smooth = Tensor::random(ACL_FLOAT, {1, c.lora}, 14, false, 0.5, 2);
  Tensor scale_ckv = Tensor::random(ACL_FLOAT, {1, kLatent}, 15, false, 20, 40);
  Tensor scale_kr = Tensor::random(ACL_FLOAT, {1, kRotated}, 16, false, 20, 40);
  Tensor one_scale = Tensor(ACL_FLOAT, {1}, {30});
  Tensor kv = Tensor::random(c.cache ? ACL_INT8 : ACL_BF16, cache_shape(kLatent), 17);
  Tensor kr = Tensor::random(kr_type(), cache_shape(kRotated), 18);
  Tensor query =
      Tensor::output(c.cache && c.weights == 2 ? ACL_INT8 : ACL_BF16, tokens({kHeads, kLatent}));
  Tensor rope = Tensor::output(ACL_BF16, tokens({kHeads, kRotated}));
  Tensor query_scale = Tensor::output(ACL_FLOAT, {count(), kHeads, 1});
  Tensor norm = Tensor::output(second_type(), tokens({c.lora}));
  Tensor norm_scale = Tensor::output(ACL_FLOAT, {count(), 1});
};

// [rows, k] times [k, n], with a scale of each row and column.
Matrix product(const Matrix& a, int64_t rows, const Tensor& b, const Matrix& row_scales = {},
               const Matrix& column_scales = {}) {
  const int64_t k = b.dims()[0], n = b.dims()[1];
  Matrix result(at(rows * n));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < k; ++i) {
      const double factor = a[at(r * k + i)];
      for (int64_t j = 0; j < n; ++j) {
        result[at(r * n + j)] += factor * b.values()[at(i * n + j)];
      }
    }
    for (int64_t j = 0; j < n && !row_scales.empty(); ++j) {
      result[at(r * n + j)] *= row_scales[at(r)] * column_scales[at(j)];
    }
  }
  return result;
}

void normalise(double* row, const Matrix& gamma) {
  double sum = 0;
  for (size_t i = 0; i < gamma.size(); ++i) sum += row[i] * row[i];
  const double root = std::sqrt(sum / static_cast<double>(gamma.size()) + kEpsilon);
  for (size_t i = 0; i < gamma.size(); ++i) row[i] *= gamma[i] / root;
}

Matrix rotated(const double* row, const Tensor& cos, const Tensor& sin, int64_t token) {
  Matrix parted, turned, result;
  for (int64_t i = 0; i < kRotated; i += 2) {
    parted.push_back(row[i]);
    turned.push_back(-row[i + 1]);
  }
  for (int64_t i = 0; i < kRotated; i += 2) {
    parted.push_back(row[i + 1]);
    turned.push_back(row[i]);
  }
  for (int64_t i = 0; i < kRotated; ++i) {
    const size_t place = at(token * kRotated + i);
    result.push_back(parted[at(i)] * cos.values()[place] + turned[at(i)] * sin.values()[place]);
  }
  return result;
}

// Whole numbers within ±127 and the scale.
double quantise(double* row, int64_t size) {
  double most = 0;
  for (int64_t i = 0; i < size; ++i) most = std::max(most, std::abs(row[i]));
  for (int64_t i = 0; i < size; ++i) row[i] = std::nearbyint(row[i] * 127 / most);
  return most / 127;
}

// Within what BF16 between the steps makes: a share of the root mean square and of the value.
void expect_near(const Matrix& actual, const Matrix& expected, double least = 0) {
  ASSERT_EQ(actual.size(), expected.size());
  const double sum = std::inner_product(expected.begin(), expected.end(), expected.begin(), 0.0);
  const double rms = std::sqrt(sum / static_cast<double>(expected.size()));
  ASSERT_GT(rms, 0);
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 0.02 * rms + std::abs(expected[i]) / 128 + least) << i;
  }
}

// Where the column of a row stands in a cache.
size_t place_of(const Case& c, int64_t slot, int64_t column, int64_t size, bool bytes) {
  if (std::string(c.mode) != "PA_NZ") return at(slot * size + column);
  const int64_t width = bytes ? 32 : 16, block = slot / c.block, row = slot % c.block;
  return at(((block * (size / width) + column / width) * c.block + row) * width + column % width);
}

void check_caches(const Prolog& p, const Matrix& ckv_kr) {
  Matrix kv = p.kv.values(), kr = p.kr.values();
  double kv_step = 0, kr_step = 0;
  for (int64_t t = 0; t < Prolog::count(); ++t) {
    Matrix row(ckv_kr.begin() + t * (kLatent + kRotated),
               ckv_kr.begin() + (t + 1) * (kLatent + kRotated));
    normalise(row.data(), p.gamma_ckv.values());
    const Matrix turned = rotated(row.data() + kLatent, p.cos, p.sin, t);
    const auto slot = p.paged() ? static_cast<int64_t>(p.index.values()[at(t)]) : t;
    const auto quantised = [](double v, double factor) {
      return std::clamp(std::nearbyint(v * factor), -128.0, 127.0);
    };
    for (int64_t i = 0; i < kLatent; ++i) {
      double value = row[at(i)];
      const bool one = p.c.version == 3 && p.c.weights == 2;
      if (p.c.cache) value = quantised(value, one ? 30 : p.scale_ckv.values()[at(i)]);
      kv[place_of(p.c, slot, i, kLatent, p.c.cache)] = value;
    }
    for (int64_t i = 0; i < kRotated; ++i) {
      const bool narrow = p.kr.dtype() == ACL_INT8;
      const double value =
          narrow ? quantised(turned[at(i)], p.scale_kr.values()[at(i)]) : turned[at(i)];
      kr[place_of(p.c, slot, i, kRotated, narrow)] = value;
    }
  }
  if (p.c.cache) kv_step = 1;
  if (p.kr.dtype() == ACL_INT8) kr_step = 1;
  expect_near(p.kv.fetch(), kv, kv_step);
  expect_near(p.kr.fetch(), kr, kr_step);
}

void check_queries(const Prolog& p, const Matrix& parts) {
  const int64_t both = p.c.head + kRotated;
  Matrix query, rope;
  for (int64_t row = 0; row < Prolog::count() * kHeads; ++row) {
    const double* part = parts.data() + row * both;
    for (int64_t j = 0; j < kLatent; ++j) {
      double sum = 0;
      for (int64_t d = 0; d < p.c.head; ++d) sum += part[d] * p.uk.at({row % kHeads, d, j});
      query.push_back(sum);
    }
    const Matrix turned = rotated(part + p.c.head, p.cos, p.sin, row / kHeads);
    rope.insert(rope.end(), turned.begin(), turned.end());
  }
  expect_near(p.rope.fetch(), rope);
  Matrix found = p.query.fetch();
  if (p.query.dtype() != ACL_INT8) return expect_near(found, query);
  const Matrix scales = p.query_scale.fetch();
  double step = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    found[i] *= scales[i / at(kLatent)];
    step = std::max(step, scales[i / at(kLatent)]);
  }
  expect_near(found, query, step / 2);
}

void check(const Case& c) {
  SCOPED_TRACE(testing::Message() << "V" << c.version << " " << c.mode << " weights " << c.weights
                                  << " cache " << c.cache);
  Prolog p(c);
  ASSERT_EQ(p.launch(), 0) << recent_error();
  const int64_t count = Prolog::count();
  const Matrix none, rows = c.weights == 2 ? p.scale_x.values() : none;
  Matrix cq = product(p.x.values(), count, p.dq, rows, p.scale_dq.values());
  Matrix scales;
  for (int64_t t = 0; t < count; ++t) {
    double* row = cq.data() + t * c.lora;
    normalise(row, p.gamma_cq.values());
    if (c.weights == 0) continue;
    for (int64_t i = 0; i < c.lora; ++i) row[i] *= p.smooth.values()[at(i)];
    scales.push_back(quantise(row, c.lora));
  }
  if (c.version == 3) {
    expect_near(p.norm.fetch(), cq, c.weights > 0 ? 1 : 0);
    if (c.weights > 0) expect_near(p.norm_scale.fetch(), scales);
  }
  check_queries(p, product(cq, count, p.uq_qr, scales, p.scale_uq_qr.values()));
  check_caches(p, product(p.x.values(), count, p.dkv_kr, rows, p.scale_dkv_kr.values()));
}

class Mla : public DeviceTest {};

TEST_F(Mla, FirstVersion) {
  check({.version = 1});
  check({.version = 1, .batched = true, .weights = 1, .cache = true, .mode = "PA_NZ"});
}

TEST_F(Mla, SecondVersionAllInt8) {
  check({.version = 2, .weights = 2});
  check({.version = 2, .batched = true, .weights = 2, .cache = true, .mode = "PA_NZ"});
}

TEST_F(Mla, ThirdVersion) {
  for (const char* mode : {"PA_BSND", "PA_NZ", "TND"}) {
    for (const int64_t weights : {0, 1, 2}) {
      for (const bool cache : {false, true}) {
        if (cache && weights == 0) continue;
        check({.version = 3, .hidden = 1024, .weights = weights, .cache = cache, .mode = mode});
      }
    }
  }
  check({.version = 3, .hidden = 1024, .head = 192, .batched = true, .mode = "BSND"});
  check(
      {.version = 3, .hidden = 1024, .lora = 2048, .batched = true, .mode = "PA_NZ", .block = 48});
}

TEST_F(Mla, Refusals) {
  const auto refused = [](const Case& c, const std::string& text) {
    EXPECT_EQ(Prolog(c).launch(), 161002) << text;
    EXPECT_THAT(recent_error(), testing::HasSubstr(text));
  };
  refused({.version = 2, .hidden = 1024},
          "argument tokenX: got BF16 [6, 1024], expected dimension 1 to be one of 7168");
  refused({.version = 1, .weights = 2}, "argument tokenX: got INT8");
  refused({.version = 3, .hidden = 1024, .cache = true},
          "argument kvCacheQuantMode: got 2, but with weightQuantMode 0 0 is emulated");
  refused({.version = 3, .hidden = 1024, .mode = "PA_BLK_BSND"},
          "argument cacheMode: got PA_BLK_BSND");
  refused({.version = 3, .hidden = 1024, .block = 24}, "expected blocks of 16 to 1024");
  Prolog p({.version = 3, .hidden = 1024});
  const aclTensor* const none = nullptr;
  EXPECT_REFUSED(161002, "argument weightDq: got BF16 [1024, 1536], expected FRACTAL_NZ",
                 aclnnMlaPrologV3WeightNz, p.x, p.dq, p.uq_qr, p.uk, p.dkv_kr, p.gamma_cq,
                 p.gamma_ckv, p.sin, p.cos, p.kv, p.kr, p.index, none, none, none, none, none, none,
                 none, none, none, kEpsilon, kEpsilon, nullptr, 0, 0, 0, 0, 0, 128, 1.0, 1.0,
                 p.query, p.rope, none, none, none);
}

TEST_F(Mla, AnIndexBeyondTheCacheIsAFault) {
  Prolog p({.version = 3, .hidden = 1024});
  const Tensor far(ACL_INT64, {6}, {5, 0, 48, 16, 31, 20});
  aclrtStream stream = nullptr;
  ASSERT_EQ(aclrtCreateStream(&stream), 0);
  const Fractal dq(p.dq), uq_qr(p.uq_qr), dkv_kr(p.dkv_kr);
  const aclTensor* const none = nullptr;
  uint64_t size = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(
      aclnnMlaPrologV3WeightNzGetWorkspaceSize(
          p.x, dq, uq_qr, p.uk, dkv_kr, p.gamma_cq, p.gamma_ckv, p.sin, p.cos, p.kv, p.kr, far,
          none, none, none, none, none, none, none, none, none, kEpsilon, kEpsilon, nullptr, 0, 0,
          0, 0, 0, 128, 1.0, 1.0, p.query, p.rope, none, none, none, &size, &executor),
      0)
      << recent_error();
  ASSERT_EQ(aclnnMlaPrologV3WeightNz(nullptr, 0, executor, stream), 0);
  EXPECT_NE(aclrtSynchronizeStream(stream), 0);
  EXPECT_THAT(recent_error(), testing::HasSubstr("it holds 48, but the cache has 48 rows"));
  aclrtDestroyStream(stream);
}

}  // namespace
}  // namespace emulator_test
