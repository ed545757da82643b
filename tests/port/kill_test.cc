// SIGKILL at system calls all over a port, every rename and sync among them. The port runs in a
// child process that this one traces, stopping it at each entry to and return from the kernel.
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <set>

#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

struct Stop {
  uint64_t call = 0;  // number of the system call
  bool is_entry = false;
};

struct Traced {
  bool is_possible = true;  // false where processes may not be traced
  bool finished = false;    // ran to its end with exit code 0
  std::vector<Stop> stops;
};

// Runs `work` in a child and kills it at stop number `last` (never when negative).
Traced run_traced(int64_t last, const std::function<bool()>& work) {
  Traced traced;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(2);
    ::raise(SIGSTOP);
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const auto options = static_cast<uintptr_t>(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  if (!WIFSTOPPED(status) ||
      ::ptrace(PTRACE_SETOPTIONS, child, nullptr, reinterpret_cast<void*>(options)) != 0) {
    traced.is_possible = false;
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return traced;
  }
  bool is_entry = false;
  uint64_t call = 0;
  for (uintptr_t signal = 0;;) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, reinterpret_cast<void*>(signal));
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) || WIFSIGNALED(status)) break;
    signal = 0;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      signal = static_cast<uintptr_t>(WSTOPSIG(status));
      continue;
    }
    is_entry = !is_entry;
    if (is_entry) {
      __ptrace_syscall_info info{};
      ::ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), child,
               reinterpret_cast<void*>(sizeof info), &info);
      call = info.entry.nr;
    }
    traced.stops.push_back({call, is_entry});
    if (std::ssize(traced.stops) == last + 1) ::kill(child, SIGKILL);
  }
  traced.finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return traced;
}

bool changes_files(uint64_t call) {
  static const std::set<uint64_t> kCalls = {
#ifdef SYS_rename
      SYS_rename,   SYS_unlink,    SYS_mkdir, SYS_rmdir,
#endif
      SYS_renameat, SYS_renameat2, SYS_fsync, SYS_unlinkat, SYS_mkdirat};
  return kCalls.contains(call);
}

// All stops at calls that change folders or sync, and others evenly up to `wanted` in all.
std::vector<int64_t> kill_points(const std::vector<Stop>& stops, size_t wanted) {
  std::set<int64_t> points;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (changes_files(stops[i].call)) points.insert(static_cast<int64_t>(i));
  }
  for (size_t i = 0; points.size() < std::min(wanted, stops.size()); ++i) {
    // A step that shares no factor with a power of two visits the whole run before it repeats.
    points.insert(static_cast<int64_t>(i * 7919 % stops.size()));
  }
  return {points.begin(), points.end()};
}

TEST(PortKilled, AtAnySystemCallLeavesOutAbsentOrValidAndResumes) {
  constexpr size_t kPoints = 320;
  const ScratchFolder scratch;
  const fs::path out = scratch.path() / "out";
  const fs::path model = copy_model(scratch.path(), "llama_sharded");
  const auto model_before = contents(model);
  PortSettings settings;
  settings.shard_bytes = 20'000;
  settings.threads = 1;
  ASSERT_TRUE(port(model, out, settings));
  const auto expected = contents(out);
  const auto port_once = [&] { return port(model, out, settings).has_value(); };

  fs::remove_all(out);
  const Traced whole = run_traced(-1, port_once);
  if (!whole.is_possible) GTEST_SKIP() << "not run: this system does not allow ptrace";
  ASSERT_TRUE(whole.finished);
  const std::vector<int64_t> points = kill_points(whole.stops, kPoints);
  ASSERT_GE(points.size(), size_t{300});

  int64_t resumed = 0;
  int64_t absent = 0;
  for (const int64_t point : points) {
    SCOPED_TRACE(fmt::format("killed at stop {}, system call {}", point,
                             whole.stops[static_cast<size_t>(point)].call));
    fs::remove_all(out);
    const Traced killed = run_traced(point, port_once);
    EXPECT_FALSE(killed.finished);
    EXPECT_EQ(std::ssize(killed.stops), point + 1);
    if (fs::exists(out)) {
      EXPECT_TRUE(check_artifact(out));
      EXPECT_EQ(contents(out), expected);
    } else {
      ++absent;
    }
    // The unfinished folder passes for an artifact only when nothing but its name is missing.
    const fs::path partial = out.string() + ".partial";
    if (check_artifact(partial)) {
      EXPECT_EQ(contents(partial), expected);
    }
    EXPECT_EQ(contents(model), model_before);

    const auto again = port(model, out, settings);
    ASSERT_TRUE(again) << again.error().message;
    resumed += again->resumed_files > 0;
    EXPECT_EQ(contents(out), expected);
    EXPECT_FALSE(fs::exists(partial));
    EXPECT_FALSE(fs::exists(partial.string() + ".lock"));
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(absent, std::ssize(points) / 2);
  EXPECT_GT(resumed, std::ssize(points) / 4);
  std::printf("%zu of %zu stops: killed at each, %lld resumed\n", points.size(), whole.stops.size(),
              static_cast<long long>(resumed));
}

}  // namespace
}  // namespace lotse
