#include "checkpoint/zip_reader.h"

#include <algorithm>
#include <optional>

#include "checkpoint/byte_reader.h"
#include "checkpoint/tensor_table.h"

namespace lotse {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr size_t kEndSize = 22;
constexpr size_t kLocator64Size = 20;
constexpr size_t kCentralSize = 46;
constexpr size_t kLocalSize = 30;
constexpr size_t kLongestComment = 65535;
constexpr uint32_t kIn64 = 0xffffffff;  // "the value is in the zip64 field"

struct Directory {
  uint64_t entries = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
};

struct Entry {
  std::string_view name;
  uint64_t size = 0;
  uint64_t header_offset = 0;
};

// A fixed-size record whose extent the caller has checked.
class Record {
 public:
  explicit Record(std::span<const std::byte> bytes) : bytes_(bytes) {}
  template <class T>
  T at(size_t offset) const {
    return ByteReader(bytes_.subspan(offset)).take<T>().value();
  }

 private:
  std::span<const std::byte> bytes_;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, std::string_view origin)
      : bytes_(bytes), origin_(origin) {}

  Result<ZipEntries> read() {
    const Directory directory = LOTSE_TRY(find_directory());
    const auto central = slice(directory.offset, directory.size);
    if (!central || directory.entries > directory.size / kCentralSize) {
      return bad("its directory of {} entries and {} bytes at {} exceeds the file",
                 directory.entries, directory.size, directory.offset);
    }
    ByteReader in(*central);
    ZipEntries entries;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      const Entry entry = LOTSE_TRY(read_entry(in));
      if (!entries.emplace(entry.name, LOTSE_TRY(contents(entry))).second) {
        return bad("duplicate entry {}", printable(entry.name));
      }
    }
    return entries;
  }

 private:
  template <class... Args>
  std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_input, "{}: damaged zip file: {}", origin_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  std::optional<std::span<const std::byte>> slice(uint64_t offset, uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return std::nullopt;
    return bytes_.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
  }

  // The end record stands last, followed only by its comment.
  std::optional<size_t> find_end() const {
    if (bytes_.size() < kEndSize) return std::nullopt;
    const size_t last = bytes_.size() - kEndSize;
    const size_t first = last - std::min(last, kLongestComment);
    for (size_t at = last + 1; at-- > first;) {
      const Record record(bytes_.subspan(at, kEndSize));
      if (record.at<uint32_t>(0) == kEndSignature && record.at<uint16_t>(20) == last - at) {
        return at;
      }
    }
    return std::nullopt;
  }

  Result<Directory> find_directory() const {
    const std::optional<size_t> end = find_end();
    if (!end) return bad("no end record; the file is truncated");
    const Record record(bytes_.subspan(*end, kEndSize));
    Directory directory{record.at<uint16_t>(10), record.at<uint32_t>(12), record.at<uint32_t>(16)};
    if (*end < kLocator64Size) return directory;
    const Record locator(bytes_.subspan(*end - kLocator64Size, kLocator64Size));
    if (locator.at<uint32_t>(0) != kLocator64Signature) return directory;
    const auto end64 = slice(locator.at<uint64_t>(8), 56);
    if (!end64 || Record(*end64).at<uint32_t>(0) != kEnd64Signature) {
      return bad("its zip64 end record is missing");
    }
    const Record record64(*end64);
    return Directory{record64.at<uint64_t>(32), record64.at<uint64_t>(40),
                     record64.at<uint64_t>(48)};
  }

  Result<Entry> read_entry(ByteReader& in) const {
    const auto fixed = in.take_bytes(kCentralSize);
    if (!fixed || Record(*fixed).at<uint32_t>(0) != kCentralSignature) {
      return bad("a directory entry is missing");
    }
    const Record record(*fixed);
    const auto name = in.take_text(record.at<uint16_t>(28));
    const auto extra = in.take_bytes(record.at<uint16_t>(30));
    const auto comment = in.take_bytes(record.at<uint16_t>(32));
    if (!name || !extra || !comment) return bad("a directory entry exceeds the directory");
    if ((record.at<uint16_t>(8) & 1u) != 0 || record.at<uint16_t>(10) != 0) {
      return fail(ErrorCode::unsupported,
                  "{}: zip entry {} is compressed or encrypted; PyTorch stores its entries plainly",
                  origin_, printable(*name));
    }
    Entry entry{*name, record.at<uint32_t>(24), record.at<uint32_t>(42)};
    uint64_t stored_size = record.at<uint32_t>(20);
    if (!read_zip64(*extra, entry, stored_size)) {
      return bad("entry {}: its zip64 field is missing or short", printable(*name));
    }
    if (stored_size != entry.size) {
      return bad("entry {}: {} bytes stored for {} bytes", printable(*name), stored_size,
                 entry.size);
    }
    return entry;
  }

  // Fills the sizes and the offset that the directory leaves to the zip64 field, in its order.
  static bool read_zip64(std::span<const std::byte> extra, Entry& entry, uint64_t& stored_size) {
    ByteReader fields(extra);
    ByteReader zip64({});
    while (const auto id = fields.take<uint16_t>()) {
      const auto size = fields.take<uint16_t>();
      const auto field = size ? fields.take_bytes(*size) : std::nullopt;
      if (!field) break;
      if (*id == 1) zip64 = ByteReader(*field);
    }
    for (uint64_t* value : {&entry.size, &stored_size, &entry.header_offset}) {
      if (*value != kIn64) continue;
      const auto wide = zip64.take<uint64_t>();
      if (!wide) return false;
      *value = *wide;
    }
    return true;
  }

  Result<std::span<const std::byte>> contents(const Entry& entry) const {
    const auto header = slice(entry.header_offset, kLocalSize);
    if (!header || Record(*header).at<uint32_t>(0) != kLocalSignature) {
      return bad("entry {}: no local header at {}", printable(entry.name), entry.header_offset);
    }
    const Record record(*header);
    ByteReader in(bytes_.subspan(static_cast<size_t>(entry.header_offset) + kLocalSize));
    const auto name = in.take_text(record.at<uint16_t>(26));
    if (!name || *name != entry.name) {
      return bad("entry {}: its local header has another name", printable(entry.name));
    }
    const auto extra = in.take_bytes(record.at<uint16_t>(28));
    const auto data = extra ? in.take_bytes(entry.size) : std::nullopt;
    if (!data) {
      return bad("entry {}: {} bytes exceed the file", printable(entry.name), entry.size);
    }
    return *data;
  }

  std::span<const std::byte> bytes_;
  std::string_view origin_;
};

}  // namespace

Result<ZipEntries> read_zip(std::span<const std::byte> bytes, std::string_view origin) {
  return ZipReader(bytes, origin).read();
}

}  // namespace lotse
