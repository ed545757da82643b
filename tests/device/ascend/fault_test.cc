// What goes wrong on a device or with its libraries: a clear error, and a process that goes on.
#include <cstdlib>
#include <fstream>

#include "device/ascend/ascend_device.h"
#include "engine/engine.h"
#include "tests/port/port_test_util.h"

namespace lotse {
namespace {

const std::filesystem::path kNano = std::filesystem::path(LOTSE_SOURCE_DIR) / "models/lotse-nano";

// The program on libraries of the test's choice; a process opens libraries only once.
struct Output {
  int status;
  std::string text;
};

Output run_program(const std::string& environment, const std::string& arguments) {
  const std::string command = environment + " " LOTSE_PROGRAM " " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe))
    text.append(buffer, count);
  return {WEXITSTATUS(::pclose(pipe)), text};
}

TEST(AscendFaults, NoLibrariesNamesThePlaces) {
  const Output output = run_program("LOTSE_ASCEND_LIBRARY_PATH=/nonexistent:/tmp/none",
                                    "run " + kNano.string() + " --device ascend:0 -p hi");
  EXPECT_EQ(output.status, 1);
  EXPECT_NE(output.text.find("looked for libascendcl.so in /nonexistent, /tmp/none"),
            std::string::npos)
      << output.text;
}

TEST(AscendFaults, FunctionsThatALibraryLacksAreNamed) {
  const std::string folder = std::string("LOTSE_ASCEND_LIBRARY_PATH=") + LOTSE_OLD_LIBRARIES;
  const Output output = run_program(folder, "run " + kNano.string() + " --device ascend:0 -p hi");
  EXPECT_EQ(output.status, 1);
  EXPECT_NE(output.text.find("lack"), std::string::npos) << output.text;
  EXPECT_NE(output.text.find("aclnnFusedInferAttentionScoreV2"), std::string::npos) << output.text;
}

TEST(AscendFaults, AnUnknownSocNamesTheKnownOnes) {
  const Output output = run_program("LOTSE_EMULATOR_SOC=Ascend999",
                                    "run " + kNano.string() + " --device ascend -p hi");
  EXPECT_EQ(output.status, 1);
  EXPECT_NE(output.text.find("Ascend910B3"), std::string::npos) << output.text;
}

// An operator fails in the middle of decoding: the next synchronise tells, and the program ends.
TEST(AscendFaults, AnAsynchronousFaultNamesTheOperator) {
  const Output output = run_program("LOTSE_EMULATOR_FAULT=aclnnSwiGlu:14",
                                    "run " + kNano.string() + " --device ascend -p 'Count to 9'");
  EXPECT_EQ(output.status, 1);
  EXPECT_NE(output.text.find("aclnnSwiGlu"), std::string::npos) << output.text;
  EXPECT_NE(output.text.find("LOTSE_EMULATOR_FAULT"), std::string::npos) << output.text;
}

// 310P has no BF16: the bundled model must be ported first, and then answers.
TEST(AscendFaults, A310PRefusesBf16AndRunsThePort) {
  const ScratchFolder scratch;
  const std::string soc = "LOTSE_EMULATOR_SOC=Ascend310P3";
  const std::string question = " --device ascend:0 -p 'What is 17 plus 25?'";
  const Output refused = run_program(soc, "run " + kNano.string() + question);
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.text.find("lotse port"), std::string::npos) << refused.text;
  const std::string out = (scratch.path() / "ported").string();
  const Output ported =
      run_program("", "port " + kNano.string() + " " + out + " --target ascend-310p --quant w8a8");
  ASSERT_EQ(ported.status, 0) << ported.text;
  const Output answer = run_program(soc, "run " + out + question);
  EXPECT_EQ(answer.status, 0);
  EXPECT_NE(answer.text.find("17 + 25 = 42"), std::string::npos) << answer.text;
}

}  // namespace
}  // namespace lotse
