// Sets of data types, for what a chip or an operator's argument supports.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "acl/acl.h"

namespace lotse::emulator {

class DtypeSet {
 public:
  constexpr DtypeSet() = default;
  constexpr DtypeSet(std::initializer_list<aclDataType> types) {
    for (const aclDataType type : types) bits_ |= bit(type);
  }
  constexpr bool contains(aclDataType type) const {
    const int number = type;
    return number >= 0 && number < 64 && (bits_ >> number & 1) != 0;
  }
  constexpr DtypeSet operator|(DtypeSet other) const { return DtypeSet(bits_ | other.bits_); }
  constexpr DtypeSet operator&(DtypeSet other) const { return DtypeSet(bits_ & other.bits_); }
  constexpr DtypeSet without(DtypeSet other) const { return DtypeSet(bits_ & ~other.bits_); }
  constexpr bool operator==(const DtypeSet&) const = default;

 private:
  constexpr explicit DtypeSet(uint64_t bits) : bits_(bits) {}
  static constexpr uint64_t bit(aclDataType type) { return uint64_t{1} << type; }
  uint64_t bits_ = 0;
};

}  // namespace lotse::emulator
