// Changes to text before it is cut into words: Unicode forms, case, replacements.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/pattern.h"

namespace lotse {

// Immutable and thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Writes the normalised form of `text`, valid UTF-8, to `out` (whose old content is dropped) and
  // returns true; or returns false when the text is normal already, with `out` unspecified.
  virtual Result<bool> normalize(std::string_view text, std::string& out) const = 0;
};

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };

struct BertNormalization {
  bool clean_text = true;            // control characters dropped, white space to ' '
  bool handle_chinese_chars = true;  // spaces around CJK ideographs
  bool strip_accents = true;
  bool lowercase = true;
};

std::unique_ptr<Normalizer> unicode_form(UnicodeForm form);
std::unique_ptr<Normalizer> lowercase();
std::unique_ptr<Normalizer> strip(bool left, bool right);
std::unique_ptr<Normalizer> strip_accents();
std::unique_ptr<Normalizer> nmt();
std::unique_ptr<Normalizer> replace(std::unique_ptr<Pattern> pattern, std::string_view content);
std::unique_ptr<Normalizer> prepend(std::string_view prefix);
std::unique_ptr<Normalizer> bert_normalizer(BertNormalization options);
std::unique_ptr<Normalizer> byte_level_normalizer();
std::unique_ptr<Normalizer> normalizer_sequence(std::vector<std::unique_ptr<Normalizer>> steps);

// SentencePiece's character map: a double-array trie of what to replace, then the replacements,
// each ended by a NUL. `place` names the field in errors.
Result<std::unique_ptr<Normalizer>> precompiled_charsmap(std::string_view charsmap,
                                                         std::string_view place);

class JsonField;

// Reads the section `normalizer`; `byte_level` becomes true when it writes bytes in the alphabet of
// byte_level.h. Null when it does nothing.
Result<std::unique_ptr<Normalizer>> read_normalizer(const JsonField& section, bool& byte_level);

}  // namespace lotse
