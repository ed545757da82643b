// aclnnGroupedMatmulV4: products of groups of rows, each with its own weight.
#include <algorithm>
#include <vector>

#include "aclnnop/moe.h"
#include "ops/dequantise.h"
#include "ops/int4.h"
#include "ops/quant.h"
#include "runtime/handles.h"
#include "runtime/stream.h"

namespace lotse::emulator {
namespace {

constexpr size_t kMostTensors = 128;
constexpr int64_t kMostGroups = 1024;  // of one weight
constexpr int64_t kInnerLimit = 65536;
constexpr DtypeSet kPackedScale = {ACL_UINT64, ACL_INT64};
constexpr DtypeSet kPlain = {ACL_FLOAT, ACL_FLOAT16, ACL_BF16};

// Tensors of a list that may be null or empty; add(name, tensor) takes one.
template <class Add>
std::vector<Tensor> list_of(Op& op, const char* argument, const aclTensorList* list,
                            const Add& add) {
  std::vector<Tensor> tensors;
  if (list == nullptr) return tensors;
  check_handle(list, HandleKind::tensor_list, argument, kInvalidArgument);
  op.require(list->tensors.size() <= kMostTensors,
             "argument {}: got {} tensors, expected at most {}", argument, list->tensors.size(),
             kMostTensors);
  for (size_t i = 0; i < list->tensors.size(); ++i) {
    tensors.push_back(add(fmt::format("{}[{}]", argument, i).c_str(), list->tensors[i]));
  }
  return tensors;
}

std::vector<Tensor> inputs(Op& op, const char* argument, const aclTensorList* list, DtypeSet types,
                           Layout layout = Layout::strided) {
  return list_of(op, argument, list, [&](const char* name, const aclTensor* tensor) {
    return op.in(name, tensor, types, layout);
  });
}

void refuse(const Op& op, const char* argument, const aclTensorList* list) {
  op.require(list == nullptr || list->tensors.empty(),
             "argument {}: it is not emulated; pass null or no tensors", argument);
}

enum ListType : int64_t { kEnds = 0, kSizes = 1, kPairs = 2 };

struct GroupedMatmul {
  std::vector<Tensor> x, weight, bias, scale, antiquant_scale, antiquant_offset, token_scale, out;
  Tensor group_list;
  bool by_rows = false;  // one x whose rows are grouped, else a product for each tensor
  int64_t list_type = kEnds;
  int64_t groups = 0;

  bool quantised() const { return x[0].dtype() == ACL_INT8; }
  bool weight_quantised() const { return !quantised() && !kPlain.contains(weight[0].dtype()); }

  // The tensor of group e: its own, or a slice of one for all.
  static View part(const std::vector<Tensor>& tensors, int64_t e) {
    if (tensors.size() > 1) return unpacked_view(tensors[static_cast<size_t>(e)]);
    return unpacked_view(tensors[0]).select(0, e);
  }
  View weight_of(int64_t e) const {
    const bool one = weight.size() == 1 && weight[0].rank() == 2;
    return one ? unpacked_view(weight[0]) : part(weight, e);
  }
  // Numbers of group e for `n` columns, in rows when there are several.
  std::vector<float> numbers(const std::vector<Tensor>& tensors, int64_t e) const {
    if (tensors.empty()) return {};
    const bool one = tensors.size() == 1 && groups == 1 && tensors[0].rank() == 1;
    const View view = one ? tensors[0].view() : part(tensors, e);
    if (!kPackedScale.contains(view.dtype())) return read<float>(view);
    std::vector<float> values;
    for (const int64_t packed : read<int64_t>(view)) values.push_back(packed_scale(packed));
    return values;
  }
};

// Rows of x that belong to one group.
struct Rows {
  int64_t group, first, count;
};

std::vector<Rows> rows_of(const GroupedMatmul& g, int64_t rows) {
  const std::vector<int64_t> list = read<int64_t>(g.group_list.view());
  std::vector<Rows> result;
  int64_t first = 0;
  for (int64_t i = 0; i < g.group_list.size(0); ++i) {
    const int64_t group = g.list_type == kPairs ? list[static_cast<size_t>(2 * i)] : i;
    const int64_t value = list[static_cast<size_t>(g.list_type == kPairs ? 2 * i + 1 : i)];
    const int64_t next = g.list_type == kEnds ? value : first + value;
    if (next < first || next > rows || group < 0 || group >= g.groups) {
      fail(kCubeFault,
           "argument groupListOptional: group {} of {} ends at row {} after row {} of {}", group,
           g.groups, next, first, rows);
    }
    if (next > first) result.push_back({group, first, next - first});
    first = next;
  }
  return result;
}

// Time for the weights of the groups that have rows: the others stay where they are.
void expect_time_of(const GroupedMatmul& g, const std::vector<Rows>& used, Cost cost) {
  const auto times = [&](const std::vector<Tensor>& tensors) {
    double bytes = 0;
    for (const Tensor& tensor : tensors) {
      bytes += static_cast<double>(bytes_of(tensor.dtype(), tensor.count()));
    }
    return bytes;
  };
  double rows = 0;
  for (const Rows& part : used) rows += static_cast<double>(part.count);
  const double share = static_cast<double>(used.size()) / static_cast<double>(g.groups);
  cost.bytes = times(g.weight) * share + times(g.x) + times(g.out);
  cost.cube_ops *= rows / static_cast<double>(std::max<int64_t>(g.x[0].size(0), 1));
  running_timing().duration = duration_of(cost);
}

void multiply_integers(const GroupedMatmul& g, int64_t e, const View& x, const View& out,
                       const std::vector<float>& token_scales) {
  const std::vector<float> scales = g.numbers(g.scale, e);
  std::vector<int64_t> bias;
  if (!g.bias.empty()) bias = read<int64_t>(GroupedMatmul::part(g.bias, e));
  const auto finish = [&](int64_t row, int64_t column, int64_t count, int32_t* sums) {
    const auto c = static_cast<size_t>(column);
    for (size_t i = 0; !bias.empty() && i < static_cast<size_t>(count); ++i) {
      sums[i] += static_cast<int32_t>(bias[c + i]);
    }
    const int64_t stride = out.strides()[1], index = out.row_index(row) + column * stride;
    if (out.dtype() == ACL_INT32) return out.store(index, stride, count, sums);
    const float token = token_scales.empty() ? 1 : token_scales[static_cast<size_t>(row)];
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = scales[scales.size() == 1 ? 0 : c + i];
      values[i] = static_cast<float>(sums[i]) * scale * token;
    }
    if (out.dtype() == ACL_INT8) {
      for (float& value : values) value = whole_within(value, -128, 127);
    }
    out.store(index, stride, count, values.data());
  };
  multiply<int32_t>(x, g.weight_of(e), InputRounding::none, finish);
}

void multiply_floats(const GroupedMatmul& g, int64_t e, const View& x, const View& out) {
  const View weight = g.weight_of(e);
  const std::vector<float> bias = g.numbers(g.bias, e);
  GroupScales groups{g.numbers(g.antiquant_scale, e), g.numbers(g.antiquant_offset, e), 1,
                     weight.size(1)};
  if (!groups.scales.empty()) {
    const auto count = std::ssize(groups.scales) / groups.columns;
    groups.group = (weight.size(0) + count - 1) / count;
  }
  const auto finish = [&](int64_t row, int64_t column, int64_t count, float* values) {
    for (int64_t i = 0; !bias.empty() && i < count; ++i) {
      values[i] += bias[static_cast<size_t>(column + i)];
    }
    const int64_t stride = out.strides()[1];
    out.store(out.row_index(row) + column * stride, stride, count, values);
  };
  multiply<float>(x, weight, InputRounding::none, finish,
                  groups.scales.empty() ? PanelTransform() : dequantiser(groups, x.dtype()));
}

void run(const GroupedMatmul& g, const Cost& cost) {
  std::vector<float> tokens;
  if (!g.token_scale.empty()) tokens = read<float>(g.token_scale[0].view());
  const auto product = [&](int64_t e, const View& x, const View& out, int64_t first) {
    if (x.size(0) == 0) return;
    if (!g.quantised()) return multiply_floats(g, e, x, out);
    const auto begin = tokens.begin() + (tokens.empty() ? 0 : first);
    multiply_integers(g, e, x, out, {begin, tokens.end()});
  };
  if (!g.by_rows) {
    for (int64_t e = 0; e < g.groups; ++e) {
      const auto i = static_cast<size_t>(e);
      product(e, g.x[i].view(), g.out[i].view(), 0);
    }
    return;
  }
  const View x = g.x[0].view(), out = g.out[0].view();
  const std::vector<Rows> used = rows_of(g, x.size(0));
  expect_time_of(g, used, cost);
  for (const Rows& part : used) {
    product(part.group, x.slice(0, part.first, part.count), out.slice(0, part.first, part.count),
            part.first);
  }
}

// [k, n] of each group's weight.
Dims describe_weights(Op& op, GroupedMatmul& g) {
  for (const Tensor& tensor : g.weight) {
    if (!kPlain.contains(tensor.dtype()) && tensor.dtype() != ACL_INT8) expect_packed(op, tensor);
  }
  const bool together = g.by_rows && g.weight.size() == 1;
  const int64_t rank = together ? 3 : 2;
  for (const Tensor& tensor : g.weight) op.expect_rank(tensor, rank, rank);
  if (g.by_rows) {
    g.groups = together ? g.weight[0].size(0) : std::ssize(g.weight);
    const bool pairs = g.list_type == kPairs;
    op.expect_shape(g.group_list, pairs ? Dims{g.groups, 2} : Dims{g.groups});
    op.require(g.groups <= kMostGroups, "{}: got {} groups, expected at most {}",
               g.weight[0].text(), g.groups, kMostGroups);
  }
  Dims dims = unpacked_dims(g.weight[0]);
  if (together) dims.erase(0);
  for (const Tensor& tensor : g.weight) {
    op.require(!g.by_rows || together || unpacked_dims(tensor) == dims, "{}, but {} is {}",
               tensor.text(), g.weight[0].argument(), g.weight[0].desc().text());
    op.expect_dtype(tensor, g.weight[0].dtype());
  }
  return dims;
}

// The scales that INT8 products of each result take.
DtypeSet scales_for(aclDataType out) {
  if (out == ACL_BF16) return {ACL_BF16};
  if (out == ACL_FLOAT16) return {ACL_FLOAT};
  return kPackedScale;
}

void describe_integers(Op& op, const GroupedMatmul& g) {
  const aclDataType out = g.out[0].dtype();
  op.expect_dtype(g.weight[0], ACL_INT8);
  op.require(out != ACL_FLOAT, "{}, which INT8 does not give", g.out[0].text());
  op.require(g.scale.empty() == (out == ACL_INT32), "argument scaleOptional: {} of INT8 needs {}",
             g.out[0].text(), out == ACL_INT32 ? "none" : "it");
  for (const Tensor& scale : g.scale) {
    op.require(scales_for(out).contains(scale.dtype()), "{}, but {} takes {}", scale.text(),
               g.out[0].text(), names_of(scales_for(out)));
  }
  op.require(g.token_scale.empty() || out == ACL_BF16 || out == ACL_FLOAT16,
             "argument perTokenScaleOptional: it goes with BF16 and FLOAT16, but {}",
             g.out[0].text());
  for (const Tensor& bias : g.bias) op.expect_dtype(bias, ACL_INT32);
}

void describe_types(Op& op, const GroupedMatmul& g) {
  const aclDataType x = g.x[0].dtype();
  if (soc().is_310p()) {
    op.require(x == ACL_FLOAT16 && g.weight[0].dtype() == ACL_FLOAT16 &&
                   g.weight[0].desc().is_fractal() && g.by_rows,
               "{} and {}, but {} supports FLOAT16 with weights in FRACTAL_NZ and groupType 0",
               g.x[0].text(), g.weight[0].text(), soc().name);
  }
  if (g.quantised()) return describe_integers(op, g);
  op.require(g.scale.empty() && g.token_scale.empty(),
             "argument scaleOptional or perTokenScaleOptional: they go with INT8, but x is {}",
             name_of(x));
  op.require(x != ACL_FLOAT || g.weight.size() == 1,
             "{}, which goes with one weight, but there are {}", g.x[0].text(), g.weight.size());
  op.expect_dtype(g.out[0], x);
  for (const Tensor& bias : g.bias) op.expect_dtype(bias, x == ACL_BF16 ? ACL_FLOAT : x);
  if (!g.weight_quantised()) {
    op.expect_dtype(g.weight[0], x);
    op.require(g.antiquant_scale.empty() && g.antiquant_offset.empty(),
               "argument antiquantScaleOptional: it goes with weights of INT8 or INT4");
    return;
  }
  op.require(kHalf.contains(x) && !g.antiquant_scale.empty(),
             "{}, which needs x of FLOAT16 or BF16 and antiquantScaleOptional", g.weight[0].text());
  for (const Tensor& scale : g.antiquant_scale) op.expect_dtype(scale, x);
  for (const Tensor& offset : g.antiquant_offset) op.expect_dtype(offset, x);
}

// Lists with numbers for each group's columns.
void describe_numbers(Op& op, const GroupedMatmul& g, const std::vector<Tensor>& tensors, int64_t n,
                      bool in_rows) {
  if (tensors.empty()) return;
  const bool together = tensors.size() == 1 && (g.by_rows || tensors[0].rank() > 1);
  op.require(together || std::ssize(tensors) == g.groups, "{}: got {} tensors, expected 1 or {}",
             tensors[0].text(), tensors.size(), g.groups);
  for (const Tensor& tensor : tensors) {
    const int64_t least = together ? 2 : 1;
    op.expect_rank(tensor, least, least + (in_rows ? 1 : 0));
    op.require(!together || tensor.size(0) == g.groups, "{}, expected {} groups", tensor.text(),
               g.groups);
    op.require(tensor.dims().back() == n || (!in_rows && tensor.dims().back() == 1),
               "{}, expected {} columns", tensor.text(), n);
  }
}

// Scales of INT4 may be shared by groups of the weight's rows, those of INT8 by all of a column.
void describe_antiquant(Op& op, const GroupedMatmul& g, const std::vector<Tensor>& tensors,
                        const Dims& weight) {
  describe_numbers(op, g, tensors, weight[1], true);
  const int64_t plain = g.by_rows && g.weight.size() == 1 ? 2 : 1;
  for (const Tensor& tensor : tensors) {
    if (tensor.rank() == plain) continue;
    op.require(g.weight[0].dtype() != ACL_INT8, "{}, but weights of INT8 take scales by column",
               tensor.text());
    const int64_t groups = tensor.size(tensor.rank() - 2);
    op.require(groups > 0 && weight[0] % groups == 0, "{}, whose groups do not divide {} rows",
               tensor.text(), weight[0]);
  }
}

void describe_shapes(Op& op, GroupedMatmul& g) {
  g.groups = std::ssize(g.x);
  const Dims first = describe_weights(op, g);
  int64_t rows = 0;
  double products = 0;
  for (size_t i = 0; i < g.x.size(); ++i) {
    op.expect_rank(g.x[i], 2, 2);
    op.expect_dtype(g.x[i], g.x[0].dtype());
    const Dims weight = g.by_rows ? first : unpacked_dims(g.weight[i]);
    op.require(g.x[i].size(1) == weight[0], "{}, expected {} columns, as its weight has rows",
               g.x[i].text(), weight[0]);
    op.require(weight[0] < kInnerLimit && weight[1] < kInnerLimit,
               "{}, whose dimensions must stay below {}", g.weight[0].text(), kInnerLimit);
    op.expect_shape(g.out[i], {g.x[i].size(0), weight[1]});
    op.expect_dtype(g.out[i], g.out[0].dtype());
    rows += g.x[i].size(0);
    products += static_cast<double>(g.x[i].size(0)) * static_cast<double>(weight[0]) *
                static_cast<double>(weight[1]);
  }
  const int64_t n = first[1];
  for (const auto* tensors : {&g.bias, &g.scale}) describe_numbers(op, g, *tensors, n, false);
  describe_antiquant(op, g, g.antiquant_scale, first);
  describe_antiquant(op, g, g.antiquant_offset, first);
  if (!g.token_scale.empty()) {
    op.require(g.by_rows && g.token_scale.size() == 1, "{}: it goes with one grouped x",
               g.token_scale[0].text());
    op.expect_shape(g.token_scale[0], {rows});
  }
  op.cost().cube_ops = 2 * products;
  op.cost().cube_rate = g.quantised()                 ? CubeRate::i8
                        : g.x[0].dtype() == ACL_FLOAT ? CubeRate::f32
                                                      : CubeRate::f16;
  op.cost().vector_ops = 0;
  op.cost().launch = g.quantised() ? Launch::quantised_matmul : Launch::matmul;
}

}  // namespace

// clang-format off
ACLNN(aclnnGroupedMatmulV4, const aclTensorList* x, const aclTensorList* weight, const aclTensorList* biasOptional, const aclTensorList* scaleOptional, const aclTensorList* offsetOptional, const aclTensorList* antiquantScaleOptional, const aclTensorList* antiquantOffsetOptional, const aclTensorList* perTokenScaleOptional, const aclTensor* groupListOptional, const aclTensorList* activationInputOptional, const aclTensorList* activationQuantScaleOptional, const aclTensorList* activationQuantOffsetOptional, int64_t splitItem, int64_t groupType, int64_t groupListType, int64_t actType, const aclTensorList* out, const aclTensorList* activationFeatureOutOptional, const aclTensorList* dynQuantScaleOutOptional) {
  // clang-format on
  refuse(op, "offsetOptional", offsetOptional);
  refuse(op, "activationInputOptional", activationInputOptional);
  refuse(op, "activationQuantScaleOptional", activationQuantScaleOptional);
  refuse(op, "activationQuantOffsetOptional", activationQuantOffsetOptional);
  refuse(op, "activationFeatureOutOptional", activationFeatureOutOptional);
  refuse(op, "dynQuantScaleOutOptional", dynQuantScaleOutOptional);
  op.require(groupType == -1 || groupType == 0,
             "argument groupType: got {}; -1 (none) and 0 (rows) are emulated", groupType);
  op.require(groupListType >= kEnds && groupListType <= kPairs,
             "argument groupListType: got {}, expected 0 (ends), 1 (sizes) or 2 (pairs)",
             groupListType);
  const int64_t split = groupType == 0 ? 2 : 0;
  op.require(splitItem == split || splitItem == split + 1,
             "argument splitItem: got {}, expected {} or {} for groupType {}", splitItem, split,
             split + 1, groupType);
  op.require(actType == 0, "argument actType: got {}; 0 (none) is emulated", actType);
  if (x == nullptr) fail(kNullArgument, "argument x is null");
  if (weight == nullptr) fail(kNullArgument, "argument weight is null");
  if (out == nullptr) fail(kNullArgument, "argument out is null");
  GroupedMatmul g;
  g.by_rows = groupType == 0;
  g.list_type = groupListType;
  g.x = inputs(op, "x", x, kPlain | DtypeSet{ACL_INT8});
  g.weight =
      inputs(op, "weight", weight, kPlain | DtypeSet{ACL_INT8, ACL_INT4, ACL_INT32}, Layout::any);
  g.bias = inputs(op, "biasOptional", biasOptional, kPlain | DtypeSet{ACL_INT32});
  g.scale =
      inputs(op, "scaleOptional", scaleOptional, kPackedScale | DtypeSet{ACL_FLOAT, ACL_BF16});
  g.antiquant_scale = inputs(op, "antiquantScaleOptional", antiquantScaleOptional, kHalf);
  g.antiquant_offset = inputs(op, "antiquantOffsetOptional", antiquantOffsetOptional, kHalf);
  g.token_scale = inputs(op, "perTokenScaleOptional", perTokenScaleOptional, {ACL_FLOAT});
  g.out = list_of(op, "out", out, [&](const char* name, const aclTensor* tensor) {
    return op.out(name, tensor, kPlain | DtypeSet{ACL_INT32, ACL_INT8});
  });
  if (g.by_rows) g.group_list = op.in("groupListOptional", groupListOptional, {ACL_INT64});
  const size_t tensors = g.by_rows ? 1 : g.weight.size();
  op.require(!g.weight.empty() && g.x.size() == tensors && g.out.size() == tensors,
             "arguments x and out: got {} and {} tensors, expected {} for groupType {} with {} "
             "weights",
             g.x.size(), g.out.size(), tensors, groupType, g.weight.size());
  op.require(g.list_type != kPairs || g.quantised(),
             "argument groupListType: 2 goes with x of INT8, but {}", g.x[0].text());
  describe_types(op, g);
  describe_shapes(op, g);
  op.compute([g, cost = op.cost()] { run(g, cost); });
}
ACLNN_END

}  // namespace lotse::emulator
