// The index of a sharded checkpoint: model.safetensors.index.json or pytorch_model.bin.index.json.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/tensor_table.h"

namespace lotse {

struct IndexedTensor {
  std::string name;
  std::string shard;  // a plain file name: no separator, not "." or ".."
};

// `weight_map` of an index, checked. `origin` begins error messages.
Result<std::vector<IndexedTensor>> parse_shard_index(std::string_view text,
                                                     std::string_view origin);

// Opens each shard once by `open_shard` and returns all tensors of all shards. A shard that does
// not exist, or lacks a tensor that the index places there, is an error.
Result<std::vector<StoredTensor>> open_shards(
    const std::filesystem::path& index,
    const std::function<Result<std::vector<StoredTensor>>(const std::filesystem::path&)>&
        open_shard);

}  // namespace lotse
