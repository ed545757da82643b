// Every element-wise kernel of every instruction set against <cmath> in double, over odd lengths.
#include <algorithm>
#include <limits>

#include "base/float_types.h"
#include "kernel_test.h"

namespace lotse::cpu {
namespace {

constexpr int64_t kLengths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 257};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class Elementwise : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Isa, Elementwise, testing::ValuesIn(instruction_sets()), isa_name);

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Writes one element more than asked, to see that a kernel does not touch it.
template <class Kernel>
std::vector<float> run_guarded(int64_t n, Kernel kernel) {
  std::vector<float> y(at(n) + 1, 123.0f);
  kernel(y.data());
  EXPECT_EQ(y.back(), 123.0f) << "wrote past the end of " << n;
  y.pop_back();
  return y;
}

TEST_P(Elementwise, ExpIsExactToTwoMillionths) {
  std::vector<float> x;
  for (float v = -87.0f; v < 88.5f; v += 0.0137f) x.push_back(v);
  const auto n = static_cast<int64_t>(x.size());
  const auto y = run_guarded(n, [&](float* out) { kernels().exp(x.data(), n, out); });
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_TRUE(near(y[i], std::exp(static_cast<double>(x[i])), 2e-6, 0)) << x[i];
  }
}

TEST_P(Elementwise, ExpAtTheEdges) {
  const std::vector<float> x = {
      0.0f,    -0.0f,    kInfinity, -kInfinity,
      1000.0f, -1000.0f, 88.73f,    std::numeric_limits<float>::quiet_NaN()};
  const auto y = run_guarded(8, [&](float* out) { kernels().exp(x.data(), 8, out); });
  EXPECT_EQ(y[0], 1.0f);
  EXPECT_EQ(y[1], 1.0f);
  EXPECT_EQ(y[2], kInfinity);
  EXPECT_LT(y[3], 1e-38f);
  EXPECT_EQ(y[4], kInfinity);
  EXPECT_LT(y[5], 1e-38f);
  EXPECT_EQ(y[6], kInfinity);
  EXPECT_TRUE(std::isnan(y[7]));
}

double reference_silu(double x) { return x / (1 + std::exp(-x)); }
double reference_gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
double reference_gelu_erf(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

TEST_P(Elementwise, GatedActivations) {
  struct Case {
    void (*kernel)(const float*, const float*, int64_t, float*);
    double (*reference)(double);
  };
  const Case cases[] = {{kernels().silu, reference_silu},
                        {kernels().gelu_tanh, reference_gelu_tanh},
                        {kernels().gelu_erf, reference_gelu_erf}};
  Random random(1);
  for (const Case& c : cases) {
    for (const int64_t n : kLengths) {
      const auto gate = random.normals(n, 3);
      const auto up = random.normals(n);
      const auto y = run_guarded(n, [&](float* out) { c.kernel(gate.data(), up.data(), n, out); });
      for (int64_t i = 0; i < n; ++i) {
        const double expected = c.reference(gate[at(i)]) * static_cast<double>(up[at(i)]);
        ASSERT_TRUE(near(y[at(i)], expected, 1e-5, 1e-7)) << gate[at(i)];
      }
    }
  }
}

TEST_P(Elementwise, GatedActivationsOfHugeValues) {
  const std::vector<float> gate = {1e30f, -1e30f, 200.0f, -200.0f, 0.0f, -0.0f};
  const std::vector<float> up(6, 1.0f);
  for (auto* kernel : {kernels().silu, kernels().gelu_tanh, kernels().gelu_erf}) {
    const auto y = run_guarded(6, [&](float* out) { kernel(gate.data(), up.data(), 6, out); });
    EXPECT_EQ(y[0], 1e30f);
    EXPECT_NEAR(y[1], 0, 1e-6);
    EXPECT_EQ(y[2], 200.0f);
    EXPECT_NEAR(y[3], 0, 1e-6);
    EXPECT_EQ(y[4], 0.0f);
    EXPECT_EQ(y[5], 0.0f);
  }
}

TEST_P(Elementwise, Softcap) {
  Random random(2);
  for (const int64_t n : kLengths) {
    const auto x = random.normals(n, 60);
    const auto y = run_guarded(n, [&](float* out) { kernels().softcap(x.data(), 30, n, out); });
    for (int64_t i = 0; i < n; ++i) {
      const double expected = 30 * std::tanh(static_cast<double>(x[at(i)]) / 30);
      ASSERT_TRUE(near(y[at(i)], expected, 2e-6, 0)) << x[at(i)];
    }
  }
  for (float x = -8; x < 8; x += 0.00391f) {
    float y = 0;
    kernels().softcap(&x, 1, 1, &y);
    ASSERT_TRUE(near(y, std::tanh(static_cast<double>(x)), 2e-6, 1e-30)) << x;
  }
}

TEST_P(Elementwise, Softmax) {
  Random random(3);
  for (const int64_t n : kLengths) {
    auto x = random.normals(n, 10);
    if (n > 2) x[1] = -kInfinity;
    for (float& v : x) v -= 1000;  // a kernel that forgets the maximum would divide 0 by 0
    const auto y = run_guarded(n, [&](float* out) { kernels().softmax(x.data(), n, out); });
    const double largest = *std::max_element(x.begin(), x.end());
    double total = 0;
    for (const float v : x) total += std::exp(static_cast<double>(v) - largest);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = std::exp(static_cast<double>(x[at(i)]) - largest) / total;
      ASSERT_TRUE(near(y[at(i)], expected, 5e-6, 1e-38));
    }
  }
}

TEST_P(Elementwise, RmsNorm) {
  Random random(4);
  for (const int64_t n : kLengths) {
    const auto x = random.normals(n, 20);
    const auto weight = random.normals(n);
    const auto y = run_guarded(
        n, [&](float* out) { kernels().rms_norm(x.data(), weight.data(), 1e-5f, n, out); });
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5f);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = x[at(i)] * factor * static_cast<double>(weight[at(i)]);
      ASSERT_TRUE(near(y[at(i)], expected, 1e-6, 0));
    }
  }
}

TEST_P(Elementwise, RmsNormOfZerosIsZero) {
  const std::vector<float> x(37, 0.0f);
  const std::vector<float> weight(37, 2.0f);
  const auto y = run_guarded(
      37, [&](float* out) { kernels().rms_norm(x.data(), weight.data(), 1e-6f, 37, out); });
  for (const float v : y) EXPECT_EQ(v, 0.0f);
}

TEST_P(Elementwise, LayerNorm) {
  Random random(14);
  for (const int64_t n : kLengths) {
    auto x = random.normals(n, 20);
    for (float& v : x) v += 50;  // the mean must go before squares are summed
    const auto weight = random.normals(n);
    const auto bias = random.normals(n);
    const auto y = run_guarded(n, [&](float* out) {
      kernels().layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, n, out);
    });
    double mean = 0;
    for (const float v : x) mean += static_cast<double>(v) / static_cast<double>(n);
    double variance = 0;
    for (const float v : x) {
      variance += std::pow(static_cast<double>(v) - mean, 2) / static_cast<double>(n);
    }
    for (int64_t i = 0; i < n; ++i) {
      const double normed = (static_cast<double>(x[at(i)]) - mean) / std::sqrt(variance + 1e-5);
      const double expected =
          normed * static_cast<double>(weight[at(i)]) + static_cast<double>(bias[at(i)]);
      // The mean is rounded to fp32, which is far from 0 here.
      ASSERT_TRUE(near(y[at(i)], expected, 1e-5, 1e-4)) << n;
    }
  }
}

TEST_P(Elementwise, RopeBothPairings) {
  Random random(5);
  for (const bool interleaved : {false, true}) {
    for (const int64_t pairs : {1, 2, 5, 8, 16, 20, 32, 64}) {
      const auto x = random.normals(2 * pairs);
      std::vector<float> cosines;
      std::vector<float> sines;
      for (int64_t i = 0; i < pairs; ++i) {
        const float angle = random.normal(10);
        cosines.push_back(std::cos(angle));
        sines.push_back(std::sin(angle));
      }
      const auto y = run_guarded(2 * pairs, [&](float* out) {
        std::copy(x.begin(), x.end(), out);
        kernels().rope(out, cosines.data(), sines.data(), pairs, interleaved);
      });
      for (int64_t i = 0; i < pairs; ++i) {
        const size_t a = at(interleaved ? 2 * i : i);
        const size_t b = at(interleaved ? 2 * i + 1 : i + pairs);
        const double c = cosines[at(i)];
        const double s = sines[at(i)];
        ASSERT_TRUE(near(y[a], x[a] * c - x[b] * s, 1e-6, 1e-6));
        ASSERT_TRUE(near(y[b], x[b] * c + x[a] * s, 1e-6, 1e-6));
      }
    }
  }
}

TEST_P(Elementwise, AddScaleAndScaleAdd) {
  Random random(6);
  for (const int64_t n : kLengths) {
    const auto a = random.normals(n);
    const auto b = random.normals(n);
    const auto sum = run_guarded(n, [&](float* out) { kernels().add(a.data(), b.data(), n, out); });
    const auto scaled = run_guarded(n, [&](float* out) { kernels().scale(a.data(), 3, n, out); });
    const auto added = run_guarded(n, [&](float* out) {
      std::copy(b.begin(), b.end(), out);
      kernels().scale_add(a.data(), 0.37f, n, out);
    });
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(sum[i], a[i] + b[i]);
      ASSERT_EQ(scaled[i], a[i] * 3);
      ASSERT_EQ(added[i], b[i] + a[i] * 0.37f);
    }
  }
}

bool same_or_both_nan(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST_P(Elementwise, WideningIsExactForEveryPattern) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> bf16(65536);
  std::vector<float> fp16(65536);
  kernels().bf16_to_f32(all.data(), 65536, bf16.data());
  kernels().f16_to_f32(all.data(), 65536, fp16.data());
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(same_or_both_nan(bf16[i], bf16_to_float(all[i]))) << i;
    ASSERT_TRUE(same_or_both_nan(fp16[i], fp16_to_float(all[i]))) << i;
  }
}

TEST_P(Elementwise, NarrowingRoundsToNearestEven) {
  Random random(7);
  std::vector<float> x = {
      0.0f,      -0.0f, 65504.0f,  65519.9f,   65520.0f,
      -65520.0f, 1e30f, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(),
      3.4e38f,   1e-40f};
  for (int i = 0; i < 20000; ++i) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(random.between(0, 0xffffffff))));
    x.push_back(fp16_to_float(static_cast<uint16_t>(random.between(0, 0x7bff))) *
                (1 + 0.5f / 1024));
    x.push_back(random.normal(1e-6f));
  }
  const auto n = static_cast<int64_t>(x.size());
  std::vector<uint16_t> bf16(x.size());
  std::vector<uint16_t> fp16(x.size());
  kernels().f32_to_bf16(x.data(), n, bf16.data());
  kernels().f32_to_f16(x.data(), n, fp16.data());
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(bf16_to_float(bf16[i])) && std::isnan(fp16_to_float(fp16[i])));
      continue;
    }
    ASSERT_EQ(bf16[i], float_to_bf16(x[i])) << x[i];
    ASSERT_EQ(fp16[i], float_to_fp16(x[i])) << x[i];
  }
}

TEST_P(Elementwise, NarrowingOddLengthsStaysInside) {
  for (const int64_t n : kLengths) {
    const std::vector<float> x(at(n), 1.5f);
    std::vector<uint16_t> y(at(n) + 1, 7);
    kernels().f32_to_bf16(x.data(), n, y.data());
    EXPECT_EQ(y.back(), 7);
    kernels().f32_to_f16(x.data(), n, y.data());
    EXPECT_EQ(y.back(), 7);
    const auto back = run_guarded(n, [&](float* out) { kernels().f16_to_f32(y.data(), n, out); });
    for (const float v : back) ASSERT_EQ(v, 1.5f);
  }
}

}  // namespace
}  // namespace lotse::cpu
