// The forms in which `lotse inspect --source` shows what it found.
#pragma once

#include <string>

#include "base/json.h"
#include "source/tree.h"

namespace lotse {

std::string source_text(const SourceReport& report);
Json source_json(const SourceReport& report);

// "rename 3, rewrite 2 …": the sentence for people, with the estimate.
std::string source_verdict(const SourceReport& report);

}  // namespace lotse
