// A checkpoint's tensors under Hugging Face names, whatever file format they come from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/tensor.h"

namespace lotse {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  int64_t bytes = 0;  // as read() returns it
  std::string file;   // the file that holds it, for messages
};

// The names under which a text model's tensor `name` may be stored: its own, then those that it has
// inside a multimodal checkpoint.
std::vector<std::string> stored_names(std::string_view name);

// Immutable after opening, hence safe to read from many threads.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Sorted by name, names unique.
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // The tensor's data, aligned for its element type: a view of the mapped file where the file
  // stores it as the model wants it, else a fresh buffer. An unknown name is not_found and names
  // the closest one that exists.
  virtual Result<Tensor> read(std::string_view name) const = 0;

  // nullptr when absent.
  const TensorInfo* find(std::string_view name) const;
};

}  // namespace lotse
