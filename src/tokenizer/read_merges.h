// The field `merges` of a BPE model in tokenizer.json.
#pragma once

#include <string_view>

#include "tokenizer/json_field.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/model.h"

namespace lotse {

// Each merge is "a b" or ["a", "b"]; the second token's `continuing_prefix` is left out of what the
// merge gives. Merges that give a reserved token have a rank but no pair. Errors: a merge of
// another form, or of tokens that the vocabulary lacks; more than kMaxMerges.
Result<MergeTable> read_merges(const JsonField& field, const Vocabulary& vocabulary,
                               std::string_view continuing_prefix, const ReservedIds& reserved);

}  // namespace lotse
