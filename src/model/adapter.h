// LoRA adapters: small changes of a model's linears that a request may ask for.
#pragma once

#include <filesystem>
#include <string>

#include "model/model.h"

namespace lotse {

struct AdapterSource {
  std::string name;                 // by which requests ask for it
  std::filesystem::path directory;  // as PEFT saves one
};

// Reads adapter_config.json and adapter_model.safetensors (or .bin) of a PEFT directory, and adds
// the adapter to the model's program and weights under the next number, from 1 on. Sequences of a
// batch use it by that number (BatchSequence::adapter); for all others nothing changes. Errors:
// unsupported for what is no plain LoRA of linears (DoRA, biases, trained embeddings, experts);
// invalid_input where a tensor does not fit the model.
// LoRA: Hu et al. 2021; the files: PEFT.
Result<void> add_adapter(Model& model, const AdapterSource& source);

}  // namespace lotse
