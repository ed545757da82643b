#include "ops/attention_cache.h"

#include <cstddef>

namespace lotse::emulator {
namespace {

std::vector<float> numbers(const Tensor& tensor, int64_t part) {
  if (!tensor.present()) return {};
  return read<float>(part < 0 ? tensor.view() : tensor.view().select(0, part));
}

}  // namespace

View head_rows(const View& view, Arrangement form, int64_t batch, int64_t head, int64_t size) {
  const View one = view.select(0, batch);
  if (form == Arrangement::bsh) return one.slice(1, head * size, size);
  return one.select(form == Arrangement::bsnd ? 1 : 0, head);
}

Cache::Cache(const Attention& attention, const std::vector<Tensor>& tensors, const Antiquant& quant)
    : attention_(attention),
      quant_(quant),
      scales_(numbers(quant.scale, quant.part)),
      offsets_(numbers(quant.offset, quant.part)) {
  for (const Tensor& tensor : tensors) views_.push_back(tensor.view());
}

void Cache::load(int64_t batch, int64_t head, int64_t first, int64_t count, int64_t block,
                 float* values) const {
  const int64_t size = attention_.head_size;
  const bool paged = attention_.block_size > 0, listed = views_.size() > 1;
  const View& view = views_[listed ? static_cast<size_t>(batch) : 0];
  const int64_t outer = paged ? block : listed ? 0 : batch;
  const View rows = head_rows(view, attention_.cache_form, outer, head, size);
  const int64_t at = paged ? first % attention_.block_size : first;
  for (int64_t i = 0; i < count; ++i) {
    rows.load_row(at + i, values + i * size);
    if (!scales_.empty()) dequantise(batch, head, first + i, values + i * size);
  }
}

void Cache::dequantise(int64_t batch, int64_t head, int64_t token, float* row) const {
  const int64_t size = attention_.head_size;
  const bool one = scales_.size() == 1;
  const int64_t by_token = batch * quant_.scale.dims().back() + token;
  const auto first = static_cast<size_t>(one ? 0 : quant_.per_token ? by_token : head * size);
  const size_t step = one || quant_.per_token ? 0 : 1;
  for (size_t i = 0; i < static_cast<size_t>(size); ++i) {
    const float offset = offsets_.empty() ? 0 : offsets_[first + i * step];
    row[i] = (row[i] + offset) * scales_[first + i * step];
  }
  std::byte stored[2 * 512];  // the largest head in a half type
  store_run(attention_.query.dtype(), stored, 0, 1, size, row);
  load_run(attention_.query.dtype(), stored, 0, 1, size, row);
}

}  // namespace lotse::emulator
