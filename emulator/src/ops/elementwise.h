// Elementwise operators: the function of one element, computed in float (from narrower floats, with
// one rounding at the end), double or int64_t as the arguments' types ask.
#pragma once

#include <array>

#include "ops/op.h"
#include "ops/parallel.h"

namespace lotse::emulator {

enum class Arithmetic { float32, float64, int64 };

// What to compute in, given the types of arguments and result.
inline Arithmetic arithmetic_of(std::initializer_list<aclDataType> types) {
  bool floating = false, wide = false;
  for (const aclDataType type : types) {
    floating = floating || is_floating(type);
    wide = wide || type == ACL_DOUBLE;
  }
  if (wide) return Arithmetic::float64;
  return floating ? Arithmetic::float32 : Arithmetic::int64;
}

// Applies f(x…) to every element; `inputs` were broadcast to the dims of `out`.
template <class T, size_t kInputs, class F>
void map_elements(const std::array<View, kInputs>& inputs, const View& out, const F& f) {
  constexpr int64_t kPieces = 16;  // that are worth a thread
  if (out.count() == 0) return;
  std::array<View, kInputs + 1> views;
  std::ranges::copy(inputs, views.begin());
  views[kInputs] = out;
  const Pieces pieces(views);
  parallel_for(pieces.count(), kPieces, [&](int64_t begin, int64_t end) {
    T buffer[kInputs][Pieces::kPiece];
    for (int64_t p = begin; p < end; ++p) {
      const auto piece = pieces.at(p);
      for (size_t i = 0; i < kInputs; ++i) {
        inputs[i].load(piece.index[i], pieces.stride(static_cast<int64_t>(i)), piece.size,
                       buffer[i]);
      }
      for (int64_t e = 0; e < piece.size; ++e) {
        [&]<size_t... I>(std::index_sequence<I...>) {
          buffer[0][e] = static_cast<T>(f(buffer[I][e]...));
        }(std::make_index_sequence<kInputs>());
      }
      out.store(piece.index[kInputs], pieces.stride(kInputs), piece.size, buffer[0]);
    }
  });
}

// With integers too (kIntegers), or floats only: then `arithmetic` int64 computes in float.
template <bool kIntegers, size_t kInputs, class F>
void map_elements(Arithmetic arithmetic, const std::array<View, kInputs>& inputs, const View& out,
                  const F& f) {
  if (arithmetic == Arithmetic::float64) return map_elements<double>(inputs, out, f);
  if constexpr (kIntegers) {
    if (arithmetic == Arithmetic::int64) return map_elements<int64_t>(inputs, out, f);
  }
  map_elements<float>(inputs, out, f);
}

// out = f(self), of self's shape. `integers`: f also takes int64_t.
template <bool kIntegers, class F>
void elementwise(Op& op, const Tensor& self, const Tensor& out, F f, Arithmetic arithmetic) {
  op.expect_shape(out, self.dims());
  op.compute([=] { map_elements<kIntegers>(arithmetic, std::array{self.view()}, out.view(), f); });
}

// out = f(self, other), broadcast.
template <bool kIntegers, class F>
void elementwise(Op& op, const Tensor& self, const Tensor& other, const Tensor& out, F f,
                 Arithmetic arithmetic) {
  const Dims dims = op.broadcast(self, other);
  op.expect_shape(out, dims);
  op.compute([=] {
    const std::array inputs = {self.view().broadcast_to(dims), other.view().broadcast_to(dims)};
    map_elements<kIntegers>(arithmetic, inputs, out.view(), f);
  });
}

// A result of floats cannot go into a tensor of integers.
inline void expect_castable(const Op& op, aclDataType from, const Tensor& out) {
  op.require(!is_floating(from) || is_floating(out.dtype()),
             "{}, but the result is {}, which needs a floating type", out.text(), name_of(from));
}

}  // namespace lotse::emulator
