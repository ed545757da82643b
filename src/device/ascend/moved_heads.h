// Queries and keys on their way from the product that makes them to a fused attention: norms and
// rotations of heads leave their results in dense memory of their own, from where the attention
// takes them, instead of copying them back into rows of queries, keys and values.
#pragma once

#include <array>
#include <optional>

#include "device/ascend/linear.h"
#include "device/program.h"

namespace lotse::ascend {

enum class HeadPart : uint8_t { queries, keys };

class MovedHeads {
 public:
  // `is_fused` tells of each cache layer whether its attention is one operator. The program must
  // outlive the object.
  MovedHeads(Context& context, const Program& program, const std::vector<bool>& is_fused);

  // The part that these columns of `value` are, no more and no less; nothing where no fused
  // attention takes the value, or while parts of another one are on their way.
  std::optional<HeadPart> part_of(ValueId value, int64_t first_column, int64_t columns) const;
  // Where queries end and keys begin in `value`; 0 where no fused attention takes it.
  int64_t query_columns(ValueId value) const;

  // What the part is now, [rows, columns]; `matrix` is the value as it was made.
  View content(HeadPart part, ValueId value, const View& matrix) const;
  // Dense memory for what the part becomes, which is its content from then on. A rotation, the last
  // thing that is done to queries, puts them where attention wants them.
  Result<View> become(HeadPart part, ValueId value, const View& matrix, bool is_rotation);
  // Null where the part is where it was made.
  const View* moved(HeadPart part) const;

  // Copies what moved back into `matrix`, the memory of `value`.
  Result<void> settle(ValueId value, const View& matrix);
  // The attention has taken what moved, or the step is over.
  void clear() { value_ = kNone; }

 private:
  struct Columns {
    int64_t first = 0;
    int64_t count = 0;
  };
  Columns columns_of(HeadPart part, ValueId value) const;

  Context& context_;
  std::vector<const Attention*> taken_by_;  // of each value
  ValueId value_ = kNone;                   // whose parts have moved
  std::array<std::optional<View>, 2> moved_;
};

}  // namespace lotse::ascend
