// A short list of sizes, strides or axes: at most kMaxRank, without allocation.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "runtime/api.h"

namespace lotse::emulator {

inline constexpr int64_t kMaxRank = 8;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> values) {
    for (const int64_t value : values) push_back(value);
  }
  explicit Dims(std::span<const int64_t> values) {
    for (const int64_t value : values) push_back(value);
  }
  // `rank` times `value`; the caller keeps rank within kMaxRank, as for every function here.
  static Dims filled(int64_t rank, int64_t value) {
    Dims dims;
    for (int64_t i = 0; i < rank; ++i) dims.push_back(value);
    return dims;
  }

  int64_t size() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t& operator[](int64_t i) { return values_[static_cast<size_t>(i)]; }
  int64_t operator[](int64_t i) const { return values_[static_cast<size_t>(i)]; }
  int64_t back() const { return (*this)[rank_ - 1]; }
  const int64_t* begin() const { return values_.data(); }
  const int64_t* end() const { return values_.data() + rank_; }

  void push_back(int64_t value) { values_[static_cast<size_t>(rank_++)] = value; }
  void insert(int64_t at, int64_t value) {
    for (int64_t i = rank_++; i > at; --i) (*this)[i] = (*this)[i - 1];
    (*this)[at] = value;
  }
  void erase(int64_t at) {
    --rank_;
    for (int64_t i = at; i < rank_; ++i) (*this)[i] = (*this)[i + 1];
  }
  bool operator==(const Dims& other) const { return std::ranges::equal(*this, other); }

  int64_t product() const {
    int64_t result = 1;
    for (const int64_t value : *this) result *= value;
    return result;
  }

 private:
  std::array<int64_t, kMaxRank> values_{};
  int64_t rank_ = 0;
};

// "[2, 3]"
LOTSE_EMULATOR_API std::string text_of(const Dims& dims);

// Strides of a row-major tensor.
LOTSE_EMULATOR_API Dims row_major(const Dims& dims);

}  // namespace lotse::emulator
