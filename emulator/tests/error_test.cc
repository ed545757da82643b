#include <gtest/gtest.h>

#include "acl/acl.h"

namespace {

TEST(Errors, TextIsReadOnce) {
  EXPECT_EQ(aclrtSetDevice(99), 107001);
  ASSERT_NE(aclGetRecentErrMsg(), nullptr);
  EXPECT_EQ(aclGetRecentErrMsg(), nullptr);
}

}  // namespace
