// Operators that move, repeat or mask elements without changing them.
#include "aclnnop/shape.h"

#include <cmath>
#include <vector>

#include "ops/copy.h"
#include "ops/map_rows.h"

namespace lotse::emulator {
namespace {

// What aclnnCat takes.
constexpr DtypeSet kJoined = kFloating | kBool | kSignedInteger | DtypeSet{ACL_UINT8};

// self of any type, and out of the same.
struct Pair {
  Tensor x, y;
};
Pair pair_of(Op& op, const char* argument, const aclTensor* self, const aclTensor* out) {
  const Tensor x = op.in(argument, self, kAnyDtype);
  return {x, op.out("out", out, {x.dtype()})};
}

int64_t product(const Op& op, const char* argument, int64_t a, int64_t b) {
  int64_t result = 0;
  op.require(!__builtin_mul_overflow(a, b, &result), "argument {}: {} times {} is too much",
             argument, a, b);
  return result;
}

// Where x has size 1, it is broadcast; elsewhere it is copied tile by tile.
void repeat(const View& from, const View& to, int64_t dim) {
  if (dim == from.rank()) return copy_elements(from.broadcast_to(to.dims()), to);
  const int64_t size = from.size(dim);
  if (size == 1) return repeat(from, to, dim + 1);
  for (int64_t first = 0; first < to.size(dim); first += size) {
    repeat(from, to.slice(dim, first, size), dim + 1);
  }
}

// Every element `repeats` times along `dim`; the shorter loop of the two is outside.
void repeat_interleaved(const View& from, const View& to, int64_t dim, int64_t repeats) {
  const int64_t size = from.size(dim);
  if (repeats < size) {
    for (int64_t r = 0; r < repeats; ++r) copy_elements(from, to.slice(dim, r, size, repeats));
    return;
  }
  for (int64_t i = 0; i < size; ++i) {
    const View target = to.slice(dim, i * repeats, repeats);
    copy_elements(from.slice(dim, i, 1).broadcast_to(target.dims()), target);
  }
}

struct Shift {
  int64_t dim;
  int64_t by;  // in [0, size)
};

void roll(const View& from, const View& to, std::span<const Shift> shifts) {
  if (shifts.empty()) return copy_elements(from, to);
  const auto [dim, by] = shifts.front();
  const int64_t rest = from.size(dim) - by;
  roll(from.slice(dim, 0, rest), to.slice(dim, by, rest), shifts.subspan(1));
  if (by == 0) return;
  roll(from.slice(dim, rest, by), to.slice(dim, 0, by), shifts.subspan(1));
}

// As one dimension.
void roll_flat(const View& from, const View& to, int64_t by) {
  in_type(arithmetic_of({from.dtype()}), [&](auto zero) {
    std::vector values = read<decltype(zero)>(from);
    std::ranges::rotate(values, values.end() - by);
    write<decltype(zero)>(to, values);
  });
}

int64_t wrapped(int64_t shift, int64_t size) {
  return size == 0 ? 0 : (shift % size + size) % size;
}

enum class Triangle { lower, upper };

// Zero outside of the triangle whose edge is the `diagonal`-th above the main one.
void triangle(Op& op, const Tensor& x, const Tensor& y, int64_t diagonal, Triangle kept) {
  op.expect_rank(x, 2, kMaxRank);
  op.expect_shape(y, x.dims());
  const int64_t rows = x.size(x.rank() - 2), columns = x.dims().back();
  const int64_t edge = std::clamp(diagonal, -rows - 1, columns + 1);
  op.compute([=] {
    in_type(arithmetic_of({x.dtype()}), [&](auto zero) {
      map_rows<decltype(zero)>(x.view(), y.view(), [&](int64_t row, auto from, auto to) {
        for (int64_t column = 0; column < columns; ++column) {
          const int64_t above = column - row % rows;
          const bool keeps = kept == Triangle::upper ? above >= edge : above <= edge;
          to[static_cast<size_t>(column)] = keeps ? from[static_cast<size_t>(column)] : zero;
        }
      });
    });
  });
}

// The source of each output position along one dimension, in FP32 as frameworks compute it.
std::vector<int64_t> nearest(int64_t size, int64_t out_size) {
  const float scale = static_cast<float>(size) / static_cast<float>(out_size);
  std::vector<int64_t> sources;
  for (int64_t i = 0; i < out_size; ++i) {
    const auto source = static_cast<int64_t>(std::floor(static_cast<float>(i) * scale));
    sources.push_back(std::min(source, size - 1));
  }
  return sources;
}

// to[…, i] = from[…, sources[i]]
void pick_columns(const View& from, const View& to, const std::vector<int64_t>& sources) {
  in_type(arithmetic_of({from.dtype()}), [&](auto zero) {
    map_rows<decltype(zero)>(from, to, [&](int64_t, auto in, auto out) {
      for (size_t i = 0; i < out.size(); ++i) out[i] = in[static_cast<size_t>(sources[i])];
    });
  });
}

struct Padding {
  int64_t front, back;  // negative ones crop
};

// Pairs from the last dimension on, as the operator takes them; here in the order of dimensions.
std::vector<Padding> paddings(Op& op, const char* argument, const aclIntArray* pad,
                              const Tensor& x) {
  const std::vector<int64_t> numbers = op.ints(argument, pad);
  op.require(numbers.size() % 2 == 0 && std::ssize(numbers) <= 2 * x.rank(),
             "argument {}: got {} numbers, expected pairs for at most the {} dimensions of {}",
             argument, numbers.size(), x.rank(), x.desc().text());
  std::vector<Padding> result(static_cast<size_t>(x.rank()));
  for (size_t i = 0; i < numbers.size(); ++i) {
    constexpr int64_t kMost = int64_t{1} << 40;
    op.require(std::abs(numbers[i]) < kMost, "argument {}: {} is too much", argument, numbers[i]);
    Padding& padding = result[result.size() - 1 - i / 2];
    (i % 2 == 0 ? padding.front : padding.back) = numbers[i];
  }
  return result;
}

void pad(View from, const View& to, const ScalarValue& value, std::span<const Padding> paddings) {
  fill_elements(to, value);
  View inside = to;
  for (int64_t i = 0; i < from.rank(); ++i) {
    const auto [front, back] = paddings[static_cast<size_t>(i)];
    const int64_t first = std::max<int64_t>(-front, 0);
    const int64_t size = from.size(i) - first - std::max<int64_t>(-back, 0);
    if (size <= 0) return;
    from = from.slice(i, first, size);
    inside = inside.slice(i, std::max<int64_t>(front, 0), size);
  }
  copy_elements(from, inside);
}

}  // namespace

// clang-format off
ACLNN(aclnnPermute, const aclTensor* self, const aclIntArray* dims, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  const auto named = op.ints("dims", dims);
  op.require(std::ssize(named) == x.rank(), "argument dims: got {} numbers, but self is {}",
             named.size(), x.desc().text());
  Dims order, permuted;
  std::vector<bool> seen(named.size());
  for (const int64_t number : named) {
    const int64_t dim = op.dim("dims", number, x);
    op.require(!seen[static_cast<size_t>(dim)], "argument dims: {} is named twice", number);
    seen[static_cast<size_t>(dim)] = true;
    order.push_back(dim);
    permuted.push_back(x.size(dim));
  }
  op.expect_shape(y, permuted);
  op.compute([=] { copy_elements(x.view().permuted(order), y.view()); });
} ACLNN_END

ACLNN(aclnnCat, const aclTensorList* tensors, int64_t dim, aclTensor* out) {
  std::vector<Tensor> parts = op.in_list("tensors", tensors, kJoined);
  const Tensor y = op.out("out", out, kJoined);
  std::erase_if(parts, [](const Tensor& part) { return part.dims() == Dims{0}; });
  const int64_t along = op.dim("dim", dim, y);
  op.expect_rank(y, 1, kMaxRank);
  Dims joined = y.dims();
  joined[along] = 0;
  for (const Tensor& part : parts) {
    expect_castable(op, part.dtype(), y);
    Dims rest = part.dims();
    op.require(rest.size() == y.rank(), "{}, but out is {}", part.text(), y.desc().text());
    joined[along] += rest[along];
    rest[along] = y.size(along);
    op.require(rest == y.dims(), "{}, which differs from out {} in other dimensions than {}",
               part.text(), y.desc().text(), along);
  }
  op.expect_shape(y, joined);
  op.compute([=] {
    int64_t first = 0;
    for (const Tensor& part : parts) {
      copy_elements(part.view(), y.view().slice(along, first, part.size(along)));
      first += part.size(along);
    }
  });
} ACLNN_END

ACLNN(aclnnSlice, const aclTensor* self, int64_t dim, int64_t start, int64_t end, int64_t step, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  op.expect_rank(x, 1, kMaxRank);
  const int64_t along = op.dim("dim", dim, x), size = x.size(along);
  op.require(step > 0, "argument step: got {}, expected a positive number", step);
  const auto bound = [size](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size); };
  const int64_t first = bound(start), length = std::max<int64_t>(bound(end) - first, 0);
  Dims sliced = x.dims();
  sliced[along] = length == 0 ? 0 : (length - 1) / step + 1;
  op.expect_shape(y, sliced);
  op.compute([=] { copy_elements(x.view().slice(along, first, sliced[along], step), y.view()); });
} ACLNN_END

ACLNN(aclnnRepeat, const aclTensor* self, const aclIntArray* repeats, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  const auto times = op.ints("repeats", repeats);
  op.require(std::ssize(times) >= x.rank() && std::ssize(times) <= kMaxRank,
             "argument repeats: got {} numbers, expected {} to {} for self {}", times.size(),
             x.rank(), kMaxRank, x.desc().text());
  Dims repeated = x.dims();
  while (repeated.size() < std::ssize(times)) repeated.insert(0, 1);
  for (int64_t i = 0; i < repeated.size(); ++i) {
    const int64_t count = times[static_cast<size_t>(i)];
    op.require(count >= 0, "argument repeats: {} is negative", count);
    repeated[i] = product(op, "repeats", repeated[i], count);
  }
  op.expect_shape(y, repeated);
  op.compute([=] {
    if (y.count() == 0) return;
    View from = x.view();
    while (from.rank() < y.rank()) from = from.unsqueezed(0);
    repeat(from, y.view(), 0);
  });
} ACLNN_END

ACLNN(aclnnRepeatInterleaveIntWithDim, const aclTensor* self, int64_t repeats, int64_t dim, int64_t outputSize, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  op.expect_rank(x, 1, kMaxRank);
  const int64_t along = op.dim("dim", dim, x);
  op.require(repeats >= 0, "argument repeats: got {}, expected 0 or more", repeats);
  Dims repeated = x.dims();
  repeated[along] = product(op, "repeats", repeated[along], repeats);
  op.require(outputSize == repeated[along], "argument outputSize: got {}, expected {}", outputSize,
             repeated[along]);
  op.expect_shape(y, repeated);
  op.compute([=] {
    if (y.count() > 0) repeat_interleaved(x.view(), y.view(), along, repeats);
  });
} ACLNN_END

ACLNN(aclnnRoll, const aclTensor* x, const aclIntArray* shifts, const aclIntArray* dims, aclTensor* out) {
  const auto [from, to] = pair_of(op, "x", x, out);
  const auto by = op.ints("shifts", shifts), along = op.ints("dims", dims);
  op.expect_shape(to, from.dims());
  op.require(along.empty() ? by.size() == 1 : by.size() == along.size(),
             "arguments shifts and dims: got {} and {} numbers, expected equally many, or one shift without dims",
             by.size(), along.size());
  if (along.empty() || from.rank() == 0) {
    const int64_t shift = wrapped(by[0], from.count());
    return op.compute([=, source = from, target = to] { roll_flat(source.view(), target.view(), shift); });
  }
  std::vector<Shift> moves;
  for (size_t i = 0; i < by.size(); ++i) {
    const int64_t dim = op.dim("dims", along[i], from);
    moves.push_back({dim, wrapped(by[i], from.size(dim))});
  }
  // A dimension named twice moves twice: the shifts add up.
  for (size_t i = 0; i < moves.size(); ++i) {
    for (size_t j = moves.size() - 1; j > i; --j) {
      if (moves[j].dim != moves[i].dim) continue;
      moves[i].by = wrapped(moves[i].by + moves[j].by, from.size(moves[i].dim));
      moves.erase(moves.begin() + static_cast<std::ptrdiff_t>(j));
    }
  }
  op.compute([=, source = from, target = to] {
    if (target.count() > 0) roll(source.view(), target.view(), moves);
  });
} ACLNN_END

ACLNN(aclnnTril, const aclTensor* self, int64_t diagonal, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  triangle(op, x, y, diagonal, Triangle::lower);
} ACLNN_END
ACLNN(aclnnTriu, const aclTensor* self, int64_t diagonal, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  triangle(op, x, y, diagonal, Triangle::upper);
} ACLNN_END
ACLNN(aclnnInplaceTriu, aclTensor* selfRef, int64_t diagonal) {
  const Tensor x = op.in_out("selfRef", selfRef, kAnyDtype);
  triangle(op, x, x, diagonal, Triangle::upper);
} ACLNN_END

ACLNN(aclnnUpsampleNearest2d, const aclTensor* self, const aclIntArray* outputSize, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  op.expect_rank(x, 4, 4);
  const auto size = op.ints("outputSize", outputSize);
  op.require(size.size() == 2, "argument outputSize: got {} numbers, expected 2", size.size());
  op.expect_shape(y, {x.size(0), x.size(1), size[0], size[1]});
  op.require(y.count() == 0 || x.count() > 0, "{}, which has no elements to repeat", x.text());
  op.compute([=] {
    if (y.count() == 0) return;
    const auto rows = nearest(x.size(2), y.size(2)), columns = nearest(x.size(3), y.size(3));
    for (int64_t row = 0; row < y.size(2); ++row) {
      pick_columns(x.view().slice(2, rows[static_cast<size_t>(row)], 1), y.view().slice(2, row, 1), columns);
    }
  });
} ACLNN_END

ACLNN(aclnnConstantPadNd, const aclTensor* self, const aclIntArray* pad, const aclScalar* value, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  const ScalarValue filler = op.scalar("value", value);
  const auto around = paddings(op, "pad", pad, x);
  Dims padded = x.dims();
  for (int64_t i = 0; i < x.rank(); ++i) {
    padded[i] += around[static_cast<size_t>(i)].front + around[static_cast<size_t>(i)].back;
    op.require(padded[i] >= 0, "argument pad: it takes more from dimension {} than {} has", i, x.desc().text());
  }
  op.expect_shape(y, padded);
  op.compute([=, from = x, to = y] { lotse::emulator::pad(from.view(), to.view(), filler, around); });
} ACLNN_END

ACLNN(aclnnReflectionPad1d, const aclTensor* self, const aclIntArray* padding, aclTensor* out) {
  const auto [x, y] = pair_of(op, "self", self, out);
  op.expect_rank(x, 2, 3);
  const auto around = op.ints("padding", padding);
  op.require(around.size() == 2, "argument padding: got {} numbers, expected 2", around.size());
  const int64_t size = x.dims().back();
  for (const int64_t number : around) {
    op.require(number >= 0 && number < size, "argument padding: got {}, expected 0 to less than the {} columns of {}",
               number, size, x.desc().text());
  }
  Dims padded = x.dims();
  padded[x.rank() - 1] += around[0] + around[1];
  op.expect_shape(y, padded);
  std::vector<int64_t> sources;
  for (int64_t i = -around[0]; i < size + around[1]; ++i) {
    sources.push_back(i < 0 ? -i : i < size ? i : 2 * (size - 1) - i);
  }
  op.compute([=] { pick_columns(x.view(), y.view(), sources); });
} ACLNN_END
// clang-format on

}  // namespace lotse::emulator
