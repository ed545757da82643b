#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>

#include "tokenizer/byte_level.h"
#include "tokenizer/unicode.h"

namespace lotse {
namespace {

// What replacements may make of a text.
constexpr size_t kMaxNormalized = size_t{256} << 20;

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

const utf8proc_property_t& property(char32_t c) {
  return *utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
}

// Unicode normalisation forms (UAX 15). Works on the stretches that may change only: each from one
// inert character to the next, an inert one being a starter without a decomposition that no
// character before it composes with.
class FormNormalizer : public Normalizer {
 public:
  explicit FormNormalizer(UnicodeForm form)
      : composes_(form == UnicodeForm::nfc || form == UnicodeForm::nfkc),
        options_(UTF8PROC_STABLE | (composes_ ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE)) {
    if (form == UnicodeForm::nfkc || form == UnicodeForm::nfkd) options_ |= UTF8PROC_COMPAT;
  }

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    size_t inert = 0;  // where the last inert character begins
    size_t done = 0;
    bool changed = false;
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      if (is_inert(next_char(text, i))) {
        inert = begin;
        continue;
      }
      size_t end = i;
      while (i < text.size() && !is_inert(next_char(text, i))) end = i;
      if (!changed) out.clear();
      changed = true;
      const size_t from = std::max(inert, done);
      out += text.substr(done, from - done);
      append_form(text.substr(from, end - from), out);
      i = inert = done = end;
    }
    if (changed) out += text.substr(done);
    return changed;
  }

 private:
  bool is_inert(char32_t c) const {
    if (c < 0x80) return true;
    if (c >= 0x1160 && c <= 0x11ff) return false;  // Hangul vowels and trailing consonants
    if (c >= 0xac00 && c <= 0xd7a3) return composes_;
    const utf8proc_property_t& p = property(c);
    const bool composes_with_previous = p.comb_index != UINT16_MAX && p.comb_index >= 0x8000;
    return p.combining_class == 0 && p.decomp_seqindex == UINT16_MAX && !composes_with_previous;
  }

  void append_form(std::string_view text, std::string& out) const {
    std::vector<utf8proc_int32_t> chars;
    const auto options = static_cast<utf8proc_option_t>(options_);
    for (size_t i = 0; i < text.size();) {
      const char32_t c = next_char(text, i);
      utf8proc_int32_t parts[32];
      int boundary = 0;
      const auto count =
          utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 32, options, &boundary);
      if (count > 0 && count <= 32) chars.insert(chars.end(), parts, parts + count);
    }
    order_marks(chars);
    const auto count = utf8proc_normalize_utf32(
        chars.data(), static_cast<utf8proc_ssize_t>(chars.size()), options);
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
      append_utf8(out, static_cast<char32_t>(chars[static_cast<size_t>(i)]));
    }
  }

  // The canonical ordering of the marks between two starters; utf8proc's own is quadratic.
  static void order_marks(std::vector<utf8proc_int32_t>& chars) {
    struct Mark {
      int combining_class;
      size_t place;
      utf8proc_int32_t c;
      auto operator<=>(const Mark&) const = default;
    };
    std::vector<Mark> marks;
    for (size_t i = 0; i <= chars.size(); ++i) {
      const int combining_class =
          i < chars.size() ? utf8proc_get_property(chars[i])->combining_class : 0;
      if (combining_class != 0) {
        marks.push_back({combining_class, i, chars[i]});
        continue;
      }
      std::ranges::sort(marks);
      for (size_t k = 0; k < marks.size(); ++k) chars[i - marks.size() + k] = marks[k].c;
      marks.clear();
    }
  }

  bool composes_;
  int options_;
};

void append_lowercase(std::string& out, char32_t c) {
  // The only character whose lower case has two (SpecialCasing.txt).
  if (c == 0x130) {
    out += "i\u0307";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

// Handles one character after the other: `Map::append(out, c)`.
template <class Map>
class CharNormalizer : public Normalizer {
 public:
  Result<bool> normalize(std::string_view text, std::string& out) const override {
    out.clear();
    out.reserve(text.size());
    for (size_t i = 0; i < text.size();) Map::append(out, next_char(text, i));
    return out != text;
  }
};

struct LowercaseMap {
  static void append(std::string& out, char32_t c) { append_lowercase(out, c); }
};

struct StripAccentsMap {
  static void append(std::string& out, char32_t c) {
    if (!(CharClasses::get()[c] & kMark)) append_utf8(out, c);
  }
};

struct NmtMap {
  static void append(std::string& out, char32_t c) {
    const bool dropped = (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) ||
                         c == 0x7f || c == 0x8f || c == 0x9f;
    if (dropped) return;
    const bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                       c == 0xfeff || c == 0xfffd;
    append_utf8(out, space ? U' ' : c);
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    size_t begin = 0;
    for (size_t i = 0; left_ && i < text.size() && is_white_space(next_char(text, i));) begin = i;
    size_t end = text.size();
    while (right_ && end > begin) {
      const size_t last = previous_char(text, end);
      size_t i = last;
      if (!is_white_space(next_char(text, i))) break;
      end = last;
    }
    if (end - begin == text.size()) return false;
    out = text.substr(begin, end - begin);
    return true;
  }

 private:
  bool left_;
  bool right_;
};

class Replace : public Normalizer {
 public:
  Replace(std::unique_ptr<Pattern> pattern, std::string_view content)
      : pattern_(std::move(pattern)), content_(content) {}

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    out.clear();
    size_t done = 0;
    bool changed = false;
    LOTSE_TRY(pattern_->find(text, [&](size_t begin, size_t end) -> Result<void> {
      out += text.substr(done, begin - done);
      out += content_;
      done = end;
      changed = true;
      if (out.size() <= kMaxNormalized) return {};
      return fail(ErrorCode::limit, "normalizer: the text grows beyond {} bytes", kMaxNormalized);
    }));
    if (changed) out += text.substr(done);
    return changed;
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string_view prefix) : prefix_(prefix) {}

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    if (text.empty() || prefix_.empty()) return false;
    out = prefix_;
    out += text;
    return true;
  }

 private:
  std::string prefix_;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  Result<bool> normalize(std::string_view text, std::string& out) const override {
    out.clear();
    append_byte_level(out, text);
    return true;
  }
};

class Bert : public Normalizer {
 public:
  explicit Bert(BertNormalization options) : options_(options) {}

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    std::string cleaned;
    for (size_t i = 0; i < text.size();) append_cleaned(cleaned, next_char(text, i));
    if (options_.strip_accents && !is_ascii(cleaned)) {
      std::string decomposed;
      if (LOTSE_TRY(decompose_.normalize(cleaned, decomposed))) cleaned = std::move(decomposed);
    }
    out.clear();
    for (size_t i = 0; i < cleaned.size();) append_folded(out, next_char(cleaned, i));
    return out != text;
  }

 private:
  static bool is_chinese(char32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
  }

  static bool is_dropped(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    if (c == 0 || c == kReplacement) return true;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
      case UTF8PROC_CATEGORY_CC:
      case UTF8PROC_CATEGORY_CF:
      case UTF8PROC_CATEGORY_CO:
        return true;
      default:
        return false;
    }
  }

  void append_cleaned(std::string& out, char32_t c) const {
    if (options_.clean_text) {
      if (is_dropped(c)) return;
      if (is_white_space(c)) c = ' ';
    }
    if (options_.handle_chinese_chars && is_chinese(c)) {
      out += ' ';
      append_utf8(out, c);
      out += ' ';
    } else {
      append_utf8(out, c);
    }
  }

  void append_folded(std::string& out, char32_t c) const {
    if (options_.strip_accents && c >= 0x80) {
      const bool mark = utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_MN;
      if (mark) return;
    }
    if (options_.lowercase) {
      append_lowercase(out, c);
    } else {
      append_utf8(out, c);
    }
  }

  BertNormalization options_;
  FormNormalizer decompose_{UnicodeForm::nfd};
};

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}

  Result<bool> normalize(std::string_view text, std::string& out) const override {
    std::string current;
    bool changed = false;
    for (const auto& step : steps_) {
      if (!LOTSE_TRY(step->normalize(changed ? current : text, out))) continue;
      current.swap(out);
      changed = true;
    }
    out.swap(current);
    return changed;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

}  // namespace

std::unique_ptr<Normalizer> unicode_form(UnicodeForm form) {
  return std::make_unique<FormNormalizer>(form);
}
std::unique_ptr<Normalizer> lowercase() { return std::make_unique<CharNormalizer<LowercaseMap>>(); }
std::unique_ptr<Normalizer> strip(bool left, bool right) {
  return std::make_unique<Strip>(left, right);
}
std::unique_ptr<Normalizer> strip_accents() {
  return std::make_unique<CharNormalizer<StripAccentsMap>>();
}
std::unique_ptr<Normalizer> nmt() { return std::make_unique<CharNormalizer<NmtMap>>(); }
std::unique_ptr<Normalizer> replace(std::unique_ptr<Pattern> pattern, std::string_view content) {
  return std::make_unique<Replace>(std::move(pattern), content);
}
std::unique_ptr<Normalizer> prepend(std::string_view prefix) {
  return std::make_unique<Prepend>(prefix);
}
std::unique_ptr<Normalizer> bert_normalizer(BertNormalization options) {
  return std::make_unique<Bert>(options);
}
std::unique_ptr<Normalizer> byte_level_normalizer() {
  return std::make_unique<ByteLevelNormalizer>();
}
std::unique_ptr<Normalizer> normalizer_sequence(std::vector<std::unique_ptr<Normalizer>> steps) {
  return std::make_unique<NormalizerSequence>(std::move(steps));
}

}  // namespace lotse
