// Downloads one file of a hub so that it is complete and right, or absent.
#pragma once

#include <filesystem>
#include <functional>

#include "cli/hub.h"

namespace lotse::cli {

// Whether `path` holds the file already: of the hub's size, and its SHA-256 where the hub names
// one.
Result<bool> is_complete(const std::filesystem::path& path, const HubFile& file);

// Bytes that an interrupted download of `path` left to continue from.
int64_t partial_bytes(const std::filesystem::path& path);

// Downloads into `path`.partial, continuing what is there, checks size and SHA-256, and renames.
// Progress
// resets the count of retries; `on_progress` is told the bytes that the file has so far. Errors
// name the file; a file that arrived wrong is removed.
Result<void> download_file(HttpClient& http, const Hub& hub, const HubModel& model,
                           const HubFile& file, const std::filesystem::path& path,
                           const RetryPolicy& retry,
                           const std::function<void(int64_t)>& on_progress);

}  // namespace lotse::cli
