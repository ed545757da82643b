#include "device/ascend/fractal.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

namespace lotse::ascend {
namespace {

// Of INT4, and rows of a block of any type.
constexpr int64_t kInt4Block = 64;
constexpr int64_t kRowBlock = 16;
// Numbers that are unpacked at a time, 64 MiB of them.
constexpr int64_t kUnpackedAtOnce = int64_t{1} << 24;

int64_t product(const std::vector<int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

// The storage shape that the library wants for the matrix.
Result<std::vector<int64_t>> storage_of(const Queue& queue, const View& matrix) {
  const Library& library = queue.library();
  const Handle<AclTensor> tensor = queue.tensor(matrix);
  int64_t* shape = nullptr;
  uint64_t rank = 0;
  int format = 0;
  const AclStatus status =
      library.format_cast_shape(tensor, static_cast<int>(AclFormat::fractal_nz),
                                static_cast<int>(matrix.type), &shape, &rank, &format);
  const std::unique_ptr<int64_t[]> owner(shape);
  if (status != 0) {
    return std::unexpected(call_error(library, "aclnnNpuFormatCastCalculateSizeAndFormat", status));
  }
  if (format != static_cast<int>(AclFormat::fractal_nz)) {
    return fail(ErrorCode::unsupported,
                "aclnnNpuFormatCastCalculateSizeAndFormat: format {} instead of FRACTAL_NZ; "
                "LOTSE_ASCEND_WEIGHTS=nd does without",
                format);
  }
  return std::vector<int64_t>(shape, shape + rank);
}

}  // namespace

View fractal_view(const Buffer& buffer, AclType type, int64_t rows, int64_t columns,
                  const std::vector<int64_t>& storage, bool transposed) {
  View view = View::dense(buffer.data(), type, {rows, columns});
  view.format = AclFormat::fractal_nz;
  view.storage = storage;
  return transposed ? view.as({columns, rows}, {1, columns}) : view;
}

Result<Fractal> cast_to_fractal(Queue& queue, const View& matrix) {
  Fractal made;
  made.storage = LOTSE_TRY(storage_of(queue, matrix));
  made.data = LOTSE_TRY(queue.allocate(bytes_of(matrix.type, product(made.storage)), "weights"));
  const View to =
      fractal_view(made.data, matrix.type, matrix.shape[0], matrix.shape[1], made.storage);
  LOTSE_TRY(queue.run(queue.library().format_cast, queue.tensor(matrix), queue.tensor(to)));
  LOTSE_TRY(queue.synchronise());
  return made;
}

Result<Fractal> pack_int4_fractal(
    Queue& queue, int64_t rows, int64_t columns,
    const std::function<void(int64_t first, int64_t count, std::span<int32_t> values)>& fill) {
  Fractal made;
  made.storage = {rows / kInt4Block, columns / kRowBlock, kRowBlock, kInt4Block};
  made.data = LOTSE_TRY(queue.allocate(bytes_of(AclType::i4, rows * columns), "weights"));
  const int64_t most =
      std::clamp(kUnpackedAtOnce / columns / kInt4Block * kInt4Block, kInt4Block, rows);
  std::vector<int32_t> values(static_cast<size_t>(columns * most));
  const Buffer staged =
      LOTSE_TRY(queue.allocate(bytes_of(AclType::i32, columns * most), "weights to be packed"));
  for (int64_t first = 0; first < rows; first += most) {
    const int64_t count = std::min(most, rows - first);
    const std::span<int32_t> part = std::span(values).first(static_cast<size_t>(columns * count));
    fill(first, count, part);
    LOTSE_TRY(queue.copy_in(staged.data(), std::as_bytes(part)));
    // Blocks of columns follow each other, so the part's storage lies together.
    View to = fractal_view(made.data, AclType::i4, columns, count, made.storage);
    to.storage[0] = count / kInt4Block;
    to.data += bytes_of(AclType::i4, first * columns);
    LOTSE_TRY(queue.run(queue.library().pack_int4,
                        queue.tensor(View::dense(staged.data(), AclType::i32, {columns, count})),
                        queue.tensor(to)));
    LOTSE_TRY(queue.synchronise());
  }
  return made;
}

}  // namespace lotse::ascend
