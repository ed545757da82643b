#include "engine/grammar/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>

namespace lotse {
namespace {

constexpr char32_t kLast = 0x10ffff;
constexpr char32_t kBeforeSurrogates = 0xd7ff;
constexpr char32_t kAfterSurrogates = 0xe000;

struct Encoded {
  std::array<uint8_t, 4> bytes;
  size_t length;
};

Encoded encode(char32_t c) {
  const auto tail = [&](int shift) { return static_cast<uint8_t>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) return {{static_cast<uint8_t>(c)}, 1};
  if (c < 0x800) return {{static_cast<uint8_t>(0xc0 | (c >> 6)), tail(0)}, 2};
  if (c < 0x10000) return {{static_cast<uint8_t>(0xe0 | (c >> 12)), tail(6), tail(0)}, 3};
  return {{static_cast<uint8_t>(0xf0 | (c >> 18)), tail(12), tail(6), tail(0)}, 4};
}

std::map<std::string, CodePointSet, std::less<>> all_categories() {
  std::map<std::string, std::vector<CodePointRange>> ranges;
  for (char32_t c = 0; c <= kLast; ++c) {
    const std::string category = utf8proc_category_string(static_cast<int32_t>(c));
    for (const std::string& name : {category, category.substr(0, 1)}) {
      auto& known = ranges[name];
      if (!known.empty() && known.back().high + 1 == c) {
        known.back().high = c;
      } else {
        known.push_back({c, c});
      }
    }
  }
  std::map<std::string, CodePointSet, std::less<>> result;
  for (const auto& [name, known] : ranges) result.emplace(name, CodePointSet(known));
  return result;
}

}  // namespace

CodePointSet::CodePointSet(std::vector<CodePointRange> ranges) : ranges_(std::move(ranges)) {
  normalise();
}

CodePointSet::CodePointSet(std::initializer_list<CodePointRange> ranges) : ranges_(ranges) {
  normalise();
}

CodePointSet CodePointSet::all() { return {{0, kLast}}; }

void CodePointSet::add(char32_t low, char32_t high) {
  ranges_.push_back({low, high});
  normalise();
}

void CodePointSet::add(const CodePointSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  normalise();
}

void CodePointSet::normalise() {
  std::vector<CodePointRange> parts;
  for (const auto& [low, high] : ranges_) {
    if (low <= kBeforeSurrogates) parts.push_back({low, std::min(high, kBeforeSurrogates)});
    if (high >= kAfterSurrogates) {
      parts.push_back({std::max(low, kAfterSurrogates), std::min(high, kLast)});
    }
  }
  std::erase_if(parts, [](const CodePointRange& part) { return part.low > part.high; });
  std::ranges::sort(parts, {}, &CodePointRange::low);
  ranges_.clear();
  for (const CodePointRange& part : parts) {
    if (!ranges_.empty() && part.low <= ranges_.back().high + 1) {
      ranges_.back().high = std::max(ranges_.back().high, part.high);
    } else {
      ranges_.push_back(part);
    }
  }
}

CodePointSet CodePointSet::inverted() const {
  CodePointSet result;
  char32_t next = 0;
  for (const auto& [low, high] : ranges_) {
    if (low > next) result.ranges_.push_back({next, low - 1});
    next = high + 1;
  }
  if (next <= kLast) result.ranges_.push_back({next, kLast});
  result.normalise();
  return result;
}

CodePointSet CodePointSet::without(const CodePointSet& other) const {
  CodePointSet kept = inverted();
  kept.add(other);
  return kept.inverted();
}

CodePointSet CodePointSet::with_both_cases() const {
  CodePointSet result = *this;
  const auto add_shifted = [&](char32_t first, char32_t last, char32_t to) {
    for (const auto& [low, high] : ranges_) {
      const char32_t from = std::max(low, first);
      const char32_t until = std::min(high, last);
      if (from <= until) result.ranges_.push_back({from - first + to, until - first + to});
    }
  };
  add_shifted('a', 'z', 'A');
  add_shifted('A', 'Z', 'a');
  result.normalise();
  return result;
}

std::optional<CodePointSet> unicode_category(std::string_view name) {
  // Asked for again and again by one expression, so that all are found at once.
  static const std::map<std::string, CodePointSet, std::less<>> all = all_categories();
  const auto found = all.find(name);
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

void for_each_utf8_sequence(char32_t low, char32_t high,
                            const std::function<void(std::span<const ByteRange>)>& visit) {
  // Where the number of bytes changes, and where the bytes after the first are not free.
  for (const char32_t border : {char32_t{0x7f}, char32_t{0x7ff}, char32_t{0xffff}}) {
    if (low <= border && border < high) {
      for_each_utf8_sequence(low, border, visit);
      for_each_utf8_sequence(border + 1, high, visit);
      return;
    }
  }
  for (int shift = 6; shift <= 18; shift += 6) {
    const char32_t mask = (char32_t{1} << shift) - 1;
    if ((low | mask) == (high | mask)) break;
    if ((low & mask) != 0) {
      for_each_utf8_sequence(low, low | mask, visit);
      for_each_utf8_sequence((low | mask) + 1, high, visit);
      return;
    }
    if ((high & mask) != mask) {
      for_each_utf8_sequence(low, (high & ~mask) - 1, visit);
      for_each_utf8_sequence(high & ~mask, high, visit);
      return;
    }
  }
  const Encoded first = encode(low);
  const Encoded last = encode(high);
  std::array<ByteRange, 4> sequence{};
  for (size_t i = 0; i < first.length; ++i) sequence[i] = {first.bytes[i], last.bytes[i]};
  visit(std::span(sequence).first(first.length));
}

}  // namespace lotse
