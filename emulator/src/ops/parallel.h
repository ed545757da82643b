// A small pool of threads for large operators, shared by all streams.
#pragma once

#include <cstdint>
#include <functional>

namespace lotse::emulator {

// Calls body(begin, end) for consecutive ranges that cover [0, count), each of at least `grain`
// items but the last. Returns when all are done; the calling thread takes part. An exception of
// the body is rethrown here.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace lotse::emulator
