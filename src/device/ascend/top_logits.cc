#include "device/ascend/top_logits.h"

#include <algorithm>
#include <numeric>

namespace lotse::ascend {
namespace {

size_t at(int64_t index) { return static_cast<size_t>(index); }

}  // namespace

Result<TopLogits> TopSelector::select(Context& context, const View& logits, int64_t rows,
                                      const TopRequest& request) {
  const View used = logits.rows(0, rows);
  const int64_t count = request.count;
  // One more than is wanted shows whether the last has an equal, which the operator may prefer.
  const int64_t asked = count == 1 ? 1 : std::min(count + 1, used.shape[1]);
  View values;
  LOTSE_TRY(bring(context, used, asked, values));
  masses_.clear();
  if (request.temperature > 0) {
    LOTSE_TRY(bring_masses(context, used, values, request.temperature));
  }
  logits_.clear();
  tokens_.clear();
  for (int64_t row = 0; row < rows; ++row) {
    const auto first = at(row * asked);
    std::vector<size_t> order(at(asked));
    std::iota(order.begin(), order.end(), first);
    std::ranges::partial_sort(order, order.end(), [&](size_t a, size_t b) {
      return values_[a] > values_[b] || (values_[a] == values_[b] && indices_[a] < indices_[b]);
    });
    if (asked > count && values_[order[at(count)]] == values_[order[at(count - 1)]]) {
      LOTSE_TRY(settle_row(context, used, row, count));
      continue;
    }
    for (const size_t i : std::span(order).first(at(count))) {
      logits_.push_back(values_[i]);
      tokens_.push_back(static_cast<int32_t>(indices_[i]));
    }
  }
  return TopLogits{count, logits_, tokens_, masses_};
}

Result<void> TopSelector::bring(Context& context, const View& logits, int64_t asked, View& values) {
  Queue& queue = context.queue;
  const std::vector<int64_t> shape = {logits.shape[0], asked};
  values = LOTSE_TRY(context.scratch.view(Slot::scores, AclType::f32, shape));
  const View indices = LOTSE_TRY(context.scratch.view(Slot::keys, AclType::i64, shape));
  if (asked == 1) {
    LOTSE_TRY(queue.run(queue.library().max_dim, queue.tensor(logits), -1, true,
                        queue.tensor(values), queue.tensor(indices)));
  } else {
    LOTSE_TRY(queue.run(queue.library().topk, queue.tensor(logits), asked, -1, true, true,
                        queue.tensor(values), queue.tensor(indices)));
  }
  values_.resize(at(values.elements()));
  indices_.resize(values_.size());
  LOTSE_TRY(queue.download(values.data, std::as_writable_bytes(std::span(values_))));
  return queue.download(indices.data, std::as_writable_bytes(std::span(indices_)));
}

// Equal logits at the edge: the whole row decides.
Result<void> TopSelector::settle_row(Context& context, const View& logits, int64_t row,
                                     int64_t count) {
  const int64_t vocabulary = logits.shape[1];
  std::vector<float> whole(at(vocabulary));
  LOTSE_TRY(context.queue.download(logits.data + bytes_of(AclType::f32, row * vocabulary),
                                   std::as_writable_bytes(std::span(whole))));
  std::vector<int32_t> order(whole.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::partial_sort(order, order.begin() + count, [&](int32_t a, int32_t b) {
    return whole[at(a)] > whole[at(b)] || (whole[at(a)] == whole[at(b)] && a < b);
  });
  for (const int32_t token : std::span(order).first(at(count))) {
    logits_.push_back(whole[at(token)]);
    tokens_.push_back(token);
  }
  return {};
}

Result<void> TopSelector::bring_masses(Context& context, const View& logits, const View& values,
                                       float temperature) {
  Queue& queue = context.queue;
  const Library& library = queue.library();
  const int64_t rows = logits.shape[0];
  const View powers =
      LOTSE_TRY(context.scratch.view(Slot::probabilities, AclType::f32, logits.shape));
  const View largest = values.as({rows, 1}, values.strides);
  LOTSE_TRY(queue.run(library.add, queue.tensor(logits), queue.tensor(largest), queue.scalar(-1),
                      queue.tensor(powers)));
  LOTSE_TRY(queue.run(library.inplace_muls, queue.tensor(powers), queue.scalar(1 / temperature)));
  LOTSE_TRY(queue.run(library.exp, queue.tensor(powers), queue.tensor(powers)));
  const View sums = LOTSE_TRY(context.scratch.view(Slot::values, AclType::f32, {rows, 1}));
  const int64_t last = 1;
  LOTSE_TRY(queue.run(library.reduce_sum, queue.tensor(powers), queue.ints({&last, 1}), true,
                      AclType::f32, queue.tensor(sums)));
  masses_.resize(at(rows));
  return queue.download(sums.data, std::as_writable_bytes(std::span(masses_)));
}

}  // namespace lotse::ascend
