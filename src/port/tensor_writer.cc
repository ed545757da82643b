#include "port/tensor_writer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/float_types.h"

namespace lotse {
namespace {

// Source elements that are encoded before their bytes are written.
constexpr int64_t kBlockElements = int64_t{4} << 20;

TensorReport new_report(const PlannedTensor& tensor) {
  TensorReport report;
  report.name = tensor.source.name;
  report.from = name(tensor.source.dtype);
  report.to = tensor.format ? name(*tensor.format) : report.from;
  report.bytes_in = tensor.source.bytes;
  for (const TensorInfo& output : tensor.outputs) report.bytes_out += output.bytes;
  report.note = tensor.note;
  return report;
}

Result<void> copy_tensor(const Tensor& tensor, HashedFile& file,
                         const std::function<void(int64_t)>& on_bytes) {
  for (size_t begin = 0; begin < tensor.bytes.size(); begin += kChunkBytes) {
    const auto piece =
        tensor.bytes.subspan(begin, std::min<size_t>(kChunkBytes, tensor.bytes.size() - begin));
    LOTSE_TRY(file.write(piece));
    release_pages(piece);
    on_bytes(static_cast<int64_t>(piece.size()));
  }
  return {};
}

// Encodes blocks of rows in parallel; the result does not depend on the number of threads.
class Encoder {
 public:
  Encoder(const PlannedTensor& tensor, int64_t group, const SourceRows& rows, ThreadPool& pool)
      : tensor_(tensor),
        format_(*tensor.format),
        group_(group),
        rows_(rows),
        pool_(pool),
        value_stride_(static_cast<size_t>(value_bytes(format_, rows.columns()))),
        scale_stride_(static_cast<size_t>(scale_bytes(format_, rows.columns(), group))),
        scales_(static_cast<size_t>(rows.rows()) * scale_stride_) {}

  // The stored values of rows [begin, end); valid until the next call.
  Result<std::span<const std::byte>> encode(int64_t begin, int64_t end) {
    values_.resize(static_cast<size_t>(end - begin) * value_stride_);
    encoded_.assign(static_cast<size_t>(end - begin), EncodedRow{});
    errors_.assign(static_cast<size_t>(end - begin), std::nullopt);
    pool_.parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      std::vector<float> row(static_cast<size_t>(rows_.columns()));
      for (int64_t i = first; i < last; ++i) encode_one(begin, i, row);
    });
    for (size_t i = 0; i < encoded_.size(); ++i) {
      if (errors_[i]) return std::unexpected(*errors_[i]);
      if (!encoded_[i].is_representable) return out_of_range(begin + static_cast<int64_t>(i));
      sums_.add(encoded_[i].sums);
    }
    return std::span<const std::byte>(values_);
  }

  std::span<const std::byte> scales() const { return scales_; }
  TensorError error() const { return summarise(sums_); }

 private:
  void encode_one(int64_t begin, int64_t i, std::span<float> row) {
    const auto index = static_cast<size_t>(i);
    const auto read = rows_.read(begin + i, begin + i + 1, row.data());
    if (!read) {
      errors_[index] = read.error();
      return;
    }
    encoded_[index] = encode_row(format_, group_, row, values_.data() + index * value_stride_,
                                 scales_.data() + static_cast<size_t>(begin + i) * scale_stride_);
  }

  std::unexpected<Error> out_of_range(int64_t row) const {
    std::vector<float> values(static_cast<size_t>(rows_.columns()));
    LOTSE_TRY(rows_.read(row, row + 1, values.data()));
    float worst = 0;
    for (const float value : values) {
      if (!(std::fabs(value) <= std::fabs(worst))) worst = value;
      if (!std::isfinite(worst)) break;
    }
    if (std::isfinite(worst)) {
      return fail(ErrorCode::invalid_input,
                  "{}: tensor {}: row {} has the value {}, beyond the range of {}; port it to "
                  "another format, or for a target that has bf16",
                  tensor_.source.file, tensor_.source.name, row, worst, name(format_));
    }
    return fail(ErrorCode::invalid_input,
                "{}: tensor {}: row {} has the value {}; a weight must be finite",
                tensor_.source.file, tensor_.source.name, row, worst);
  }

  const PlannedTensor& tensor_;
  WeightFormat format_;
  int64_t group_;
  const SourceRows& rows_;
  ThreadPool& pool_;
  size_t value_stride_;
  size_t scale_stride_;
  std::vector<std::byte> values_;
  std::vector<std::byte> scales_;
  std::vector<EncodedRow> encoded_;
  std::vector<std::optional<Error>> errors_;
  ErrorSums sums_;
};

}  // namespace

Result<TensorReport> write_tensor(const WeightSource& source, const PlannedTensor& tensor,
                                  int64_t group, ThreadPool& pool, HashedFile& file,
                                  const std::function<void(int64_t)>& on_bytes) {
  TensorReport report = new_report(tensor);
  if (!tensor.format) {
    for (const TensorInfo& output : tensor.outputs) {
      LOTSE_TRY(copy_tensor(LOTSE_TRY(source.read(output.name)), file, on_bytes));
    }
    return report;
  }
  const SourceRows rows = LOTSE_TRY(SourceRows::open(source, tensor.source));
  Encoder encoder(tensor, group, rows, pool);
  const int64_t step = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, rows.columns()));
  for (int64_t begin = 0; begin < rows.rows(); begin += step) {
    const int64_t end = std::min(begin + step, rows.rows());
    LOTSE_TRY(file.write(LOTSE_TRY(encoder.encode(begin, end))));
    rows.release(begin, end);
    on_bytes(static_cast<int64_t>(rows.bytes(begin, end).size()));
  }
  LOTSE_TRY(file.write(encoder.scales()));
  if (tensor.outputs.size() == 3) {
    const std::array<int64_t, 2> shape = {rows.rows(), rows.columns()};
    LOTSE_TRY(file.write(std::as_bytes(std::span(shape))));
  }
  report.error = encoder.error();
  return report;
}

}  // namespace lotse
