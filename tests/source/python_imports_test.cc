#include "source/python_imports.h"

#include <gtest/gtest.h>

#include "source/python_uses.h"

namespace lotse {
namespace {

// What the last name `x` of a source stands for: the dotted names and members that are read there.
std::string last_name(const std::string& source) {
  std::string last;
  read_python(source, false, [&last](const Use& use) {
    if (use.place == Place::python_name && !use.is_import) last = use.text;
    if (use.place == Place::python_member) last = "." + use.text;
    return use.place == Place::python_name;
  });
  return last;
}

TEST(PythonImports, Aliases) {
  EXPECT_EQ(last_name("import torch\ntorch.cuda.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("import torch.cuda\ntorch.cuda.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("import torch.cuda as tc\ntc.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("import os, torch.cuda as tc, re\ntc.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("from torch import cuda\ncuda.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("from torch import (nn,\n  cuda as c, # x\n)\nc.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("from torch.cuda import f as g\ng()"), "torch.cuda.f");
  EXPECT_EQ(last_name("import torch; torch.f()"), "torch.f");
  EXPECT_EQ(last_name("try: import torch as t\nexcept ImportError: t = None\nt.f()"), "torch.f");
  EXPECT_EQ(last_name("import torch\ntc = torch.cuda\ntc.f()"), "torch.cuda.f");
  EXPECT_EQ(last_name("def g():\n  torch.f()\nimport torch\n"), "torch.f");  // called later
}

TEST(PythonImports, WhatIsNotImported) {
  EXPECT_EQ(last_name("from .torch import cuda\ncuda.f()"), ".f()");
  EXPECT_EQ(last_name("from . import torch\ntorch.f()"), ".f()");
  EXPECT_EQ(last_name("x.f()"), ".f()");
  EXPECT_EQ(last_name("x = y if import_torch else z\nx.f()"), ".f()");
}

TEST(PythonImports, Scopes) {
  EXPECT_EQ(last_name("import torch\ndef g(a, torch=1):\n  torch.f()\n"), ".f()");
  EXPECT_EQ(last_name("import torch\ndef g(*torch): return torch.f()\n"), ".f()");
  EXPECT_EQ(last_name("import torch\ndef g(torch):\n  pass\ntorch.f()\n"), "torch.f");
  EXPECT_EQ(last_name("import torch\ndef g(torch): pass\ntorch.f()\n"), "torch.f");
  EXPECT_EQ(last_name("import torch\ndef g():\n  torch = h()\n  torch.f()\n"), ".f()");
  EXPECT_EQ(last_name("def g():\n  import torch\nclass X:\n  def h(self):\n    torch.f()\n"),
            ".f()");
  EXPECT_EQ(last_name("def g():\n  import torch\n  if x:\n    torch.f()\n"), "torch.f");
  EXPECT_EQ(last_name("import torch\ndef g(a: torch.A = torch.b) -> torch.c:\n  pass"), "torch.c");
}

TEST(PythonImports, WhereTorchIsImported) {
  const auto place = [](const std::string& source) {
    const PythonFile file = read_python(source, false, [](const Use&) { return false; });
    return source.substr(file.torch_import.begin, file.torch_import.end - file.torch_import.begin);
  };
  EXPECT_EQ(place("import os\nimport torch\nx\n"), "import torch\n");
  EXPECT_EQ(place("import os\nfrom torch import (\n  nn)\nx\n"), "from torch import (\n  nn)\n");
  EXPECT_EQ(place("if x: import torch\nimport torch.nn # y\n"), "import torch.nn # y\n");
  EXPECT_EQ(place("import torchvision\n"), "");
}

}  // namespace
}  // namespace lotse
