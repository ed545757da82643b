// Detection on x86-64: a feature counts only if the operating system saves its registers (XGETBV).
#include <cpuid.h>

#include "device/cpu/isa.h"

namespace lotse::cpu {
namespace {

struct Feature {
  const char* name;
  unsigned leaf;
  unsigned subleaf;
  int reg;  // 0 eax … 3 edx
  int bit;
};

constexpr Feature kAvx2Features[] = {
    {"AVX", 1, 0, 2, 28}, {"FMA", 1, 0, 2, 12}, {"F16C", 1, 0, 2, 29}, {"AVX2", 7, 0, 1, 5}};
constexpr Feature kAvx512Features[] = {{"AVX512F", 7, 0, 1, 16},    {"AVX512DQ", 7, 0, 1, 17},
                                       {"AVX512BW", 7, 0, 1, 30},   {"AVX512VL", 7, 0, 1, 31},
                                       {"AVX512VNNI", 7, 0, 2, 11}, {"AVX512BF16", 7, 1, 0, 5}};

// Bits of XCR0: SSE and AVX state; opmask and both halves of the ZMM state.
constexpr uint64_t kYmmState = 0x6;
constexpr uint64_t kZmmState = 0xe6;

bool has(const Feature& feature) {
  unsigned regs[4] = {};
  if (__get_cpuid_count(feature.leaf, feature.subleaf, &regs[0], &regs[1], &regs[2], &regs[3]) == 0)
    return false;
  return (regs[feature.reg] >> feature.bit & 1u) != 0;
}

uint64_t saved_state() {
  constexpr Feature kOsxsave = {"OSXSAVE", 1, 0, 2, 27};
  if (!has(kOsxsave)) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

template <size_t N>
std::string missing(const Feature (&features)[N], uint64_t state) {
  std::string names;
  for (const Feature& feature : features) {
    if (!has(feature)) names += (names.empty() ? "" : ", ") + std::string(feature.name);
  }
  if ((saved_state() & state) != state) {
    names += (names.empty() ? "" : ", ") + std::string("vector registers saved by the system");
  }
  return names;
}

}  // namespace

std::vector<InstructionSet> instruction_sets() {
  const std::string avx2 = missing(kAvx2Features, kYmmState);
  const std::string avx512 = missing(kAvx512Features, kZmmState);
  return {{&kAvx512Kernels, avx2.empty() ? avx512 : avx2},
          {&kAvx2Kernels, avx2},
          {&kGenericKernels, ""}};
}

}  // namespace lotse::cpu
