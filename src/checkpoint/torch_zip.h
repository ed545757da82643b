// PyTorch's checkpoint files (.bin, .pt, .pth): a zip file with the pickle "data.pkl", which
// describes the tensors, and their storages as entries "data/KEY". Nothing is executed.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/tensor_table.h"

namespace lotse {

// `bytes` is a whole file, kept alive by `owner`; `origin` begins error messages. Contiguous
// tensors are views; others are gathered when they are read.
Result<std::vector<StoredTensor>> parse_torch_zip(std::span<const std::byte> bytes,
                                                  std::shared_ptr<const void> owner,
                                                  std::string_view origin);

}  // namespace lotse
