// aclnnRmsNorm, aclnnAddRmsNorm and aclnnAddRmsNormDynamicQuant.
#include "aclnnop/rms_norm.h"

#include <cmath>
#include <vector>

#include "ops/op.h"
#include "ops/parallel.h"
#include "ops/quant.h"
#include "ops/rows.h"

namespace lotse::emulator {
namespace {

constexpr DtypeSet kNormDtypes = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// Of `size` numbers together; returns what they were multiplied with besides `scales`.
float normalise(float* values, const float* scales, int64_t size, float epsilon) {
  const double mean = sum_of_squares(values, size) / static_cast<double>(size);
  const auto inverse = static_cast<float>(1 / std::sqrt(mean + static_cast<double>(epsilon)));
  for (int64_t i = 0; i < size; ++i) values[i] = values[i] * inverse * scales[i];
  return inverse;
}

// values[i] = first + second of a row, rounded as `sum` stores it.
void add_rows(const View& first, const View& second, const View& sum, int64_t row, float* values) {
  std::vector<float> added(static_cast<size_t>(sum.row_length()));
  first.load_row(row, values);
  second.load_row(row, added.data());
  for (size_t i = 0; i < added.size(); ++i) added[i] += values[i];
  sum.store_row(row, added.data());
  sum.load_row(row, values);
}

// One quantised result of a norm: times the smoothing factors where there are any.
struct Quantised {
  Tensor smooth, y, scale;
};

struct NormQuant {
  Tensor x1, x2, gamma, sum;
  Quantised first, second;
  float epsilon = 0;

  void run() const {
    const View a = x1.view(), b = x2.view(), out = sum.view();
    const int64_t rows = a.rows(), length = a.row_length();
    if (a.count() == 0) return;
    const std::vector<float> scales = read<float>(gamma.view());
    struct Job {
      View y;
      std::vector<float> smooth, scales;
      View scale;
    };
    std::vector<Job> jobs;
    for (const Quantised& q : {first, second}) {
      if (!q.y.present()) continue;
      jobs.push_back({q.y.view(),
                      q.smooth.present() ? read<float>(q.smooth.view()) : std::vector<float>(),
                      std::vector<float>(static_cast<size_t>(rows)), q.scale.view()});
    }
    parallel_for(rows, row_grain(length), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(length)), quantised(values.size());
      for (int64_t row = begin; row < end; ++row) {
        add_rows(a, b, out, row, values.data());
        normalise(values.data(), scales.data(), length, epsilon);
        for (Job& job : jobs) {
          quantised = values;
          for (size_t i = 0; i < job.smooth.size(); ++i) quantised[i] *= job.smooth[i];
          job.scales[static_cast<size_t>(row)] = quantise_symmetric(quantised.data(), length, 127);
          job.y.store_row(row, quantised.data());
        }
      }
    });
    for (const Job& job : jobs) write<float>(job.scale, job.scales);
  }
};

struct Norm {
  Tensor gamma, y, rstd;
  float epsilon = 0;
  int64_t count = 0;   // of norms
  int64_t rows = 0;    // of one norm
  int64_t length = 0;  // of a row

  // Normalises `values`, the sum of whose rows is norm `index`.
  void apply(int64_t index, float* values, const float* scales, const View& out,
             float& inverse) const {
    inverse = normalise(values, scales, rows * length, epsilon);
    for (int64_t r = 0; r < rows; ++r) out.store_row(index * rows + r, values + r * length);
  }
};

Norm norm_of(Op& op, const Tensor& x, const aclTensor* gamma, double epsilon, const aclTensor* yOut,
             const aclTensor* rstdOut) {
  Norm norm;
  norm.gamma = op.in("gamma", gamma, kNormDtypes);
  norm.y = op.out("yOut", yOut, kNormDtypes);
  norm.rstd = op.out("rstdOut", rstdOut, {ACL_FLOAT});
  norm.epsilon = static_cast<float>(epsilon);
  op.expect_rank(x, 1, kMaxRank);
  op.expect_rank(norm.gamma, 1, x.rank());
  op.require(norm.gamma.dtype() == x.dtype() || norm.gamma.dtype() == ACL_FLOAT,
             "{}, expected {} as x, or FLOAT", norm.gamma.text(), name_of(x.dtype()));
  const int64_t skipped = x.rank() - norm.gamma.rank();
  norm.count = 1;
  for (int64_t i = 0; i < skipped; ++i) norm.count *= x.size(i);
  for (int64_t i = skipped; i < x.rank(); ++i) {
    op.require(norm.gamma.size(i - skipped) == x.size(i),
               "{}, which is not the end of the shape of {} {}", norm.gamma.text(), x.argument(),
               x.desc().text());
  }
  norm.length = x.dims().back();
  norm.rows = norm.length == 0 ? 0 : norm.gamma.count() / norm.length;
  op.expect_dtype(norm.y, x.dtype());
  op.expect_shape(norm.y, x.dims());
  op.require(norm.rstd.count() == norm.count, "{}, expected {} elements, one a norm",
             norm.rstd.text(), norm.count);
  return norm;
}

// load(row, values) fills one row of x.
template <class Load>
void run(const Norm& norm, const Load& load) {
  if (norm.rows == 0 || norm.count == 0) return;
  const std::vector<float> scales = read<float>(norm.gamma.view());
  const View out = norm.y.view();
  std::vector<float> inverses(static_cast<size_t>(norm.count));
  const int64_t size = norm.rows * norm.length;
  parallel_for(norm.count, row_grain(size), [&](int64_t begin, int64_t end) {
    std::vector<float> values(static_cast<size_t>(size));
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t r = 0; r < norm.rows; ++r) {
        load(i * norm.rows + r, values.data() + r * norm.length);
      }
      norm.apply(i, values.data(), scales.data(), out, inverses[static_cast<size_t>(i)]);
    }
  });
  write<float>(norm.rstd.view(), inverses);
}

}  // namespace

// clang-format off
ACLNN(aclnnRmsNorm, const aclTensor* x, const aclTensor* gamma, double epsilon, const aclTensor* yOut, const aclTensor* rstdOut) {
  const Tensor input = op.in("x", x, kNormDtypes);
  const Norm norm = norm_of(op, input, gamma, epsilon, yOut, rstdOut);
  op.compute([=] {
    const View view = input.view();
    run(norm, [&](int64_t row, float* values) { view.load_row(row, values); });
  });
} ACLNN_END
ACLNN(aclnnAddRmsNorm, const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma, double epsilon, const aclTensor* yOut, const aclTensor* rstdOut, const aclTensor* xOut) {
  const Tensor a = op.in("x1", x1, kNormDtypes), b = op.in("x2", x2, kNormDtypes);
  const Norm norm = norm_of(op, a, gamma, epsilon, yOut, rstdOut);
  const Tensor sum = op.out("xOut", xOut, kNormDtypes);
  for (const Tensor& tensor : {b, sum}) {
    op.expect_dtype(tensor, a.dtype());
    op.expect_shape(tensor, a.dims());
  }
  op.compute([=] {
    const View first = a.view(), second = b.view(), out = sum.view();
    run(norm, [&](int64_t row, float* values) { add_rows(first, second, out, row, values); });
  });
} ACLNN_END
ACLNN(aclnnAddRmsNormDynamicQuant, const aclTensor* x1, const aclTensor* x2, const aclTensor* gamma, const aclTensor* smoothScale1Optional, const aclTensor* smoothScale2Optional, double epsilon, const aclTensor* y1Out, const aclTensor* y2Out, const aclTensor* xOut, const aclTensor* scale1Out, const aclTensor* scale2Out) {
  op.require(soc().dtypes.contains(ACL_BF16), "{} has no such operator", soc().name);
  NormQuant quant;
  quant.epsilon = static_cast<float>(epsilon);
  quant.x1 = op.in("x1", x1, kHalf);
  quant.x2 = op.in("x2", x2, kHalf);
  quant.gamma = op.in("gamma", gamma, kHalf);
  quant.sum = op.out("xOut", xOut, kHalf);
  op.expect_rank(quant.x1, 2, kMaxRank);
  const Dims dims = quant.x1.dims(), last = {dims.back()};
  op.expect_shape(quant.gamma, last);
  for (const Tensor& tensor : {quant.x2, quant.sum}) op.expect_shape(tensor, dims);
  for (const Tensor& tensor : {quant.x2, quant.gamma, quant.sum}) op.expect_dtype(tensor, quant.x1.dtype());
  op.require(smoothScale2Optional == nullptr || smoothScale1Optional != nullptr, "argument smoothScale2Optional: it needs smoothScale1Optional");
  const auto result = [&](const char* y_name, const aclTensor* y, const char* scale_name, const aclTensor* scale, const char* smooth_name, const aclTensor* smooth) {
    Quantised q{op.optional_in(smooth_name, smooth, kHalf), op.out(y_name, y, {ACL_INT8}), op.out(scale_name, scale, {ACL_FLOAT})};
    Dims rows = dims;
    rows.erase(rows.size() - 1);
    op.expect_shape(q.y, dims);
    op.expect_shape(q.scale, rows);
    if (!q.smooth.present()) return q;
    op.expect_dtype(q.smooth, quant.x1.dtype());
    op.expect_shape(q.smooth, last);
    return q;
  };
  quant.first = result("y1Out", y1Out, "scale1Out", scale1Out, "smoothScale1Optional", smoothScale1Optional);
  // Without its smoothing factors the second result is there, but means nothing.
  if (smoothScale2Optional != nullptr) {
    quant.second = result("y2Out", y2Out, "scale2Out", scale2Out, "smoothScale2Optional", smoothScale2Optional);
  } else {
    op.out("y2Out", y2Out, {ACL_INT8});
    op.out("scale2Out", scale2Out, {ACL_FLOAT});
  }
  op.cost().vector_ops = 8 * static_cast<double>(quant.x1.count());
  op.compute([quant] { quant.run(); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
