// Keywords that say what a value must not be, or what follows from what: as alternatives of
// schemas, which are exact.
#pragma once

#include <vector>

#include "engine/grammar/schema_document.h"

namespace lotse {

// Groups of alternatives, each to be one of which must hold, that follow from `not`,
// `if`/`then`/`else` and the dependencies of one schema. The same each time.
Result<std::vector<const SchemaJson*>> conditions(SchemaDocument& document,
                                                  const SchemaJson& schema);

// The alternatives of which one holds where a schema does not. Errors: unsupported, with the
// keyword whose opposite no schema can express.
Result<const SchemaJson*> negation(SchemaDocument& document, const SchemaJson& schema);

}  // namespace lotse
