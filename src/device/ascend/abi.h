// The part of Ascend's C interface that this backend calls, declared here from its public
// documentation, so that the libraries are needed at run time only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lotse::ascend {

// Opaque objects of the libraries.
struct AclTensor;
struct AclTensorList;
struct AclScalar;
struct AclIntArray;
struct AclExecutor;
using AclStream = void*;
using AclEvent = void*;
using AclGraph = void*;
using AclTaskGroup = void*;

// Status of every function: 0 is success.
using AclStatus = int;

enum class AclType : int {
  f32 = 0,
  f16 = 1,
  i8 = 2,
  i32 = 3,
  u8 = 4,
  i64 = 9,
  boolean = 12,
  bf16 = 27,
  i4 = 29,
};

enum class AclFormat : int { nd = 2, fractal_nz = 29 };

enum class AclCopy : int { host_to_device = 1, device_to_host = 2, device_to_device = 3 };

// aclrtMalloc's policy: huge pages where there are any.
inline constexpr int kHugePagesFirst = 0;
// aclrtGetMemInfo's attribute: the device's main memory.
inline constexpr int kDeviceMemory = 1;
// A matmul's cubeMathType: compute in the inputs' own type, or lower FP32 to what the chip has.
inline constexpr int8_t kKeepType = 0;
inline constexpr int8_t kLowerF32 = 1;
// Codes that one acts on.
inline constexpr AclStatus kOutOfMemory = 207018;
inline constexpr AclStatus kAlreadyInitialised = 100002;

}  // namespace lotse::ascend
