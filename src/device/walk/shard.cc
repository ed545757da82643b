#include "device/walk/shard.h"

#include <algorithm>
#include <set>
#include <utility>

namespace lotse {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

// Builds one rank's program operator by operator, in the order of the whole one.
class Sharder {
 public:
  Sharder(const Program& whole, int32_t rank, int32_t size)
      : whole_(whole), rank_(rank), size_(size), attention_(whole.values.size()) {
    result_.program = whole;
    result_.program.ops.clear();
    result_.program.cache_layers.clear();
    for (const WeightDecl& decl : whole.weights) {
      const bool is_vector = decl.role == WeightRole::vector;
      result_.shares.push_back({{{0, is_vector ? decl.columns : decl.rows}}, {0, decl.columns}});
    }
    for (const Op& op : whole.ops) {
      if (const auto* attention = std::get_if<Attention>(&op.operation)) {
        if (norms_all_heads(*attention)) continue;
        attention_[at(attention->qkv)] = attention;
        divided_.insert(attention->out);
      } else if (const auto* gated = std::get_if<GatedActivation>(&op.operation)) {
        gated_.insert(gated->in);
        divided_.insert(gated->out);
      }
    }
  }

  Result<ShardedProgram> run() {
    for (const Op& op : whole_.ops) {
      op_ = &op;
      LOTSE_TRY(
          std::visit([&](const auto& operation) { return rewrite(operation); }, op.operation));
    }
    return std::move(result_);
  }

 private:
  // Whether a norm of queries or keys goes over all heads together, which no rank then has.
  bool norms_all_heads(const Attention& attention) const {
    return std::ranges::any_of(whole_.ops, [&](const Op& op) {
      const auto* norm = std::get_if<RmsNorm>(&op.operation);
      return norm != nullptr && norm->out == attention.qkv && norm->width > attention.head_dim;
    });
  }

  std::unexpected<Error> indivisible(const char* what, int64_t count) const {
    return fail(ErrorCode::unsupported, "operator {}: {} {} cannot be divided among {} ranks",
                op_->name, count, what, size_);
  }

  Result<int64_t> part(const char* what, int64_t count) const {
    if (count % size_ != 0) return indivisible(what, count);
    return count / size_;
  }

  // This rank's key-value heads: a part of them, or the one that its query heads use.
  Result<Range> kv_heads(const Attention& op) const {
    if (op.kv_heads % size_ == 0) {
      const int64_t count = op.kv_heads / size_;
      return Range{rank_ * count, count};
    }
    if (size_ % op.kv_heads != 0) return indivisible("key-value heads", op.kv_heads);
    return Range{rank_ / (size_ / op.kv_heads), 1};
  }

  void set_columns(ValueId id, int64_t columns) {
    result_.program.values[at(id)].columns = columns;
  }

  void set_rows(WeightId id, std::vector<Range> rows) {
    int64_t count = 0;
    for (const Range& range : rows) count += range.count;
    WeightDecl& decl = result_.program.weights[at(id)];
    (decl.role == WeightRole::vector ? decl.columns : decl.rows) = count;
    result_.shares[at(id)].rows = std::move(rows);
  }

  void set_weight_columns(WeightId id, int64_t count) {
    result_.program.weights[at(id)].columns = count;
    result_.shares[at(id)].columns = {rank_ * count, count};
  }

  void emit(const Operation& operation, const char* suffix = "") {
    result_.program.ops.push_back({operation, op_->layer, op_->name + suffix});
  }

  Result<void> keep(const Operation& operation) {
    emit(operation);
    return {};
  }

  Result<void> rewrite(const Embed& op) { return keep(op); }
  Result<void> rewrite(const Add& op) { return keep(op); }
  Result<void> rewrite(const LayerNorm& op) { return keep(op); }
  Result<void> rewrite(const Activate& op) { return keep(op); }
  Result<void> rewrite(const BidirectionalAttention&) {
    return fail(ErrorCode::unsupported,
                "operator {}: an encoder is not divided among ranks; run it on one", op_->name);
  }
  Result<void> rewrite(const GatherRows& op) { return keep(op); }
  Result<void> rewrite(const Softcap& op) { return keep(op); }
  Result<void> rewrite(const LowRank&) {
    return fail(ErrorCode::unsupported, "operator {}: adapters are not divided among ranks yet",
                op_->name);
  }
  Result<void> rewrite(const AllReduce& op) { return keep(op); }
  Result<void> rewrite(const AllGather& op) { return keep(op); }

  Result<void> rewrite(const Linear& op) {
    if (divided_.contains(op.in)) return sum_over_ranks(op);
    if (attention_[at(op.out)] != nullptr) return divide_heads(op, *attention_[at(op.out)]);
    if (gated_.contains(op.out)) return divide_gated(op);
    const bool is_logits = op.out == whole_.logits;
    if (is_logits && whole_.values[at(op.out)].columns % size_ == 0) return divide_logits(op);
    return keep(op);
  }

  Result<void> divide(const Linear& op, std::vector<Range> rows) {
    int64_t columns = 0;
    for (const Range& range : rows) columns += range.count;
    set_columns(op.out, columns);
    if (op.bias != kNone) set_rows(op.bias, rows);
    set_rows(op.weight, std::move(rows));
    return keep(op);
  }

  // [heads | kv_heads | kv_heads] · head_dim.
  Result<void> divide_heads(const Linear& op, const Attention& attention) {
    const int64_t heads = LOTSE_TRY(part("heads", attention.heads));
    const Range kv = LOTSE_TRY(kv_heads(attention));
    const int64_t d = attention.head_dim;
    const auto rows = [&](int64_t first, int64_t count) { return Range{first * d, count * d}; };
    return divide(op, {rows(rank_ * heads, heads), rows(attention.heads + kv.first, kv.count),
                       rows(attention.heads + attention.kv_heads + kv.first, kv.count)});
  }

  // [gate | up].
  Result<void> divide_gated(const Linear& op) {
    const int64_t width = whole_.values[at(op.out)].columns / 2;
    const int64_t columns = LOTSE_TRY(part("columns", width));
    return divide(op, {{rank_ * columns, columns}, {width + rank_ * columns, columns}});
  }

  Result<void> divide_logits(const Linear& op) {
    const int64_t rows = whole_.values[at(op.out)].columns / size_;
    result_.program.values.push_back({whole_.values[at(op.out)].rows, rows});
    const auto mine = static_cast<ValueId>(result_.program.values.size()) - 1;
    set_rows(op.weight, {{rank_ * rows, rows}});
    if (op.bias != kNone) set_rows(op.bias, {{rank_ * rows, rows}});
    emit(Linear{op.in, op.weight, op.bias, mine});
    emit(AllGather{mine, op.out}, "_gather");
    return {};
  }

  // Every rank has a share of the inputs and makes a share of each sum; the bias counts once.
  Result<void> sum_over_ranks(const Linear& op) {
    const int64_t columns = whole_.values[at(op.in)].columns;
    set_weight_columns(op.weight, LOTSE_TRY(part("columns", columns)));
    emit(Linear{op.in, op.weight, rank_ == 0 ? op.bias : kNone, op.out});
    emit(AllReduce{op.out}, "_sum");
    return {};
  }

  Result<void> rewrite(const RmsNorm& op) {
    const Attention* attention = attention_[at(op.out)];
    if (attention == nullptr) return keep(op);
    const Range heads = LOTSE_TRY(section(*attention, op.first_column, op.groups * op.width));
    RmsNorm mine = op;
    mine.first_column = heads.first * attention->head_dim;
    mine.groups = heads.count;
    return keep(mine);
  }

  Result<void> rewrite(const Rope& op) {
    const Attention* attention = attention_[at(op.value)];
    if (attention == nullptr) return keep(op);
    const Range heads = LOTSE_TRY(section(*attention, op.first_column, op.heads * op.head_dim));
    Rope mine = op;
    mine.first_column = heads.first * op.head_dim;
    mine.heads = heads.count;
    return keep(mine);
  }

  // Where this rank has the heads that lie in some columns of the whole qkv, which begin and end
  // with a kind of heads.
  Result<Range> section(const Attention& op, int64_t first_column, int64_t columns) const {
    const int64_t heads = LOTSE_TRY(part("heads", op.heads));
    const Range kv = LOTSE_TRY(kv_heads(op));
    const auto mine = [&](int64_t head) {
      if (head == 0) return int64_t{0};
      if (head == op.heads) return heads;
      return head == op.heads + op.kv_heads ? heads + kv.count : int64_t{-1};
    };
    const int64_t first = mine(first_column / op.head_dim);
    const int64_t last = mine((first_column + columns) / op.head_dim);
    LOTSE_CHECK(first >= 0 && last >= first);
    return Range{first, last - first};
  }

  Result<void> rewrite(const Attention& op) {
    if (attention_[at(op.qkv)] == nullptr) {
      result_.program.cache_layers.push_back(whole_.cache_layers[at(op.cache_layer)]);
      return keep(op);
    }
    Attention mine = op;
    mine.heads = LOTSE_TRY(part("heads", op.heads));
    mine.kv_heads = LOTSE_TRY(kv_heads(op)).count;
    CacheLayer layer = whole_.cache_layers[at(op.cache_layer)];
    layer.kv_heads = mine.kv_heads;
    result_.program.cache_layers.push_back(layer);
    set_columns(op.out, mine.heads * op.head_dim);
    return keep(mine);
  }

  Result<void> rewrite(const GatedActivation& op) {
    set_columns(op.out, result_.program.values[at(op.in)].columns / 2);
    return keep(op);
  }

  // Every rank has a share of the columns of every expert.
  Result<void> rewrite(const Moe& op) {
    Moe mine = op;
    mine.width = LOTSE_TRY(part("columns of an expert", op.width));
    std::vector<Range> rows;
    for (int64_t half = 0; half < 2 * op.experts; ++half) {
      rows.push_back({half * op.width + rank_ * mine.width, mine.width});
    }
    set_rows(op.gate_up, std::move(rows));
    set_weight_columns(op.down, mine.width);
    emit(mine);
    emit(AllReduce{op.out}, "_sum");
    return {};
  }

  const Program& whole_;
  int64_t rank_;
  int64_t size_;
  const Op* op_ = nullptr;
  std::vector<const Attention*> attention_;  // of each value: the attention whose qkv it is
  std::set<ValueId> gated_;                  // the inputs of gated activations
  std::set<ValueId> divided_;                // values whose columns are divided among the ranks
  ShardedProgram result_;
};

Tensor rows_of(const Tensor& tensor, int64_t first, int64_t count, int64_t rows) {
  if (tensor.bytes.empty()) return tensor;
  const size_t row_bytes = tensor.bytes.size() / at(rows);
  Tensor result = tensor;
  std::vector<int64_t> dims(tensor.shape.dims().begin(), tensor.shape.dims().end());
  dims[0] = count;
  result.shape = Shape(dims);
  result.bytes = tensor.bytes.subspan(at(first) * row_bytes, at(count) * row_bytes);
  return result;
}

WeightPart rows_of(const WeightPart& part, int64_t first, int64_t count) {
  WeightPart result = part;
  result.rows = count;
  result.data = rows_of(part.data, first, count, part.rows);
  result.scales = rows_of(part.scales, first, count, part.rows);
  return result;
}

WeightPart elements_of(const WeightPart& vector, int64_t first, int64_t count) {
  WeightPart result = vector;
  result.columns = count;
  result.data.shape = Shape({1, count});
  result.data.bytes =
      vector.data.bytes.subspan(at(first) * sizeof(float), at(count) * sizeof(float));
  return result;
}

// Bytes [first, first + count) of every row.
Tensor byte_columns(const Tensor& tensor, int64_t rows, int64_t first, int64_t count, Shape shape) {
  const size_t row_bytes = tensor.bytes.size() / at(rows);
  auto storage = std::make_shared<std::vector<std::byte>>();
  storage->reserve(at(rows * count));
  for (int64_t row = 0; row < rows; ++row) {
    const auto bytes = tensor.bytes.subspan(at(row) * row_bytes + at(first), at(count));
    storage->insert(storage->end(), bytes.begin(), bytes.end());
  }
  return {tensor.dtype, shape, *storage, storage};
}

Result<WeightPart> columns_of(const WeightPart& part, const Range& columns) {
  if (columns.first == 0 && columns.count == part.columns) return part;
  WeightPart result = part;
  result.columns = columns.count;
  const bool is_int4 = part.format == WeightFormat::w4a16 || part.format == WeightFormat::w4a8;
  if (is_int4) {
    const int64_t group = part.group > 0 ? part.group : part.columns;
    if (columns.first % group != 0 || columns.count % group != 0 || group % 2 != 0) {
      return fail(
          ErrorCode::unsupported,
          "{} columns from {} on are no whole groups of {} int4 columns: use another number "
          "of ranks",
          columns.count, columns.first, group);
    }
    result.scales = byte_columns(part.scales, part.rows, columns.first / group * 4,
                                 columns.count / group * 4, {part.rows, columns.count / group});
    result.data = byte_columns(part.data, part.rows, columns.first / 2, columns.count / 2,
                               {part.rows, columns.count});
    return result;
  }
  const auto element = static_cast<int64_t>(part.data.bytes.size()) / (part.rows * part.columns);
  result.data = byte_columns(part.data, part.rows, columns.first * element, columns.count * element,
                             {part.rows, columns.count});
  return result;
}

}  // namespace

Result<ShardedProgram> shard(const Program& program, int32_t rank, int32_t size) {
  LOTSE_CHECK(rank >= 0 && rank < size);
  return Sharder(program, rank, size).run();
}

Result<Weight> take_share(const Weight& weight, WeightRole role, const WeightShare& share) {
  const bool is_vector = role == WeightRole::vector;
  Weight result;
  for (const Range& range : share.rows) {
    int64_t begin = 0;
    for (const WeightPart& part : weight.parts) {
      const int64_t length = is_vector ? part.columns : part.rows;
      const int64_t first = std::max(range.first - begin, int64_t{0});
      const int64_t last = std::min(range.first + range.count - begin, length);
      begin += length;
      if (first >= last) continue;
      result.parts.push_back(
          is_vector ? elements_of(part, first, last - first)
                    : LOTSE_TRY(columns_of(rows_of(part, first, last - first), share.columns)));
    }
  }
  return result;
}

}  // namespace lotse
