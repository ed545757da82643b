#include "cli/kv_option.h"

#include <string>

namespace lotse::cli {

void add_kv_dtype(CLI::App& command, std::optional<DType>& cache_type) {
  command
      .add_option_function<std::string>(
          "--kv-dtype",
          [&cache_type](const std::string& given) {
            cache_type = given == "int8" ? DType::i8 : DType::bf16;
          },
          "Keys and values in the cache: bf16, or int8, which takes about half the memory. "
          "Default: f32 for f32 weights, else bf16")
      ->check(CLI::IsMember({"bf16", "int8"}));
}

}  // namespace lotse::cli
