#include "base/atomic_file.h"

#include <gtest/gtest.h>

#include "base/mmap.h"

namespace lotse {
namespace {

TEST(AtomicFile, AppearsOnCommitOnly) {
  const auto path = std::filesystem::temp_directory_path() / "lotse_atomic_file_test";
  std::filesystem::remove(path);
  {
    AtomicFile file = AtomicFile::create(path).value();
    ASSERT_TRUE(file.write("abandoned"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path.string() + ".partial"));
  ASSERT_TRUE(write_file_atomically(path, "first"));
  ASSERT_TRUE(write_file_atomically(path, "second"));
  EXPECT_EQ(read_text_file(path, 100).value(), "second");
  EXPECT_EQ(read_text_file(path, 3).error().code, ErrorCode::limit);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace lotse
