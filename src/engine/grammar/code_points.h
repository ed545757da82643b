// Sets of Unicode scalar values, and the UTF-8 byte sequences that spell a range of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace lotse {

struct CodePointRange {
  char32_t low;
  char32_t high;  // inclusive
  bool operator==(const CodePointRange&) const = default;
};

// Ascending ranges that neither touch nor overlap. Surrogates are never members.
class CodePointSet {
 public:
  CodePointSet() = default;
  CodePointSet(std::initializer_list<CodePointRange> ranges);
  explicit CodePointSet(std::vector<CodePointRange> ranges);
  static CodePointSet all();

  void add(char32_t low, char32_t high);
  void add(const CodePointSet& other);
  CodePointSet inverted() const;
  CodePointSet without(const CodePointSet& other) const;
  // With the other case of its ASCII letters.
  CodePointSet with_both_cases() const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<CodePointRange>& ranges() const { return ranges_; }

 private:
  void normalise();

  std::vector<CodePointRange> ranges_;
};

// A general category ("L", "Lu", "Nd", …) of the Unicode database; nothing for another name.
std::optional<CodePointSet> unicode_category(std::string_view name);

struct ByteRange {
  uint8_t low;
  uint8_t high;
  auto operator<=>(const ByteRange&) const = default;
};

// Covers [low, high], which holds no surrogates, by sequences of 1 to 4 byte ranges: every
// combination of their bytes spells a member.
void for_each_utf8_sequence(char32_t low, char32_t high,
                            const std::function<void(std::span<const ByteRange>)>& visit);

}  // namespace lotse
