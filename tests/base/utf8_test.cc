#include "base/utf8.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

TEST(Utf8, EveryCodePointRoundTrips) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = decode_utf8(text, 0);
    ASSERT_TRUE(c.valid);
    ASSERT_EQ(c.code_point, code);
    ASSERT_EQ(static_cast<size_t>(c.length), text.size());
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(incomplete_utf8_tail(std::string_view(text).substr(0, cut)), cut);
    }
    ASSERT_EQ(incomplete_utf8_tail(text), 0u);
  }
}

TEST(Utf8, RejectsOverlongSurrogatesAndTooLarge) {
  for (const char* bad :
       {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\x80"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
    EXPECT_TRUE(is_valid_utf8(sanitize_utf8(bad)));
  }
}

}  // namespace
}  // namespace lotse
