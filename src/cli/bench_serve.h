// lotse bench --serve URL: load on a server that is running.
#pragma once

#include <memory>

#include "cli/cli.h"

namespace lotse::cli {

struct BenchServeOptions;

// Declares the options on `bench`.
std::shared_ptr<BenchServeOptions> add_bench_serve_options(CLI::App& app);
// Whether --serve was given.
bool is_given(const BenchServeOptions& options);
Result<int> bench_serve(const BenchServeOptions& options, bool as_json);

}  // namespace lotse::cli
