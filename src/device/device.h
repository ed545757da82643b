// What a backend must provide. Written as a porter's checklist; docs/adding-a-device.md walks
// through it.
//
// A backend is one folder under src/device. It implements Device and Executable, registers itself
// in registry.cc, and passes tests/device/conformance against the reference device. Vendor names
// and headers never leave the folder.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/program.h"
#include "device/weight.h"

namespace lotse {

// One sequence's share of a step. Its tokens are consecutive in the batch, its positions are
// context − tokens … context − 1.
struct BatchSequence {
  int32_t first_token;              // index of its first token in the batch
  int32_t tokens;                   // how many tokens of it are in this step, at least 1
  int32_t context;                  // tokens in the cache after this step
  std::span<const int32_t> blocks;  // cache block of positions [i·block_tokens, (i+1)·block_tokens)
  int32_t adapter = 0;              // of program.adapters; 0: none
};

// A ragged batch: the tokens of many sequences flattened. Prefill, chunked prefill, decode and
// speculative checks are all this.
struct Batch {
  std::span<const int32_t> tokens;
  std::span<const int32_t> positions;  // of each token in its sequence
  std::span<const BatchSequence> sequences;
  std::span<const int32_t> output_rows;  // indices of the tokens whose logits are wanted
};

// The index of token t by which an embedding chooses its row.
int64_t embed_index(EmbedBy by, const Batch& batch, int64_t t);

// What an executable must be able to hold; fixed when it is loaded, so that a step allocates
// nothing.
struct ExecutionLimits {
  int64_t max_tokens = 512;    // per step
  int64_t max_outputs = 16;    // per step
  int64_t max_sequences = 16;  // per step
  int64_t max_context = 4096;  // of one sequence
  int64_t block_tokens = 64;   // positions in one cache block
  int64_t cache_blocks = 64;   // blocks shared by all sequences; each holds all layers
  // f32, bf16, or i8 with one fp32 scale a token, head, and key or value (docs/numerics.md).
  DType cache_type = DType::bf16;
};

// What is wanted of each output row where a token is chosen among its likeliest.
struct TopRequest {
  int64_t count = 1;      // of the largest logits
  float temperature = 0;  // above 0: the mass of all logits too
};

struct TopLogits {
  int64_t count;                    // of each row
  std::span<const float> logits;    // [output_rows, count], falling
  std::span<const int32_t> tokens;  // [output_rows, count]; of equal logits the lower token first
  // [output_rows]: Σ exp((logit − largest) / temperature) over the vocabulary, right to
  // kMassError of it; empty without a temperature.
  std::span<const float> masses;
};
inline constexpr double kMassError = 1e-4;

// The error of run() where a program has no logits.
Error no_logits();

// Sees every value as it is made, for verify and debugging. `data` is the value that the operator
// wrote, fp32 [rows, columns]; what the observer changes in it is what later operators read.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual Result<void> on_value(const Op& op, std::span<float> data, int64_t rows,
                                int64_t columns) = 0;
};

// A program with its weights on a device, its buffers and its cache. One caller at a time.
class Executable {
 public:
  virtual ~Executable() = default;

  // Executes one step and returns the logits, fp32 [output_rows, vocabulary], valid until the next
  // call. Error: unsupported where the program has no logits. The caller guarantees the limits,
  // token ids below the vocabulary and block ids below cache_blocks (LOTSE_CHECK). A row's result
  // depends only on its own sequence: not on its neighbours in the batch nor on how its prompt was
  // cut into steps.
  virtual Result<std::span<const float>> run(const Batch& batch) = 0;

  // Optional: a step of which only the largest logits come to the host, exactly those of run().
  // max_top() is the most that a request may count, at least 2; 0 where the device has no
  // run_top(). The result is valid until the next call; last_logits() brings the logits that it was
  // taken from, as run() would have returned them.
  virtual int64_t max_top() const { return 0; }
  virtual Result<TopLogits> run_top(const Batch& batch, const TopRequest& request);
  virtual Result<std::span<const float>> last_logits();

  // The hidden states of the last step's output rows, fp32 [output_rows, hidden], valid until the
  // next step. The program must have them (LOTSE_CHECK).
  virtual Result<std::span<const float>> last_hidden() = 0;
  // A step of which only the hidden states are wanted: what makes logits of them is left out. A
  // program without logits has no other steps.
  virtual Result<std::span<const float>> run_hidden(const Batch& batch) = 0;

  // Calls `observer` after every operator from now on; nullptr ends it.
  virtual void observe(Observer* observer) = 0;

  // Bytes held on the device: prepared weights, cache, working memory.
  struct Memory {
    int64_t weights = 0;
    int64_t cache = 0;
    int64_t working = 0;
  };
  virtual Memory memory() const = 0;

  // How the steps so far were executed.
  struct Steps {
    int64_t all = 0;
    int64_t replayed = 0;  // each by one call that runs a captured graph again
    std::string why_not;   // why decode steps are not captured; empty when they are or were
  };
  virtual Steps steps() const { return {}; }

  // Seconds of all steps so far by the device's own clock, 0 where it has none. An emulated
  // device's clock predicts.
  virtual double device_seconds() const { return 0; }
};

class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view name() const = 0;    // "cpu", as given to --device
  virtual std::string description() const = 0;  // for people: "AVX-512 (VNNI, BF16), 2 threads"

  // Whether something else takes the place of the hardware that the name promises; whoever shows
  // results says so.
  virtual bool is_emulated() const { return false; }

  // Bytes that weights, cache and working memory may take there now: of the host's memory, unless
  // the device has its own.
  virtual int64_t available_bytes() const;

  // Positions in a cache block that suit the device; ExecutionLimits should say the same.
  virtual int64_t block_tokens() const { return 64; }

  // Brings a program and its weights (one for each of program.weights) onto the device. Weights are
  // turned into the device's own layout here, once; afterwards the caller may drop them unless
  // the device kept views of their storage, which Tensor's owner keeps alive. An operator, format
  // or shape that the device lacks is an `unsupported` error that says what and why: there is never
  // a silent fall-back.
  virtual Result<std::unique_ptr<Executable>> load(const Program& program,
                                                   std::vector<Weight> weights,
                                                   const ExecutionLimits& limits) = 0;
};

}  // namespace lotse
