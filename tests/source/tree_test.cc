#include "source/tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "source/report.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

class TreeTest : public testing::Test {
 protected:
  TreeTest() : root_(fs::temp_directory_path() / ("lotse-tree-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~TreeTest() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }

  SourceReport examine() const {
    return examine_tree(root_, RuleTable::builtin(), nullptr,
                        [](size_t, size_t, std::string_view) {})
        .value();
  }

  static std::vector<std::string> remarks(const SourceReport& report) {
    std::vector<std::string> list;
    for (const Remark& remark : report.remarks) list.push_back(remark.path + ": " + remark.text);
    return list;
  }

  fs::path root_;
};

TEST_F(TreeTest, ReadsInTheOrderOfPaths) {
  write("b.py", "x.cuda()\n");
  write("a/z.cu", "cudaFree(p);\n");
  write("a/c.sh", "nvidia-smi\n");
  write("README.md", "cuda\n");
  write(".git/x.py", "x.cuda()\n");
  write("env/pyvenv.cfg", "");
  write("env/x.py", "x.cuda()\n");
  const SourceReport report = examine();
  ASSERT_EQ(report.files.size(), 3u);
  EXPECT_EQ(report.files[0].path, "a/c.sh");
  EXPECT_EQ(report.files[1].path, "a/z.cu");
  EXPECT_EQ(report.files[2].path, "b.py");
  EXPECT_EQ(report.files_read, 3);
  EXPECT_EQ(report.files_other, 1);
  EXPECT_EQ(source_text(report), source_text(examine()));
}

TEST_F(TreeTest, HostileFilesAreRemarks) {
  write("binary.py", std::string("a\0b", 3));
  write("latin.py", "# \xe4\nx.cuda()\n");
  write("large.py", std::string(static_cast<size_t>(kLargestSource) + 1, ' '));
  write("note.ipynb", "{}");
  write("empty.py", "");
  fs::create_symlink("latin.py", root_ / "link.py");
  fs::create_directory_symlink(".", root_ / "loop");
  ::mkfifo((root_ / "pipe.py").c_str(), 0600);
  const SourceReport report = examine();
  EXPECT_EQ(remarks(report),
            (std::vector<std::string>{
                "binary.py: binary", "large.py: larger than 8.00 MiB",
                "latin.py: not UTF-8: read byte by byte", "link.py: a symbolic link: not followed",
                "note.ipynb: a notebook: export its code as .py to have it read",
                "pipe.py: not a regular file"}));
  EXPECT_EQ(report.files.size(), 1u);
}

TEST_F(TreeTest, UnreadableFilesAreRemarks) {
  if (::geteuid() == 0) GTEST_SKIP() << "not run: root reads everything";
  write("secret.py", "x.cuda()\n");
  fs::permissions(root_ / "secret.py", fs::perms::none);
  EXPECT_EQ(remarks(examine()),
            (std::vector<std::string>{"secret.py: cannot open: Permission denied"}));
}

TEST_F(TreeTest, RootsThatAreNone) {
  const auto none = [](size_t, size_t, std::string_view) {};
  EXPECT_EQ(examine_tree(root_ / "x", RuleTable::builtin(), nullptr, none).error().code,
            ErrorCode::not_found);
  write("a.py", "");
  EXPECT_EQ(examine_tree(root_ / "a.py", RuleTable::builtin(), nullptr, none).error().code,
            ErrorCode::invalid_input);
}

TEST_F(TreeTest, HoursAddUpAsTheRulesSay) {
  write("a.py", "import flash_attn\nflash_attn.f()\nx.cuda()\nx.cuda()\n");
  write("b.py", "import flash_attn\nimport triton\nk[g](num_warps=4)\nk[g](num_warps=8)\n");
  const SourceReport report = examine();
  Hours expected;
  for (const Rule& rule : RuleTable::builtin().rules()) {
    const int times = rule.name == "flash-attn"           ? 1  // a tree
                      : rule.name == "triton-gpu-options" ? 1  // a file
                      : rule.name == "tensor-cuda"        ? 2  // a use
                                                          : 0;
    for (int i = 0; i < times; ++i) expected += rule.verdict.hours;
  }
  EXPECT_NEAR(report.total.hours.low, expected.low, 1e-9);
  EXPECT_NEAR(report.total.hours.high, expected.high, 1e-9);
  EXPECT_EQ(report.total.places(), 7);
  EXPECT_EQ(report.in_patch, 2);
}

TEST_F(TreeTest, JsonHasEveryFinding) {
  write("a.py", "x.cuda()\nimport pynvml\n");
  const Json json = source_json(examine());
  ASSERT_EQ(json["findings"].size(), 2u);
  EXPECT_EQ(json["findings"][0]["file"], "a.py");
  EXPECT_EQ(json["findings"][0]["line"], 1);
  EXPECT_EQ(json["findings"][0]["counterpart"], "npu()");
  EXPECT_EQ(json["findings"][1]["kind"], "rewrite");
  EXPECT_EQ(json["findings"][1]["hours_estimate"]["per"], "tree");
  EXPECT_EQ(json["total"]["places"], 2);
}

TEST_F(TreeTest, NothingOfAFileReachesTheTerminalRaw) {
  write("a\x1b[31m.py", "x.to('cuda:\x1b[2J')\n");
  const std::string text = source_text(examine());
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("a?[31m.py"), std::string::npos);
}

}  // namespace
}  // namespace lotse
