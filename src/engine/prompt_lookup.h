// How a sequence that repeats itself may go on.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lotse {

// What followed the last earlier occurrence of the sequence's own end, up to `most` tokens; empty
// when its last two tokens occur nowhere before ("prompt lookup", Saxena 2023). An occurrence of
// the last three tokens is preferred to one of two.
std::vector<int32_t> look_up_draft(std::span<const int32_t> tokens, int64_t most);

}  // namespace lotse
