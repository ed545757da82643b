// The vocabulary in which a model family writes its forward. Each call records one operator into a
// Program and returns the value it makes.
#pragma once

#include <string>
#include <utility>

#include "device/program.h"

namespace lotse {

// Records one Program. Not thread-safe. Shapes are the family's responsibility and are checked with
// LOTSE_CHECK: a config reader has rejected impossible dimensions before a forward runs.
class Ops {
 public:
  // Names the operators recorded from here on: layer index (kNone outside the layers).
  void begin_layer(int32_t layer) { layer_ = layer; }

  WeightId matrix(std::vector<std::string> sources, int64_t rows, int64_t columns);
  WeightId experts(std::vector<std::string> sources, int64_t experts, int64_t rows_each,
                   int64_t columns);
  WeightId vector(std::vector<std::string> sources, int64_t columns, float offset = 0);
  RopeId rope_table(RopeTable table);

  ValueId embed(const std::string& table, int64_t vocabulary, int64_t columns, float scale);
  // Of a position, or the same for every token.
  ValueId embed_by(const char* name, EmbedBy by, int64_t first_row, const std::string& table,
                   int64_t rows, int64_t columns);
  ValueId linear(const char* name, ValueId in, WeightId weight, WeightId bias = kNone);
  // Over the whole row.
  ValueId rms_norm(const char* name, ValueId in, WeightId weight, float epsilon);
  ValueId layer_norm(const char* name, ValueId in, WeightId weight, WeightId bias, float epsilon);
  // In place on `groups` column groups.
  void rms_norm_groups(const char* name, ValueId value, WeightId weight, float epsilon,
                       int64_t first_column, int64_t groups, int64_t width);
  void rope(const char* name, ValueId value, RopeId table, int64_t first_column, int64_t heads,
            int64_t head_dim, bool interleaved = false);

  struct AttentionShape {
    int64_t heads;
    int64_t kv_heads;
    int64_t head_dim;
    float scale;
    float softcap = 0;
    int64_t window = 0;
  };
  // Adds a layer to the cache.
  ValueId attention(ValueId qkv, const AttentionShape& shape);

  ValueId bidirectional_attention(ValueId qkv, int64_t heads, int64_t head_dim, float scale);

  ValueId activate(ValueId in, Activation activation);
  ValueId gated_activation(ValueId gate_up, Activation activation);
  ValueId add(const char* name, ValueId a, ValueId b);
  ValueId gather_rows(ValueId in);
  void softcap(ValueId value, float cap);

  struct MoeShape {
    WeightId router;
    WeightId gate_up;
    WeightId down;
    int64_t experts;
    int64_t top_k;
    int64_t width;
    bool normalise;
    Activation activation;
  };
  ValueId moe(ValueId in, const MoeShape& shape);

  // Ends the recording; the object is used up. One of the results may be kNone.
  Program finish(ValueId logits, ValueId hidden = kNone);

 private:
  ValueId value(Rows rows, int64_t columns);
  const Value& at(ValueId id) const { return program_.values[static_cast<size_t>(id)]; }
  const WeightDecl& decl(WeightId id) const { return program_.weights[static_cast<size_t>(id)]; }
  WeightId declare(WeightDecl weight);
  void record(const Operation& operation, const char* name);

  Program program_;
  int32_t layer_ = kNone;
};

}  // namespace lotse
