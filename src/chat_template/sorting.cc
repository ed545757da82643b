#include "chat_template/sorting.h"

#include <algorithm>

namespace lotse::jinja {

Result<std::vector<size_t>> sorted_positions(Budget& budget, const std::vector<Value>& keys,
                                             bool descending) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::vector<size_t> merged(order.size());
  // Merges runs of one, two, four, … positions. Unlike the standard library's sorts this is safe
  // for keys without a total order, such as NaN.
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size());
      const size_t end = std::min(begin + 2 * width, order.size());
      size_t left = begin;
      size_t right = middle;
      for (size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (!take_right && right != end) {
          const Value& a = keys[order[right]];
          const Value& b = keys[order[left]];
          take_right = LOTSE_TRY(compare(budget, a, b, "<")) == (descending ? 1 : -1);
        }
        merged[out] = take_right ? order[right++] : order[left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

}  // namespace lotse::jinja
