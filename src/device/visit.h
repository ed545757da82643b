// One operator to the function that executes its kind.
#pragma once

#include <type_traits>
#include <variant>

#include "base/result.h"
#include "device/program.h"

namespace lotse {

// Calls execute(op) with the operator that `operation` holds. Most kinds cannot fail and return
// nothing; what the others return is passed on.
template <class Execute>
Result<void> visit_operation(const Operation& operation, Execute&& execute) {
  return std::visit(
      [&](const auto& op) -> Result<void> {
        if constexpr (std::is_void_v<decltype(execute(op))>) {
          execute(op);
          return {};
        } else {
          return execute(op);
        }
      },
      operation);
}

}  // namespace lotse
