// aclnnFusedInferAttentionScoreV2: what it takes. attention_kernel.cc computes.
#include "aclnnop/attention.h"

#include <algorithm>
#include <string_view>

#include "ops/attention_kernel.h"

namespace lotse::emulator {
namespace {

constexpr int64_t kMostHeads = 256, kMostHeadSize = 512, kMostGroup = 64;
constexpr int64_t kTriangle = 2048;               // rows and columns of the masks of modes 2 to 4
constexpr int64_t kUnbounded = int64_t{1} << 40;  // more tokens than there are
constexpr int64_t kLeastBlock = 128, kMostBlock = 512;

void refuse(const Op& op, const char* argument, const void* given) {
  op.require(given == nullptr, "argument {}: it is not emulated; pass null", argument);
}

std::vector<int64_t> optional_ints(Op& op, const char* argument, const aclIntArray* array) {
  return array == nullptr ? std::vector<int64_t>() : op.ints(argument, array);
}

struct Layout4 {
  Arrangement query, out;
};

Layout4 layout_of(const Op& op, const char* text) {
  if (text == nullptr) fail(kNullArgument, "argument inputLayout is null");
  const std::string_view name = text;
  if (name == "BSH") return {Arrangement::bsh, Arrangement::bsh};
  if (name == "BSND") return {Arrangement::bsnd, Arrangement::bsnd};
  if (name == "BNSD") return {Arrangement::bnsd, Arrangement::bnsd};
  op.require(name == "BNSD_BSND",
             "argument inputLayout: got {}, expected BSH, BSND, BNSD or BNSD_BSND", name);
  return {Arrangement::bnsd, Arrangement::bsnd};
}

Dims shape_of(Arrangement form, int64_t batch, int64_t tokens, int64_t heads, int64_t size) {
  switch (form) {
    case Arrangement::bsh:
      return {batch, tokens, heads * size};
    case Arrangement::bsnd:
      return {batch, tokens, heads, size};
    case Arrangement::bnsd:
      break;
  }
  return {batch, heads, tokens, size};
}

int64_t tokens_of(Arrangement form, const Tensor& tensor) {
  return tensor.size(form == Arrangement::bnsd ? 2 : 1);
}

void describe_query(Op& op, Attention& a, int64_t heads, int64_t kv_heads) {
  a.heads = heads;
  a.kv_heads = kv_heads == 0 ? heads : kv_heads;
  op.require(heads >= 1 && heads <= kMostHeads, "argument numHeads: got {}, expected 1 to {}",
             heads, kMostHeads);
  op.require(a.kv_heads >= 1 && heads % a.kv_heads == 0 && heads / a.kv_heads <= kMostGroup,
             "argument numKeyValueHeads: got {}, expected a divisor of numHeads {} that leaves at "
             "most {} query heads for each",
             kv_heads, heads, kMostGroup);
  const int64_t rank = a.query_form == Arrangement::bsh ? 3 : 4;
  op.expect_rank(a.query, rank, rank);
  a.batch = a.query.size(0);
  a.queries = tokens_of(a.query_form, a.query);
  const int64_t last = a.query.dims().back();
  op.require(a.query_form != Arrangement::bsh || last % heads == 0,
             "{}, whose last dimension is no multiple of numHeads {}", a.query.text(), heads);
  a.head_size = a.query_form == Arrangement::bsh ? last / heads : last;
  const Dims expected = shape_of(a.query_form, a.batch, a.queries, heads, a.head_size);
  op.require(a.query.dims() == expected, "{}, expected {} of numHeads {}", a.query.text(),
             text_of(expected), heads);
  op.require(a.head_size >= 1 && a.head_size <= kMostHeadSize,
             "{}: heads of {} elements, expected 1 to {}", a.query.text(), a.head_size,
             kMostHeadSize);
  op.expect_shape(a.out, shape_of(a.out_form, a.batch, a.queries, heads, a.head_size));
}

// Keys or values, which agree in everything.
void describe_cache(Op& op, const Attention& a, const std::vector<Tensor>& tensors) {
  const bool paged = a.block_size > 0;
  const auto listed = std::ssize(tensors);
  op.require(listed == 1 || (!paged && listed == a.batch),
             "argument key or value: got {} tensors, expected 1{}", listed,
             paged ? "" : ", or one for each batch");
  for (const Tensor& tensor : tensors) {
    const int64_t multiple = tensor.dtype() == ACL_INT8 ? 32 : 16;
    op.require(a.head_size % multiple == 0,
               "{}: heads of {} elements, expected a multiple of {} for {}", tensor.text(),
               a.head_size, multiple, name_of(tensor.dtype()));
    op.require(tensor.dtype() == a.query.dtype() || tensor.dtype() == ACL_INT8,
               "{}, expected {} as query, or INT8", tensor.text(), name_of(a.query.dtype()));
    const int64_t rank = a.cache_form == Arrangement::bsh ? 3 : 4;
    op.expect_rank(tensor, rank, rank);
    const int64_t outer = paged ? tensor.size(0) : listed == 1 ? a.batch : 1;
    const int64_t tokens = paged ? a.block_size : tokens_of(a.cache_form, tensor);
    op.expect_shape(tensor, shape_of(a.cache_form, outer, tokens, a.kv_heads, a.head_size));
  }
}

void describe_caches(Op& op, Attention& a, const aclTensorList* key, const aclTensorList* value,
                     const aclTensor* blockTable, int64_t blockSize) {
  a.keys = op.in_list("key", key, kHalf | DtypeSet{ACL_INT8});
  a.values = op.in_list("value", value, kHalf | DtypeSet{ACL_INT8});
  op.require(!a.keys.empty() && a.keys.size() == a.values.size(),
             "argument value: got {} tensors, but key has {}", a.values.size(), a.keys.size());
  a.block_table = op.optional_in("blockTable", blockTable, {ACL_INT32});
  a.cache_form = a.query_form;
  if (a.block_table.present()) {
    op.require(blockSize >= kLeastBlock && blockSize <= kMostBlock && blockSize % kLeastBlock == 0,
               "argument blockSize: got {}, expected a multiple of {} from {} to {}", blockSize,
               kLeastBlock, kLeastBlock, kMostBlock);
    a.block_size = blockSize;
    op.expect_rank(a.block_table, 2, 2);
    op.expect_shape(a.block_table, {a.batch, a.block_table.size(1)});
    // Queries of BSH and BSND take (blocks, blockSize, H) only; BNSD takes either.
    const bool by_heads = a.query_form == Arrangement::bnsd && a.keys[0].rank() == 4;
    a.cache_form = by_heads ? Arrangement::bnsd : Arrangement::bsh;
  }
  describe_cache(op, a, a.keys);
  describe_cache(op, a, a.values);
  op.require(a.keys[0].dtype() == a.values[0].dtype(), "{}, but key is {}", a.values[0].text(),
             name_of(a.keys[0].dtype()));
  a.keys_size = a.block_size > 0 ? a.block_table.size(1) * a.block_size : 0;
  for (size_t i = 0; i < a.keys.size() && a.block_size == 0; ++i) {
    a.keys_size = std::max(a.keys_size, tokens_of(a.cache_form, a.keys[i]));
    op.expect_shape(a.values[i], a.keys[i].dims());
  }
}

// One length a batch: as given, one for all, or `whole`.
std::vector<int64_t> lengths_of(Op& op, const char* argument, const aclIntArray* array,
                                const Attention& a, const std::vector<int64_t>& whole) {
  std::vector<int64_t> lengths = optional_ints(op, argument, array);
  if (lengths.empty()) return whole;
  if (lengths.size() == 1) lengths.resize(whole.size(), lengths[0]);
  op.require(lengths.size() >= whole.size(), "argument {}: got {} lengths, expected {}", argument,
             lengths.size(), a.batch);
  lengths.resize(whole.size());
  for (size_t b = 0; b < whole.size(); ++b) {
    op.require(lengths[b] >= 0 && lengths[b] <= whole[b],
               "argument {}: got {} for batch {}, expected 0 to {}", argument, lengths[b], b,
               whole[b]);
  }
  return lengths;
}

void describe_lengths(Op& op, Attention& a, const aclIntArray* queries, const aclIntArray* keys) {
  const auto batch = static_cast<size_t>(a.batch);
  a.query_lengths =
      lengths_of(op, "actualSeqLengths", queries, a, std::vector<int64_t>(batch, a.queries));
  op.require(a.block_size == 0 || keys != nullptr,
             "argument actualSeqLengthsKv is null, but blockTable needs it");
  std::vector<int64_t> whole(batch, a.keys_size);
  for (size_t b = 0; a.keys.size() > 1 && b < batch; ++b) {
    whole[b] = tokens_of(a.cache_form, a.keys[b]);
  }
  a.key_lengths = lengths_of(op, "actualSeqLengthsKv", keys, a, whole);
}

void describe_mask(Op& op, Attention& a, const aclTensor* mask, int64_t mode) {
  op.require(mode >= 0 && mode <= 4, "argument sparseMode: got {}, expected 0 to 4", mode);
  a.sparse = static_cast<Sparse>(mode);
  a.mask = op.optional_in("attenMask", mask, {ACL_BOOL, ACL_INT8, ACL_UINT8});
  if (mode >= 2) {
    op.require(a.mask.present(), "argument attenMask is null, but sparseMode {} needs [{}, {}]",
               mode, kTriangle, kTriangle);
    const Dims& dims = a.mask.dims();
    op.require(dims == Dims{kTriangle, kTriangle} || dims == Dims{1, kTriangle, kTriangle} ||
                   dims == Dims{1, 1, kTriangle, kTriangle},
               "{}, expected shape [{}, {}] for sparseMode {}", a.mask.text(), kTriangle, kTriangle,
               mode);
    return;
  }
  op.require(a.mask.present() || mode == 0,
             "argument attenMask is null, but sparseMode 1 needs it");
  if (!a.mask.present()) return;
  const int64_t rank = a.mask.rank();
  op.expect_rank(a.mask, 2, 4);
  const bool by_batch = rank == 2 && a.queries == 1 && a.mask.size(0) == a.batch;
  const int64_t outer = rank == 2 ? 1 : a.mask.size(0);
  const int64_t longest = *std::ranges::max_element(a.key_lengths);
  op.require((outer == 1 || outer == a.batch) && (rank < 4 || a.mask.size(1) == 1) &&
                 (by_batch || a.mask.size(rank - 2) >= a.queries) &&
                 a.mask.dims().back() >= longest,
             "{}, expected at least {} queries by {} keys, for all batches or for each of {}",
             a.mask.text(), a.queries, longest, a.batch);
}

void describe_shift(Op& op, Attention& a, const aclTensor* pse) {
  a.pse = op.optional_in("pseShift", pse, kHalf);
  if (!a.pse.present()) return;
  op.expect_rank(a.pse, 4, 4);
  op.expect_dtype(a.pse, a.query.dtype());
  const int64_t longest = *std::ranges::max_element(a.key_lengths);
  op.require((a.pse.size(0) == 1 || a.pse.size(0) == a.batch) && a.pse.size(1) == a.heads &&
                 a.pse.size(2) >= a.queries && a.pse.size(3) >= longest,
             "{}, expected [1 or {}, {}, at least {}, at least {}]", a.pse.text(), a.batch, a.heads,
             a.queries, longest);
}

struct Scales {
  const char* name;
  const aclTensor *scale, *offset;
  int64_t mode;
};

Antiquant antiquant_of(Op& op, const Attention& a, const Scales& given, int64_t part) {
  Antiquant quant;
  quant.part = part;
  op.require(given.mode == 0 || given.mode == 1,
             "argument {}: mode {} is not emulated; 0 (by channel) and 1 (by token) are",
             given.name, given.mode);
  quant.per_token = given.mode == 1;
  const aclDataType type = quant.per_token ? ACL_FLOAT : a.query.dtype();
  quant.scale = op.in(given.name, given.scale, {type});
  quant.offset = op.optional_in(given.name, given.offset, {type});
  const int64_t share = part < 0 ? 1 : 2;
  const int64_t channels = a.kv_heads * a.head_size;
  op.require(part < 0 || (quant.scale.rank() > 1 && quant.scale.size(0) == 2),
             "{}, expected 2 as its first dimension: keys and values", quant.scale.text());
  const int64_t count = quant.scale.count() / share;
  if (quant.per_token) {
    op.require(count == a.batch * quant.scale.dims().back() &&
                   quant.scale.dims().back() >= *std::ranges::max_element(a.key_lengths),
               "{}, expected one for each of {} batches and at least {} keys", quant.scale.text(),
               a.batch, *std::ranges::max_element(a.key_lengths));
  } else {
    op.require(count == 1 || count == channels, "{}, expected 1 or {} elements, heads by head size",
               quant.scale.text(), channels);
  }
  if (quant.offset.present()) op.expect_shape(quant.offset, quant.scale.dims());
  return quant;
}

void describe_antiquant(Op& op, Attention& a, const Scales& both, const Scales& keys,
                        const Scales& values) {
  const bool quantised = a.keys[0].dtype() == ACL_INT8;
  const bool given = both.scale != nullptr || keys.scale != nullptr || values.scale != nullptr;
  op.require(quantised == given, "{}, {}", a.keys[0].text(),
             quantised ? "which needs antiquantScale, or keyAntiquantScale and valueAntiquantScale"
                       : "but scales for INT8 are given");
  if (!quantised) return;
  const bool apart = keys.scale != nullptr;
  a.key_scales = antiquant_of(op, a, apart ? keys : both, apart ? -1 : 0);
  a.value_scales = antiquant_of(op, a, apart ? values : both, apart ? -1 : 1);
}

// Products over the keys that are there; masked halves of a triangle are skipped.
void describe_cost(Op& op, const Attention& a) {
  double pairs = 0, keys = 0;
  for (size_t b = 0; b < a.key_lengths.size(); ++b) {
    const auto q = static_cast<double>(a.query_lengths[b]);
    const auto k = static_cast<double>(a.key_lengths[b]);
    keys += k;
    pairs += a.sparse == Sparse::right_down && k >= q ? q * k - q * (q - 1) / 2 : q * k;
  }
  const auto width = static_cast<double>(a.head_size), heads = static_cast<double>(a.heads);
  op.cost().cube_ops = 4 * pairs * heads * width;
  op.cost().cube_rate = CubeRate::f16;
  op.cost().vector_ops = 5 * pairs * heads;
  op.cost().launch = Launch::attention;
  op.cost().bytes = 2 * static_cast<double>(bytes_of(a.query.dtype(), a.query.count())) +
                    2 * keys * static_cast<double>(a.kv_heads) * width *
                        static_cast<double>(bits_of(a.keys[0].dtype())) / 8;
}

}  // namespace

// clang-format off
ACLNN(aclnnFusedInferAttentionScoreV2, const aclTensor* query, const aclTensorList* key, const aclTensorList* value, const aclTensor* pseShift, const aclTensor* attenMask, const aclIntArray* actualSeqLengths, const aclIntArray* actualSeqLengthsKv, const aclTensor* deqScale1, const aclTensor* quantScale1, const aclTensor* deqScale2, const aclTensor* quantScale2, const aclTensor* quantOffset2, const aclTensor* antiquantScale, const aclTensor* antiquantOffset, const aclTensor* blockTable, const aclTensor* queryPaddingSize, const aclTensor* kvPaddingSize, const aclTensor* keyAntiquantScale, const aclTensor* keyAntiquantOffset, const aclTensor* valueAntiquantScale, const aclTensor* valueAntiquantOffset, const aclTensor* keySharedPrefix, const aclTensor* valueSharedPrefix, const aclIntArray* actualSharedPrefixLen, int64_t numHeads, double scaleValue, int64_t preTokens, int64_t nextTokens, char* inputLayout, int64_t numKeyValueHeads, int64_t sparseMode, int64_t innerPrecise, int64_t blockSize, int64_t antiquantMode, bool softmaxLseFlag, int64_t keyAntiquantMode, int64_t valueAntiquantMode, const aclTensor* attentionOut, const aclTensor* softmaxLse) {
  // clang-format on
  refuse(op, "deqScale1", deqScale1);
  refuse(op, "quantScale1", quantScale1);
  refuse(op, "deqScale2", deqScale2);
  refuse(op, "quantScale2", quantScale2);
  refuse(op, "quantOffset2", quantOffset2);
  refuse(op, "queryPaddingSize", queryPaddingSize);
  refuse(op, "kvPaddingSize", kvPaddingSize);
  refuse(op, "keySharedPrefix", keySharedPrefix);
  refuse(op, "valueSharedPrefix", valueSharedPrefix);
  refuse(op, "actualSharedPrefixLen", actualSharedPrefixLen);
  op.require(innerPrecise >= 0 && innerPrecise <= 3,
             "argument innerPrecise: got {}, expected 0 to 3", innerPrecise);
  Attention a;
  const Layout4 layout = layout_of(op, inputLayout);
  a.query_form = layout.query;
  a.out_form = layout.out;
  a.scale = static_cast<float>(scaleValue);
  a.pre = std::clamp(preTokens, -kUnbounded, kUnbounded);
  a.next = std::clamp(nextTokens, -kUnbounded, kUnbounded);
  a.query = op.in("query", query, kHalf);
  a.out = op.out("attentionOut", attentionOut, kHalf);
  op.expect_dtype(a.out, a.query.dtype());
  describe_query(op, a, numHeads, numKeyValueHeads);
  describe_caches(op, a, key, value, blockTable, blockSize);
  describe_lengths(op, a, actualSeqLengths, actualSeqLengthsKv);
  if (a.batch > 0) {
    describe_mask(op, a, attenMask, sparseMode);
    describe_shift(op, a, pseShift);
    describe_antiquant(
        op, a, {"antiquantScale", antiquantScale, antiquantOffset, antiquantMode},
        {"keyAntiquantScale", keyAntiquantScale, keyAntiquantOffset, keyAntiquantMode},
        {"valueAntiquantScale", valueAntiquantScale, valueAntiquantOffset, valueAntiquantMode});
  }
  if (softmaxLseFlag) {
    a.lse = op.out("softmaxLse", softmaxLse, {ACL_FLOAT});
    op.expect_shape(a.lse, {a.batch, a.heads, a.queries, 1});
  }
  describe_cost(op, a);
  op.compute([a] { run_attention(a); });
}
ACLNN_END

}  // namespace lotse::emulator
