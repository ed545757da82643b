// Any bytes as a source file of any language: findings, and a diff of edits that lie in the file.
#include <cstdlib>

#include "source/examine.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr int kLanguages = static_cast<int>(lotse::Language::cmake) + 1;
  const auto language = static_cast<lotse::Language>(data[0] % kLanguages);
  const std::string_view file(reinterpret_cast<const char*>(data + 1), size - 1);
  const lotse::Examined examined =
      lotse::examine_source(file, language, lotse::RuleTable::builtin(), nullptr);
  uint32_t position = 0;
  for (const lotse::Edit& edit : examined.edits) {
    if (edit.span.begin < position || edit.span.end > file.size()) std::abort();
    position = edit.span.end;
  }
  (void)lotse::unified_diff("file", file, examined.edits);
  return 0;
}
