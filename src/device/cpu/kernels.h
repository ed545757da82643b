// The kernels of the cpu device: one table of plain functions for each instruction set.
//
// A file that implements a table is compiled with that instruction set's flags and includes
// nothing but intrinsics, this header and the shared .inc bodies, all in an anonymous namespace: so
// no function built for a newer processor can be linked into code that older ones run. For the
// same reason nothing here has a body.
//
// Every result is independent of how rows, columns and key blocks are split over calls: each output
// of a linear is one chain of additions in ascending depth, each row of attention one chain over
// key blocks at fixed positions. Tables differ from each other in the last bits of floating-point
// results; w8a8 and w4a8 results are equal on all.
#pragma once

#include <cstdint>

namespace lotse::cpu {

// Output columns in one panel of a prepared weight. See packed_weight.h for the layout.
inline constexpr int64_t kPanel = 64;
// Rows that one call of `attention` takes, and key positions in one of its blocks.
inline constexpr int64_t kAttentionRows = 48;
inline constexpr int64_t kKeyBlock = 64;

// y[r, c] = Σ_k x[r, k] · w[c, k] + bias[c] for some rows and for the columns of whole panels.
struct LinearArgs {
  const void* x;          // prepared activations of the first row
  int64_t x_stride;       // bytes from one row to the next
  const float* x_scales;  // [rows], int8 activations only
  const int32_t* x_sums;  // [rows, groups], int8 activations only: see quantise_row
  int64_t rows;
  const void* panels;   // the first panel
  const float* scales;  // w8a8: [panels, 64]; int4: [panels, groups, 64]; of the first panel on
  const float* bias;    // [columns] or null
  int64_t columns;      // 64 · panels, less where the last panel is narrower
  int64_t depth;        // K, padded as packed_weight.h says
  int64_t group;        // depth that shares a scale, int4 only
  float* y;
  int64_t y_stride;  // floats from one row to the next
};
using LinearFunction = void (*)(const LinearArgs&);

// Attention of some query rows over one key-value head of one sequence. Rows are tokens ×
// group, token-major: row r asks at position first_position + r / group.
struct AttentionArgs {
  const float* query;      // row r at query + (r / group) · token_stride + (r % group) · head_dim
  float* out;              // the same with out_stride
  int64_t query_stride;    // floats from one token to the next
  int64_t out_stride;      // floats
  int64_t rows;            // at most kAttentionRows
  int64_t group;           // query heads that share the key-value head
  int64_t head_dim;        // D
  int64_t first_position;  // of row 0
  int64_t window;          // keys in (p − window, p] are visible; 0: all up to p
  float scale;
  float softcap;  // 0: none
  // The cache of this layer and head (see kv_cache.h): block b of the table at cache + b ·
  // block_stride, its values value_offset bytes further.
  const void* cache;
  const int32_t* blocks;
  int64_t block_stride;
  int64_t value_offset;
  int64_t block_tokens;
  int64_t element;       // bytes of an element: 4 f32, 2 bf16, 1 int8
  int64_t scale_offset;  // int8: bytes from a block to its scales
  float* scratch;        // attention_scratch(head_dim) floats, 64-byte aligned
};

struct KernelTable {
  const char* name;         // "avx512", as LOTSE_ISA takes it
  const char* description;  // for people

  // What prepared weights and activations look like for this table.
  int64_t int8_step;              // depth interleaved in int8 panels
  int32_t int8_offset;            // added to int8 weights when packed, 128 where stored unsigned
  int64_t bf16_activation_bytes;  // 2: bf16, 4: bf16-rounded f32
  int64_t int8_activation_bytes;  // 1 or 2

  LinearFunction linear_f32;    // x: f32
  LinearFunction linear_f16;    // x: f32
  LinearFunction linear_bf16;   // x: from round_row
  LinearFunction linear_w8a8;   // x: from quantise_row with group = depth
  LinearFunction linear_w4a16;  // x: from round_row
  LinearFunction linear_w4a8;   // x: from quantise_row with the weight's group

  // x[n] rounded to bf16, zero-padded to `padded`, in this table's activation layout.
  void (*round_row)(const float* x, int64_t n, int64_t padded, void* out);
  // Dynamic symmetric quantisation of one token: scale = max|x| / 127 and q = x · (127 / max|x|)
  // rounded half to even, both in fp32; returns the scale. A row of zeros, or one so small that
  // 127 / max|x| overflows, has scale 0 and q = 0; a row with a NaN or an infinity has scale NaN
  // and q = 0, so that it poisons its own outputs only. sums[g] = Σ q over group g. `group` is a
  // multiple of 32 or at least n.
  float (*quantise_row)(const float* x, int64_t n, int64_t padded, int64_t group, void* q,
                        int32_t* sums);

  void (*rms_norm)(const float* x, const float* weight, float epsilon, int64_t n, float* y);
  // y = (x − mean) / sqrt(variance + epsilon) · weight + bias
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon,
                     int64_t n, float* y);
  // In place on one head; cosines and sines [pairs]; pairs (i, i + pairs) or (2i, 2i + 1).
  void (*rope)(float* x, const float* cosines, const float* sines, int64_t pairs, bool interleaved);
  // y = act(gate) · up. y may be gate or up.
  void (*silu)(const float* gate, const float* up, int64_t n, float* y);
  void (*gelu_tanh)(const float* gate, const float* up, int64_t n, float* y);
  void (*gelu_erf)(const float* gate, const float* up, int64_t n, float* y);
  void (*exp)(const float* x, int64_t n, float* y);  // relative error below 2e-6
  void (*softmax)(const float* x, int64_t n, float* y);
  void (*add)(const float* a, const float* b, int64_t n, float* y);
  void (*scale_add)(const float* x, float scale, int64_t n, float* y);  // y += scale · x
  void (*scale)(const float* x, float scale, int64_t n, float* y);
  void (*softcap)(const float* x, float cap, int64_t n, float* y);

  void (*f32_to_bf16)(const float* x, int64_t n, uint16_t* y);
  void (*f32_to_f16)(const float* x, int64_t n, uint16_t* y);
  void (*bf16_to_f32)(const uint16_t* x, int64_t n, float* y);
  void (*f16_to_f32)(const uint16_t* x, int64_t n, float* y);

  void (*attention)(const AttentionArgs& args);

  // The machine's limits: `read` sums `bytes` (a multiple of 4096) as fast as memory allows; the
  // others run `rounds` rounds of register-only work and return operations (a multiply-add counts
  // two). Null where the instruction set lacks the instruction.
  uint64_t (*read)(const void* data, int64_t bytes);
  double (*peak_f32)(int64_t rounds, float* sink);
  double (*peak_bf16)(int64_t rounds, float* sink);
  double (*peak_int8)(int64_t rounds, float* sink);
};

// Which of these exist is decided by CMake from the target processor; isa.cc lists them.
extern const KernelTable kGenericKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;

}  // namespace lotse::cpu
