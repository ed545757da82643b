// --kv-dtype, as every command that runs a model takes it.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <optional>

#include "tensor/dtype.h"

namespace lotse::cli {

// Declares --kv-dtype on `command`: bf16 or int8. `cache_type` must live as long.
void add_kv_dtype(CLI::App& command, std::optional<DType>& cache_type);

}  // namespace lotse::cli
