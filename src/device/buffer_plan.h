// Where each value of a program lives in one arena, so that a step allocates nothing.
#pragma once

#include <vector>

#include "device/program.h"

namespace lotse {

struct BufferPlan {
  std::vector<int64_t> offset;  // of each value, in bytes, a multiple of 64
  int64_t bytes = 0;            // of the whole arena
};

// Places fp32 values of up to `max_tokens` and `max_outputs` rows. Two values that are live at the
// same time never overlap; a value is live from the operator that makes it to the last that reads
// it. The results stay live to the end.
BufferPlan plan_buffers(const Program& program, int64_t max_tokens, int64_t max_outputs);

}  // namespace lotse
