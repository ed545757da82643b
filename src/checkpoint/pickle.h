// Reads the pickle of a PyTorch state dict without executing anything: a machine that knows the
// opcodes such a pickle needs and an allow-list of names, each with a fixed meaning. Format:
// CPython's pickletools.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace lotse {

// A tensor as the pickle describes it; nothing of it is checked against the storage yet. The views
// refer into the pickle.
struct PickledTensor {
  std::string_view name;
  std::string_view storage;  // the storage's key
  DType dtype = DType::f32;  // of the storage
  int64_t storage_elements = 0;
  int64_t offset = 0;  // in elements
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // as many as sizes
};

// The tensors of a dict (or of its "state_dict"). `origin` begins error messages. A name outside
// the allow-list, an opcode that builds other objects, or a budget overrun is an error.
Result<std::vector<PickledTensor>> read_pickled_state_dict(std::string_view pickle,
                                                           std::string_view origin);

}  // namespace lotse
