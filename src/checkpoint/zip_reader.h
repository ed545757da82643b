// The entries of a zip file that are stored without compression, as PyTorch writes them; zip64 too.
// Format: PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string_view>

#include "base/result.h"

namespace lotse {

// Entry contents by name; both refer into the file's bytes.
using ZipEntries = std::map<std::string_view, std::span<const std::byte>>;

// `origin` begins error messages. A compressed or encrypted entry is unsupported; a duplicate name,
// an entry beyond the file, or one whose own header disagrees with the directory, is invalid.
Result<ZipEntries> read_zip(std::span<const std::byte> bytes, std::string_view origin);

}  // namespace lotse
