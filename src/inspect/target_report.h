// Whether and how a target runs a model: its operators, a verdict, and what it costs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "chip/profile.h"
#include "device/walk/step.h"
#include "device/walk/support.h"
#include "inspect/model_facts.h"

namespace lotse {

// What the target is asked to hold.
struct InspectLoad {
  int64_t context = 4096;
  int64_t batch = 1;
  std::string quant;  // "bf16", "w8a8", "w4a16", "w4a8": as `lotse port --quant`; empty: as it is
};

struct MemoryNeed {
  double weights = 0;
  double cache = 0;    // of all sequences at full context
  double working = 0;  // activations of a step

  double total() const { return weights + cache + working; }
};

struct OperatorReport {
  SupportRow row;            // as the model is
  Support after;             // once every conversion is done; the same where there is none
  std::string format_after;  // of its weights; empty without
  double seconds = 0;        // of all its operators in a decode step; 0 when unknown
  std::optional<Limit> limit;
};

struct Speed {
  bool of_texts = false;   // an encoder's, which has whole texts in a step and no prompts
  double decode_step = 0;  // s, all sequences one token further, or all texts done
  double prefill = 0;      // s, one prompt of `context` tokens
};

struct TargetReport {
  ChipProfile chip;
  InspectLoad load;
  Storage storage;  // after conversion
  std::vector<OperatorReport> operators;
  bool supported = false;
  bool needs_port = false;
  bool fits = false;             // one chip holds it
  std::optional<int64_t> chips;  // how many hold it; nothing when no number does
  std::string verdict;
  MemoryNeed need;    // all devices together
  double usable = 0;  // bytes a chip, after what the runtime keeps
  std::optional<Speed> speed;
  std::string no_speed;  // why there is none
};

// Share of a device's memory that weights and cache may fill; the rest is the runtime's.
inline constexpr double kUsableMemory = 0.9;

TargetReport judge_target(const ModelFacts& model, const ChipProfile& chip,
                          const InspectLoad& load);

MemoryNeed memory_need(const Program& program, const Storage& storage, int64_t context,
                       int64_t batch);

}  // namespace lotse
