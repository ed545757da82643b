// What doctor reads from /proc and /sys, from made-up ones.
#include "base/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace lotse {
namespace {

namespace fs = std::filesystem;

class FakeRoot : public testing::Test {
 protected:
  FakeRoot() : root_(fs::temp_directory_path() / ("lotse-machine-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 10 kB\nMemAvailable:    8192 kB\n");
    write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n");
    write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  }
  ~FakeRoot() override { fs::remove_all(root_); }

  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  fs::path root_;
};

TEST_F(FakeRoot, WithoutControlGroupsMemoryIsTheMachines) {
  const Memory memory = read_memory(root_);
  EXPECT_EQ(memory.total, 16384 * 1024);
  EXPECT_EQ(memory.available, 8192 * 1024);
  EXPECT_EQ(memory.usable(), 8192 * 1024);
  EXPECT_EQ(memory.huge_pages, "madvise");
  EXPECT_FALSE(read_processor(root_).quota);
}

TEST_F(FakeRoot, TheTightestGroupOnTheWayUpCounts) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "300000 100000\n");
  write("sys/fs/cgroup/outer/memory.max", "4194304\n");
  write("sys/fs/cgroup/outer/memory.current", "3145728\n");
  write("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 1048576\nfile 2\n");
  write("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  EXPECT_EQ(read_memory(root_).group_left, 4194304 - 3145728 + 1048576);
  EXPECT_EQ(read_memory(root_).usable(), 2 * 1024 * 1024);
  EXPECT_DOUBLE_EQ(read_processor(root_).quota.value_or(0), 1.5);
}

TEST_F(FakeRoot, NodesAreCounted) {
  write("sys/devices/system/node/node0/cpulist", "0-1\n");
  write("sys/devices/system/node/node1/cpulist", "2-3\n");
  write("sys/devices/system/node/online", "0-1\n");
  EXPECT_EQ(read_processor(root_).nodes, 2);
  EXPECT_EQ(read_processor(root_).model, "Some CPU @ 2 GHz");
}

TEST(Machine, ThisOneHasMemoryAndCores) {
  EXPECT_GT(read_memory().available, 0);
  EXPECT_GE(read_memory().total, read_memory().available);
  EXPECT_GE(read_processor().allowed, 1);
  EXPECT_GE(read_processor().online, read_processor().allowed);
}

}  // namespace
}  // namespace lotse
