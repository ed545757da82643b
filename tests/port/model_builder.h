// A model directory made from another one's tensors, changed as a test needs it.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/dequantize.h"
#include "checkpoint/safetensors_writer.h"
#include "tests/port/port_test_util.h"

namespace lotse {

struct ModelBuilder {
  std::map<std::string, Tensor> tensors;
  Json config;

  explicit ModelBuilder(const std::filesystem::path& model) {
    const Checkpoint checkpoint = open_checkpoint(model).value();
    config = checkpoint.config;
    for (const TensorInfo& info : checkpoint.weights->tensors()) {
      tensors[info.name] = checkpoint.weights->read(info.name).value();
    }
  }

  std::vector<float> floats(const std::string& name) const {
    return dequantize(tensors.at(name)).value();
  }

  // Writes `folder` and returns it.
  std::filesystem::path write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    write_bytes(folder / "config.json", config.dump());
    std::vector<TensorInfo> infos;
    for (const auto& [name, tensor] : tensors) {
      infos.push_back({name, tensor.dtype, tensor.shape, std::ssize(tensor.bytes), ""});
    }
    auto writer = SafetensorsWriter::create(folder / "model.safetensors", infos).value();
    for (const auto& [name, tensor] : tensors) EXPECT_TRUE(writer.write(name, tensor.bytes));
    EXPECT_TRUE(writer.finish());
    return folder;
  }
};

}  // namespace lotse
