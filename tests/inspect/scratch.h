// A directory for one test, and checkpoints written into it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_writer.h"

namespace lotse {

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden" / name;
}

class Scratch {
 public:
  Scratch()
      : path_(std::filesystem::temp_directory_path() /
              ("lotse-inspect-" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
  }

  // The golden Llama's checkpoint with its linears in FP8, one scale a block of 128 x 128, a row,
  // or a tensor. All elements are zero.
  void write_fp8_llama(const std::string& scales) const {
    const Checkpoint original = open_checkpoint(golden("llama3_bf16")).value();
    Json config = original.config;
    config["quantization_config"] = {{"quant_method", "fp8"}};
    if (scales == "block") config["quantization_config"]["weight_block_size"] = {128, 128};
    write("config.json", config.dump());
    std::vector<TensorInfo> tensors;
    for (TensorInfo tensor : original.weights->tensors()) {
      if (tensor.name.find("_proj.weight") == std::string::npos) {
        tensors.push_back(tensor);
        continue;
      }
      tensor.dtype = DType::f8_e4m3;
      tensor.bytes /= 2;
      tensors.push_back(tensor);
      const int64_t rows = scales == "block"     ? (tensor.shape[0] + 127) / 128
                           : scales == "channel" ? tensor.shape[0]
                                                 : 1;
      const int64_t columns = scales == "block" ? (tensor.shape[1] + 127) / 128 : 1;
      const Shape shape = scales == "tensor" ? Shape({1}) : Shape({rows, columns});
      const char* suffix = scales == "block" ? "_scale_inv" : "_scale";
      tensors.push_back({tensor.name + suffix, DType::f32, shape, rows * columns * 4, ""});
    }
    auto writer = SafetensorsWriter::create(path_ / "model.safetensors", tensors).value();
    for (const TensorInfo& tensor : tensors) {
      const std::vector<std::byte> zeros(static_cast<size_t>(tensor.bytes));
      ASSERT_TRUE(writer.write(tensor.name, zeros));
    }
    ASSERT_TRUE(writer.finish());
  }

 private:
  std::filesystem::path path_;
};

}  // namespace lotse
