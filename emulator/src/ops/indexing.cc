// Selection by index: aclnnIndexSelect, aclnnGatherV2, aclnnEmbedding, aclnnInplaceIndexCopy.
#include "aclnnop/indexing.h"

#include <vector>

#include "ops/copy.h"
#include "ops/op.h"
#include "ops/parallel.h"

namespace lotse::emulator {
namespace {

std::vector<int64_t> indices_within(const Tensor& index, const Tensor& of, int64_t dim) {
  std::vector<int64_t> indices = read<int64_t>(index.view());
  for (const int64_t i : indices) {
    if (i >= 0 && i < of.size(dim)) continue;
    fail(kVectorFault, "argument {}: it holds {}, but dimension {} of {} {} has {} elements",
         index.argument(), i, dim, of.argument(), of.desc().text(), of.size(dim));
  }
  return indices;
}

// A view with dimension `dim` first.
View moved_first(const View& view, int64_t dim) {
  View moved = view;
  for (int64_t i = dim; i > 0; --i) moved = moved.transposed(i, i - 1);
  return moved;
}

// [before…, index…, after…] = [before…, dim, after…] at the indices.
void gather(Op& op, const Tensor& self, int64_t dim, const Tensor& index, const Tensor& out) {
  Dims dims;
  op.require(self.rank() - 1 + index.rank() <= kMaxRank, "{}, which gives more than {} dimensions",
             index.text(), kMaxRank);
  for (int64_t i = 0; i < dim; ++i) dims.push_back(self.size(i));
  for (const int64_t size : index.dims()) dims.push_back(size);
  for (int64_t i = dim + 1; i < self.rank(); ++i) dims.push_back(self.size(i));
  op.expect_shape(out, dims);
  op.expect_dtype(out, self.dtype());
  const auto bytes = static_cast<double>(bytes_of(out.dtype(), out.count()));
  op.cost().bytes = 2 * bytes + static_cast<double>(bytes_of(index.dtype(), index.count()));
  op.cost().vector_ops = static_cast<double>(out.count());
  op.compute([=] {
    const auto indices = indices_within(index, self, dim);
    const View from = moved_first(self.view(), dim);
    View to = out.view();
    for (int64_t i = 0; i < index.rank(); ++i) to = moved_first(to, dim + index.rank() - 1);
    const Dims positions = row_major(index.dims());
    const int64_t grain = 1 + 16384 / (from.count() / std::max<int64_t>(from.size(0), 1) + 1);
    parallel_for(std::ssize(indices), grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        View target = to;
        for (int64_t d = 0; d < index.rank(); ++d) {
          target = target.select(0, i / positions[d] % index.size(d));
        }
        copy_elements(from.select(0, indices[static_cast<size_t>(i)]), target);
      }
    });
  });
}

}  // namespace

// clang-format off
ACLNN(aclnnIndexSelect, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool), at = op.in("index", index, kIndex);
  op.expect_rank(x, 1, kMaxRank);
  op.expect_rank(at, 1, 1);
  gather(op, x, op.dim("dim", dim, x), at, op.out("out", out, kNumeric | kBool));
} ACLNN_END
ACLNN(aclnnGatherV2, const aclTensor* self, int64_t dim, const aclTensor* index, aclTensor* out) {
  const Tensor x = op.in("self", self, kNumeric | kBool), at = op.in("index", index, kIndex);
  op.expect_rank(x, 1, kMaxRank);
  gather(op, x, op.dim("dim", dim, x), at, op.out("out", out, kNumeric | kBool));
} ACLNN_END
ACLNN(aclnnEmbedding, const aclTensor* weight, const aclTensor* indices, const aclTensor* out) {
  const Tensor x = op.in("weight", weight, kNumeric | kBool), at = op.in("indices", indices, kIndex);
  op.expect_rank(x, 2, 2);
  gather(op, x, 0, at, op.out("out", out, kNumeric | kBool));
} ACLNN_END
ACLNN(aclnnInplaceIndexCopy, aclTensor* selfRef, int64_t dim, const aclTensor* index, const aclTensor* source) {
  const Tensor x = op.in_out("selfRef", selfRef, kNumeric | kBool), from = op.in("source", source, kNumeric | kBool);
  const Tensor at = op.in("index", index, kIndex);
  op.expect_rank(x, 1, kMaxRank);
  op.expect_rank(at, 1, 1);
  const int64_t along = op.dim("dim", dim, x);
  Dims dims = x.dims();
  dims[along] = at.size(0);
  op.expect_shape(from, dims);
  op.expect_dtype(from, x.dtype());
  op.cost().bytes = 2 * static_cast<double>(bytes_of(from.dtype(), from.count()));
  op.cost().vector_ops = static_cast<double>(from.count());
  op.compute([=] {
    const auto indices = indices_within(at, x, along);
    const View to = x.view(), values = from.view();
    for (int64_t i = 0; i < std::ssize(indices); ++i) {
      copy_elements(values.select(along, i), to.select(along, indices[static_cast<size_t>(i)]));
    }
  });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
