// The special tokens around an encoded text: the section `post_processor` of tokenizer.json.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace lotse {

class JsonField;

struct Surroundings {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

// Reads what the section puts around a single text. Ids are checked to be non-negative only.
Result<Surroundings> read_post_processor(const JsonField& section);

}  // namespace lotse
