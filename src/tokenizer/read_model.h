// The section `model` of tokenizer.json.
#pragma once

#include <functional>
#include <memory>

#include "tokenizer/json_field.h"
#include "tokenizer/model.h"

namespace lotse {

// What the model needs to know of the rest of the file.
struct ModelContext {
  bool byte_level = false;  // words come in the alphabet of byte_level.h
  // The id of an added token by its content; −1 when there is none.
  std::function<int32_t(std::string_view)> added_id;
  ReservedIds reserved;
};

// Errors: a missing or mistyped field, an id out of range or standing twice, a merge of tokens that
// the vocabulary lacks, more tokens or merges than Lotse's limits.
Result<std::unique_ptr<Model>> read_model(const JsonField& section, const ModelContext& context);

}  // namespace lotse
