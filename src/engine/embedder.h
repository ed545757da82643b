// Embeddings of many texts at once, for a caller that waits for them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/serving_engine.h"

namespace lotse {

// One embedding a text, in their order, pooled and scaled as the engine's model wants it, with the
// first `dimensions` only (0: all). Errors: those of ServingEngine::submit, of which a full queue
// is one, and the device's.
Result<std::vector<std::vector<float>>> embed(ServingEngine& engine,
                                              std::vector<std::vector<int32_t>> texts,
                                              int64_t dimensions = 0);

}  // namespace lotse
