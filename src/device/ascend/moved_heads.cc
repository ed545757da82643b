#include "device/ascend/moved_heads.h"

namespace lotse::ascend {
namespace {

size_t at(auto index) { return static_cast<size_t>(index); }

}  // namespace

MovedHeads::MovedHeads(Context& context, const Program& program, const std::vector<bool>& is_fused)
    : context_(context), taken_by_(program.values.size()) {
  std::vector<int> readers(program.values.size());  // other than those that work in place on heads
  for (const Op& op : program.ops) {
    const auto* attention = std::get_if<Attention>(&op.operation);
    if (attention != nullptr && is_fused[at(attention->cache_layer)]) {
      taken_by_[at(attention->qkv)] = attention;
    }
    const auto* norm = std::get_if<RmsNorm>(&op.operation);
    const bool is_in_place =
        std::holds_alternative<Rope>(op.operation) || (norm != nullptr && norm->in == norm->out);
    if (is_in_place) continue;
    for (const ValueId id : inputs_of(op.operation)) ++readers[at(id)];
  }
  for (size_t id = 0; id < readers.size(); ++id) {
    if (readers[id] > 1) taken_by_[id] = nullptr;
  }
}

int64_t MovedHeads::query_columns(ValueId value) const {
  const Attention* attention = taken_by_[at(value)];
  return attention == nullptr ? 0 : attention->heads * attention->head_dim;
}

MovedHeads::Columns MovedHeads::columns_of(HeadPart part, ValueId value) const {
  const Attention& attention = *taken_by_[at(value)];
  const int64_t queries = attention.heads * attention.head_dim;
  if (part == HeadPart::queries) return {0, queries};
  return {queries, attention.kv_heads * attention.head_dim};
}

std::optional<HeadPart> MovedHeads::part_of(ValueId value, int64_t first_column,
                                            int64_t columns) const {
  if (taken_by_[at(value)] == nullptr || (value_ != kNone && value_ != value)) return std::nullopt;
  for (const HeadPart part : {HeadPart::queries, HeadPart::keys}) {
    const Columns own = columns_of(part, value);
    if (own.first == first_column && own.count == columns) return part;
  }
  return std::nullopt;
}

View MovedHeads::content(HeadPart part, ValueId value, const View& matrix) const {
  if (const View* view = moved(part)) return *view;
  const Columns own = columns_of(part, value);
  return matrix.as({matrix.shape[0], own.count}, matrix.strides, own.first);
}

Result<View> MovedHeads::become(HeadPart part, ValueId value, const View& matrix,
                                bool is_rotation) {
  const bool is_queries = part == HeadPart::queries;
  const std::array slots = is_queries ? std::array{Slot::normed_queries, Slot::query}
                                      : std::array{Slot::normed_keys, Slot::rotated_keys};
  const std::vector<int64_t> shape = {matrix.shape[0], columns_of(part, value).count};
  View view = LOTSE_TRY(context_.scratch.view(slots[is_rotation ? 1 : 0], matrix.type, shape));
  if (const View* now = moved(part); now != nullptr && now->data == view.data) {
    view = LOTSE_TRY(context_.scratch.view(slots[is_rotation ? 0 : 1], matrix.type, shape));
  }
  if (value_ == kNone) moved_ = {};
  value_ = value;
  moved_[at(part)] = view;
  return view;
}

const View* MovedHeads::moved(HeadPart part) const {
  const std::optional<View>& view = moved_[at(part)];
  return value_ == kNone || !view ? nullptr : &*view;
}

Result<void> MovedHeads::settle(ValueId value, const View& matrix) {
  if (value_ != value) return {};
  for (const HeadPart part : {HeadPart::queries, HeadPart::keys}) {
    const View* view = moved(part);
    if (view == nullptr) continue;
    const Columns own = columns_of(part, value);
    LOTSE_TRY(
        copy(context_, *view, matrix.as({matrix.shape[0], own.count}, matrix.strides, own.first)));
  }
  clear();
  return {};
}

}  // namespace lotse::ascend
