// Streams one tensor from the checkpoint into a weight file, encoded as planned.
#pragma once

#include <functional>

#include "base/result.h"
#include "base/thread_pool.h"
#include "checkpoint/weight_source.h"
#include "port/artifact.h"
#include "port/hashed_file.h"
#include "port/legalise.h"

namespace lotse {

// Appends the data of all of `tensor`'s outputs, in order, to `file`. Works in blocks of rows:
// memory beyond the mapped source is a few 10 MiB and the tensor's scales. `on_bytes` hears how
// many source bytes were read, after every block. Errors: invalid_input names the tensor whose
// values are not finite or beyond the range of the format; io names the file.
Result<TensorReport> write_tensor(const WeightSource& source, const PlannedTensor& tensor,
                                  int64_t group, ThreadPool& pool, HashedFile& file,
                                  const std::function<void(int64_t)>& on_bytes);

}  // namespace lotse
