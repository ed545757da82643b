#include "tokenizer/read_merges.h"

#include <array>
#include <span>

#include "tokenizer/byte_level.h"
#include "tokenizer/function_ref.h"
#include "tokenizer/shown.h"

namespace lotse {
namespace {

using Element = simdjson::dom::element;

struct MergeIds {
  int32_t left = -1;
  int32_t right = -1;
  int32_t merged = -1;
};

struct WrittenMerge {
  std::string_view left;
  std::string_view right;
};

// What a look-up of two tokens needs between its beginning and its end.
struct Lookup {
  bool begun = false;
  std::string both;  // the tokens' bytes, one after the other
  size_t middle = 0;
  Vocabulary::Key left;
  Vocabulary::Key right;
};

std::optional<WrittenMerge> read_pair(Element merge) {
  WrittenMerge pair;
  simdjson::dom::array array;
  if (merge.get_array().get(array) != simdjson::SUCCESS || array.size() != 2 ||
      array.at(0).get_string().get(pair.left) != simdjson::SUCCESS ||
      array.at(1).get_string().get(pair.right) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return pair;
}

// A line is cut at its first space.
std::optional<WrittenMerge> divide(Element merge) {
  std::string_view line;
  if (merge.get_string().get(line) != simdjson::SUCCESS) return read_pair(merge);
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  return WrittenMerge{line.substr(0, space), line.substr(space + 1)};
}

// Reads merges in blocks: all look-ups of a block are begun before the first is finished, so that
// their waits for memory, which are most of the time, overlap.
class MergeReader {
 public:
  static constexpr size_t kBlock = 32;

  MergeReader(const JsonField& field, const Vocabulary& vocabulary, std::string_view prefix,
              const ReservedIds& reserved, MergeTable& table)
      : field_(field),
        vocabulary_(vocabulary),
        prefix_(prefix),
        reserved_(reserved),
        table_(table) {}

  // At most kBlock merges.
  Result<void> read(std::span<const Element> merges) {
    for (size_t i = 0; i < merges.size(); ++i) {
      const auto written = divide(merges[i]);
      lookups_[i].begun = written && begin(*written, lookups_[i]);
    }
    for (size_t i = 0; i < merges.size(); ++i) {
      ids_[i] = lookups_[i].begun ? finish(lookups_[i]) : MergeIds{};
      if (ids_[i].merged < 0) ids_[i] = LOTSE_TRY(read_carefully(merges[i], i));
      table_.expect_pair(ids_[i].left, ids_[i].right);
    }
    for (size_t i = 0; i < merges.size(); ++i) {
      table_.add_rank(ids_[i].merged);
      if (!is_reserved(reserved_, ids_[i].merged)) table_.add_pair(ids_[i].left, ids_[i].right);
    }
    return {};
  }

 private:
  static constexpr std::string_view kExpected = "two tokens, \"a b\" or [\"a\", \"b\"]";
  static constexpr size_t kMostSpaces = 64;

  // False for tokens with characters outside the alphabet of bytes.
  bool begin(const WrittenMerge& written, Lookup& lookup) const {
    lookup.both.clear();
    if (!append_form(lookup.both, written.left)) return false;
    lookup.middle = lookup.both.size();
    if (!append_form(lookup.both, written.right)) return false;
    const std::string_view both = lookup.both;
    lookup.left = vocabulary_.begin_find(both.substr(0, lookup.middle));
    lookup.right = vocabulary_.begin_find(both.substr(lookup.middle));
    return true;
  }

  MergeIds finish(Lookup& lookup) {
    MergeIds ids{vocabulary_.end_find(lookup.left), vocabulary_.end_find(lookup.right), -1};
    if (ids.left < 0 || ids.right < 0) return ids;
    if (lookup.right.bytes.starts_with(prefix_)) lookup.both.erase(lookup.middle, prefix_.size());
    ids.merged = find_merged(lookup.both);
    return ids;
  }

  // Merges mostly stand in the order of the tokens that they give, one or several for each.
  int32_t find_merged(std::string_view bytes) {
    if (!vocabulary_.is(last_merged_, bytes)) {
      const bool is_next = vocabulary_.is(last_merged_ + 1, bytes);
      last_merged_ = is_next ? last_merged_ + 1 : vocabulary_.find(bytes);
    }
    return last_merged_;
  }

  // Any form of merge; `index` within its block.
  Result<MergeIds> read_carefully(Element merge, size_t index) {
    const auto place = [&] {
      return fmt::format("{}[{}]", field_.place(), static_cast<size_t>(table_.ranks()) + index);
    };
    std::string_view line;
    if (merge.get_string().get(line) == simdjson::SUCCESS) return read_line(line, place);
    const auto pair = read_pair(merge);
    if (!pair) return JsonField(merge, place()).wrong(kExpected);
    const MergeIds ids = find(*pair);
    if (ids.merged < 0) return missing(*pair, ids, place());
    return ids;
  }

  // In old files tokens may themselves contain spaces: the first space that divides the line into
  // two tokens does.
  Result<MergeIds> read_line(std::string_view line, FunctionRef<std::string()> place) {
    size_t spaces = 0;
    WrittenMerge written;
    MergeIds ids;
    for (size_t i = line.find(' '); i != std::string_view::npos; i = line.find(' ', i + 1)) {
      if (++spaces > kMostSpaces) break;
      written = {line.substr(0, i), line.substr(i + 1)};
      ids = find(written);
      if (ids.merged >= 0) return ids;
    }
    if (spaces == 1 && !written.left.empty() && !written.right.empty()) {
      return missing(written, ids, place());
    }
    return fail(ErrorCode::invalid_input, "{}: expected {}, got \"{}\"", place(), kExpected,
                shown_briefly(line));
  }

  MergeIds find(const WrittenMerge& written) {
    Lookup lookup;
    return begin(written, lookup) ? finish(lookup) : find_written(written);
  }

  MergeIds find_written(const WrittenMerge& written) const {
    MergeIds ids{vocabulary_.find_written(written.left), vocabulary_.find_written(written.right),
                 -1};
    if (ids.left < 0 || ids.right < 0) return ids;
    ids.merged = vocabulary_.find_written(written_whole(written));
    return ids;
  }

  bool append_form(std::string& out, std::string_view written) const {
    if (vocabulary_.byte_level()) return append_bytes_of(out, written);
    out += written;
    return true;
  }

  std::string written_whole(const WrittenMerge& written) const {
    const size_t skipped = written.right.starts_with(prefix_) ? prefix_.size() : 0;
    return std::string(written.left) + std::string(written.right.substr(skipped));
  }

  std::unexpected<Error> missing(const WrittenMerge& written, const MergeIds& ids,
                                 const std::string& place) const {
    const std::string whole = written_whole(written);
    const std::string_view token = ids.left < 0    ? written.left
                                   : ids.right < 0 ? written.right
                                                   : std::string_view(whole);
    return fail(ErrorCode::invalid_input, "{}: \"{}\" is not in the vocabulary", place,
                shown_briefly(token));
  }

  const JsonField& field_;
  const Vocabulary& vocabulary_;
  std::string_view prefix_;
  const ReservedIds& reserved_;
  MergeTable& table_;
  std::array<Lookup, kBlock> lookups_;
  std::array<MergeIds, kBlock> ids_;
  int32_t last_merged_ = -1;
};

}  // namespace

Result<MergeTable> read_merges(const JsonField& field, const Vocabulary& vocabulary,
                               std::string_view continuing_prefix, const ReservedIds& reserved) {
  const simdjson::dom::array array = LOTSE_TRY(field.array());
  const auto count = static_cast<int64_t>(array.size());
  if (count > kMaxMerges) {
    return fail(ErrorCode::limit, "{}: {} merges exceed the limit of {}", field.place(), count,
                kMaxMerges);
  }
  MergeTable merges(count);
  MergeReader reader(field, vocabulary, continuing_prefix, reserved, merges);
  std::vector<Element> block;
  for (const Element merge : array) {
    block.push_back(merge);
    if (block.size() < MergeReader::kBlock) continue;
    LOTSE_TRY(reader.read(block));
    block.clear();
  }
  LOTSE_TRY(reader.read(block));
  return merges;
}

}  // namespace lotse
