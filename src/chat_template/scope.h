// Resolves every name of a template to a slot of a frame, by the rules of Jinja2's compiler
// (idtracking): a variable that a frame sets belongs to that frame from its beginning; whether it
// begins as a copy of an outer variable, as a value of the context or as undefined depends on where
// it is first used. For example a name that is only set at the end of a template is undefined in
// the loops before, even when the context has a value of that name.
#pragma once

#include "base/result.h"
#include "chat_template/ast.h"

namespace lotse::jinja {

// Fills in the frames and references of `program`. Errors, "line N: …": a filter or test that does
// not exist, outside the branches of a condition; an assignment to `loop` in a loop.
Result<void> resolve_names(Program& program);

}  // namespace lotse::jinja
