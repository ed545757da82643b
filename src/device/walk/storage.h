// How a program's weights, activations and cache are stored, without loading any of them: what
// `inspect` and `plan` walk a program with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "device/program.h"

namespace lotse {

struct WeightStorage {
  std::string format;  // one of weight_formats() in chip/rules.h; "f32" for vectors
  int64_t group = 0;   // columns that share a scale, in the int4 formats
  double bytes = 0;    // of the whole weight, scales included
};

struct Storage {
  std::vector<WeightStorage> weights;  // one for each of program.weights
  std::string activation = "bf16";     // "f32", "f16" or "bf16"
  std::string kv = "bf16";             // "f32", "f16", "bf16", "int8" or "fp8"
};

// Bytes of a [rows, columns] weight in a format of weight_formats(), scales included.
double format_bytes(std::string_view format, int64_t rows, int64_t columns, int64_t group);

// Bytes of one element of an activation or cache dtype.
double element_bytes(std::string_view dtype);

// Vectors in f32, every other weight in `format`, activations and cache in `activation`.
Storage uniform_storage(const Program& program, const std::string& format,
                        const std::string& activation);

// Puts weight `id` into another format. Int4 formats get groups of `group` columns, the others
// none.
void set_format(Storage& storage, const Program& program, WeightId id, const std::string& format,
                int64_t group);

// Whether quantisation leaves this weight alone: vectors, embeddings, routers, and the matrix that
// makes the logits.
std::vector<bool> kept_in_full(const Program& program);

// Quantises what quantisation changes, as `lotse port --quant` does.
void quantise(Storage& storage, const Program& program, const std::string& format, int64_t group);

double weight_bytes(const Storage& storage);
// Bytes that one position of one sequence takes in the cache, all layers together.
double kv_bytes_per_token(const Program& program, const std::string& kv);

// Elements of all weights; a tensor that two weights share (tied embeddings) counts once.
int64_t parameter_count(const Program& program);
// Those that one token uses: of the experts, only the chosen ones.
int64_t active_parameter_count(const Program& program);

}  // namespace lotse
