#include "source/examine.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

// The source with its renames made; made again, they change nothing.
std::string renamed(const std::string& source, Language language = Language::python) {
  const auto make = [language](const std::string& text) {
    return apply_edits(text, examine_source(text, language, RuleTable::builtin(), nullptr).edits);
  };
  const std::string result = make(source);
  EXPECT_EQ(make(result), result);
  return result;
}

TEST(Renames, Names) {
  EXPECT_EQ(renamed("import torch\ntorch . cuda \\\n .synchronize()\n"),
            "import torch\nimport torch_npu\ntorch . npu \\\n .synchronize()\n");
  EXPECT_EQ(renamed("import torch.cuda as tc\ntc.synchronize()\n"),
            "import torch.npu as tc\nimport torch_npu\ntc.synchronize()\n");
  EXPECT_EQ(renamed("from torch import nn, cuda\ncuda.synchronize()\n"),
            "from torch import nn, npu\nimport torch_npu\nnpu.synchronize()\n");
  EXPECT_EQ(renamed("from torch.cuda.amp import autocast, GradScaler as G\nG()\n"),
            "from torch.npu.amp import autocast, GradScaler as G\nimport torch_npu\nG()\n");
  EXPECT_EQ(renamed("from torch.cuda import CUDAGraph\ng = CUDAGraph()\n"),
            "from torch.npu import NPUGraph\nimport torch_npu\ng = NPUGraph()\n");
}

TEST(Renames, OnlyWhatIsWhole) {
  // memory_usage has no counterpart, so its module stays for both.
  const std::string mixed = "from torch.cuda import synchronize, memory_usage\nsynchronize()\n";
  EXPECT_EQ(renamed(mixed), mixed);
  const std::string through = "from torch import cuda\ncuda.synchronize()\ncuda.memory_usage()\n";
  EXPECT_EQ(renamed(through), through);
}

TEST(Renames, StringsOfDevicesAlone) {
  EXPECT_EQ(renamed("x.to('cuda', f\"cuda:{i}\", r'cuda:0')\n"),
            "x.to('npu', f\"npu:{i}\", r'npu:0')\n");
  const std::string others =
      "'cuda'\n# cuda torch.cuda.synchronize()\nprint('a cuda device', 'cuda_x', f'{x}cuda:1')\n";
  EXPECT_EQ(renamed(others), others);
  EXPECT_EQ(renamed("print(f\"{x.cuda()} {'cuda'}\")\n"), "print(f\"{x.npu()} {'npu'}\")\n");
}

TEST(Renames, ImportOfTorchNpu) {
  EXPECT_EQ(renamed("try:\n    import torch\nexcept E: pass\nx.cuda()\n"),
            "try:\n    import torch\n    import torch_npu\nexcept E: pass\nx.npu()\n");
  EXPECT_EQ(renamed("import torch\r\nx.cuda()\r\n"),
            "import torch\r\nimport torch_npu\r\nx.npu()\r\n");
  EXPECT_EQ(renamed("x.cuda(); import os\nimport torch"),
            "x.npu(); import os\nimport torch\nimport torch_npu\n");
  EXPECT_EQ(renamed("import torch_npu\nimport torch\nx.cuda()\n"),
            "import torch_npu\nimport torch\nx.npu()\n");
  EXPECT_EQ(renamed("import torch\nos.environ['CUDA_VISIBLE_DEVICES']\n"),
            "import torch\nos.environ['ASCEND_RT_VISIBLE_DEVICES']\n");
}

TEST(Renames, Cuda) {
  EXPECT_EQ(renamed("cudaStream_t s; // cudaStream_t\nf(\"cudaStream_t\"); cuda\\\nFree(p);\n",
                    Language::cuda),
            "aclrtStream s; // cudaStream_t\nf(\"cudaStream_t\"); cuda\\\nFree(p);\n");
  EXPECT_EQ(renamed("cudaEventRecord(e); cudaEventRecord(e, g(a, b));\n", Language::cpp),
            "cudaEventRecord(e); aclrtRecordEvent(e, g(a, b));\n");
  EXPECT_EQ(renamed("#include <cuda_runtime.h>\n#include \"nccl.h\"\n", Language::cpp),
            "#include <acl/acl.h>\n#include \"hccl/hccl.h\"\n");
  EXPECT_EQ(renamed("at::cuda::getCurrentCUDAStream()\n", Language::cpp),
            "c10_npu::getCurrentNPUStream()\n");
}

TEST(Renames, Shell) {
  EXPECT_EQ(
      renamed("CUDA_VISIBLE_DEVICES=\"${CUDA_VISIBLE_DEVICES:-0}\" a --device cuda # cuda\n",
              Language::shell),
      "ASCEND_RT_VISIBLE_DEVICES=\"${ASCEND_RT_VISIBLE_DEVICES:-0}\" a --device npu # cuda\n");
}

TEST(Examine, SaysWhereAndWhat) {
  const Examined examined = examine_source(
      "import triton\n\n@triton.jit\ndef add(x):\n    pass\n\nx = [1,\n  y.cuda()]\n",
      Language::python, RuleTable::builtin(), nullptr);
  ASSERT_EQ(examined.findings.size(), 2u);
  EXPECT_EQ(examined.findings[0].found, "@triton.jit add");
  EXPECT_EQ(examined.findings[0].line, 3);
  EXPECT_EQ(examined.findings[0].column, 2);
  EXPECT_EQ(examined.findings[1].found, ".cuda()");
  EXPECT_EQ(examined.findings[1].line, 8);
  EXPECT_EQ(examined.findings[1].column, 5);
  EXPECT_TRUE(examined.findings[1].in_patch);
}

TEST(Examine, AssemblyIsPtxOnlyInCuda) {
  const std::string assembly = "asm(\"mov %0, %1\" : \"=r\"(a) : \"r\"(b));";
  const auto count = [](const std::string& source) {
    return examine_source(source, Language::cpp, RuleTable::builtin(), nullptr).findings.size();
  };
  EXPECT_EQ(count(assembly), 0u);
  EXPECT_EQ(count("__device__ void f() {" + assembly + "}"), 1u);
  EXPECT_GE(count("CUTE_DEVICE void f() {" + assembly + "}"), 1u);
}

TEST(Examine, FindingsHaveALimit) {
  std::string source;
  for (size_t i = 0; i < kMostFindings + 5; ++i) source += "cudaFree(p);\n";
  const Examined examined = examine_source(source, Language::cuda, RuleTable::builtin(), nullptr);
  EXPECT_TRUE(examined.cut_short);
  EXPECT_EQ(examined.findings.size(), kMostFindings);
}

TEST(Examine, LanguagesByName) {
  EXPECT_EQ(language_of("a/b.py"), Language::python);
  EXPECT_EQ(language_of("setup.py"), Language::setup_py);
  EXPECT_EQ(language_of("x.cu"), Language::cuda);
  EXPECT_EQ(language_of("x.hpp"), Language::cpp);
  EXPECT_EQ(language_of("docker/Dockerfile.gpu"), Language::container);
  EXPECT_EQ(language_of("requirements-dev.txt"), Language::requirements);
  EXPECT_EQ(language_of("environment.yml"), Language::requirements);
  EXPECT_EQ(language_of("CMakeLists.txt"), Language::cmake);
  EXPECT_EQ(language_of("notes.txt"), std::nullopt);
  EXPECT_EQ(language_of("py"), std::nullopt);
}

}  // namespace
}  // namespace lotse
