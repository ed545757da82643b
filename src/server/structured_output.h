// The fields by which a request asks that its answer have a form.
#pragma once

#include <optional>
#include <string>

#include "engine/grammar_cache.h"
#include "server/fields.h"

namespace lotse {

struct WantedForm {
  GrammarSource source;
  std::string field;  // that asks for it, for errors
};

// response_format, text.format, structured_outputs and the older guided_… fields, as far as the
// endpoint has them. Errors name the field, also when two of them ask for a form.
ApiResult<std::optional<WantedForm>> read_form(const RequestFields& fields);

}  // namespace lotse
