#include "source/edit.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lotse {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("lotse-edit-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Whether a command that runs here succeeds.
  bool run(const std::string& command) const {
    return std::system(("cd " + path_.string() + " && " + command + " >/dev/null 2>&1").c_str()) ==
           0;
  }

 private:
  fs::path path_;
};

bool has(const std::string& command) { return Folder().run("command -v " + command); }

// Applies the diff with a tool and compares with the edits made directly.
void expect_applies(const std::string& tool, const std::string& name, const std::string& file,
                    const std::vector<Edit>& edits) {
  const Folder folder;
  folder.write(name, file);
  folder.write("x.patch", unified_diff(name, file, edits));
  ASSERT_TRUE(folder.run(tool)) << unified_diff(name, file, edits);
  EXPECT_EQ(folder.read(name), apply_edits(file, edits)) << unified_diff(name, file, edits);
}

const std::string kPatch = "patch -p1 --no-backup-if-mismatch -F0 < x.patch";
const std::string kGit = "git apply x.patch";

TEST(Diff, ShowsContextAndCounts) {
  EXPECT_EQ(unified_diff("a.py", "1\n2\n3\n4\n5\n6\n", {{{8, 9}, "five"}}),
            "--- a/a.py\n+++ b/a.py\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+five\n 6\n");
  EXPECT_EQ(unified_diff("a.py", "x\n", {}), "");
  EXPECT_EQ(unified_diff("a.py", "x", {{{0, 1}, "y"}}),
            "--- a/a.py\n+++ b/a.py\n@@ -1,1 +1,1 @@\n-x\n\\ No newline at end of file\n+y\n"
            "\\ No newline at end of file\n");
}

TEST(Diff, OddNamesAreQuoted) {
  for (const std::string name : {"a b.py", "a\"b.py", "\xc3\xa4.py", "a\\b.py"}) {
    if (has("patch")) expect_applies(kPatch, name, "x\n", {{{0, 1}, "y"}});
    if (has("git")) expect_applies(kGit, name, "x\n", {{{0, 1}, "y"}});
  }
}

TEST(Diff, AppliesWithEitherTool) {
  if (!has("patch") || !has("git")) GTEST_SKIP() << "not run: patch or git is not installed";
  for (const std::string& tool : {kPatch, kGit}) {
    expect_applies(tool, "a", "import torch", {{{12, 12}, "\nimport torch_npu\n"}});
    expect_applies(tool, "a", "a\r\nb\r\nc", {{{3, 4}, "x"}, {{6, 6}, "new\r\n"}});
    expect_applies(tool, "a", "a\nb\n", {{{2, 2}, "i\n"}, {{2, 3}, "x"}, {{4, 4}, "last\n"}});
  }
}

RC_GTEST_PROP(DiffProperty, AnyEditsApply, ()) {
  if (!has("patch")) return;
  const auto lines = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("a b", "", "xx", "x", "y\r"));
  std::string file;
  std::vector<Edit> edits;
  for (const std::string& line : lines) {
    const auto begin = static_cast<uint32_t>(file.size());
    file += line + "\n";
    if (*rc::gen::inRange(0, 4) == 0) edits.push_back({{begin, begin}, "inserted\n"});
    if (line.starts_with('x') && *rc::gen::inRange(0, 2) == 0) {
      edits.push_back({{begin, begin + 1}, "zz"});
    }
  }
  if (!file.empty() && *rc::gen::inRange(0, 2) == 0) file.pop_back();
  edits = tidy_edits(edits);
  std::erase_if(edits, [&](const Edit& edit) { return edit.span.end > file.size(); });
  if (file.empty() || edits.empty()) return;
  expect_applies(kPatch, "a", file, edits);
}

TEST(Edits, OverlapsAndDuplicatesAreDropped) {
  const std::vector<Edit> tidy =
      tidy_edits({{{4, 6}, "b"}, {{0, 3}, "a"}, {{2, 5}, "x"}, {{4, 6}, "b"}, {{6, 6}, "c"}});
  EXPECT_EQ(tidy, (std::vector<Edit>{{{0, 3}, "a"}, {{4, 6}, "b"}, {{6, 6}, "c"}}));
  EXPECT_EQ(apply_edits("0123456789", tidy), "a3bc6789");
}

}  // namespace
}  // namespace lotse
