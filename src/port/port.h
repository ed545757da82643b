// Ports a model to a target: legalises and quantises every tensor and writes the artifact.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/atomic_file.h"
#include "base/result.h"
#include "chip/profile.h"
#include "port/artifact.h"
#include "port/legalise.h"

namespace lotse {

// Hears the work's progress in bytes of the source, and what is being done.
using PortProgress = std::function<void(int64_t done, int64_t total, std::string_view what)>;

struct PortRequest {
  std::filesystem::path model;
  std::filesystem::path out;
  LegaliseOptions options;
  int threads = 0;  // 0: one a core
  PortProgress progress;
  FileCalls* calls = nullptr;  // null: the system's
};

struct PortResult {
  Manifest manifest;
  bool was_done = false;      // OUT held this very port already
  int64_t resumed_files = 0;  // weight files taken over from an interrupted port
};

// Writes `out`, which appears whole by one rename: killed at any point, or failing for want of
// space, it leaves `out` absent and OUT.partial for the next call, which takes over the weight
// files that are finished (and whose hashes, and whose source's hashes, still fit). The model is
// only read. Memory stays below 1 GiB and the largest tensor. The same model, options and version
// give the same bytes. Errors: as plan_port(); invalid_input when `out` exists and is not this very
// port; io with the file's name.
Result<PortResult> port_model(const PortRequest& request, const ChipProfile& chip);

}  // namespace lotse
