// The rules walk: what a chip has of each operator of a program.
#pragma once

#include <string>
#include <vector>

#include "chip/rules.h"
#include "device/program.h"
#include "device/walk/storage.h"

namespace lotse {

// Operators of one program that pose the same question to a chip.
struct SupportRow {
  std::string name;         // without the layer: "attention_output"
  std::string shape;        // for people: "4096 x 1024"
  int64_t count = 0;        // how many operators
  std::vector<size_t> ops;  // their indices in program.ops
  OperatorQuery query;
  Support support;
};

OperatorQuery operator_query(const Program& program, const Storage& storage, const Op& op);

// One row for each distinct question, in the order of their first operators.
std::vector<SupportRow> check_support(const Program& program, const Storage& storage,
                                      const ChipProfile& chip);

// The storage after every conversion that the chip asks for, the best choice first, or `preferred`
// where the chip offers it. What cannot be converted stays.
Storage legalise(const Program& program, Storage storage, const ChipProfile& chip,
                 const std::string& preferred = "");

}  // namespace lotse
