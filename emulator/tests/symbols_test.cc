// Every symbol that a public backend links against is exported by the library that it links, and
// every header that it includes is in the toolkit's directory.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace emulator_test {
namespace {

std::string_view library_of(std::string_view symbol) {
  if (symbol.starts_with("aclnn")) return "libopapi.so";
  for (const char* object : {"aclCreate", "aclDestroy"}) {
    if (symbol.starts_with(object)) return "libnnopbase.so";
  }
  return "libascendcl.so";
}

TEST(Symbols, AreExported) {
  std::ifstream file(LOTSE_SYMBOLS_FILE);
  ASSERT_TRUE(file.is_open()) << LOTSE_SYMBOLS_FILE;
  int count = 0;
  for (std::string symbol; std::getline(file, symbol); ++count) {
    void* address = dlsym(RTLD_DEFAULT, symbol.c_str());
    Dl_info where = {};
    ASSERT_TRUE(address != nullptr && dladdr(address, &where) != 0) << symbol << " is missing";
    EXPECT_EQ(std::filesystem::path(where.dli_fname).filename(), library_of(symbol)) << symbol;
  }
  EXPECT_EQ(count, 228);
}

TEST(Headers, AreInTheToolkit) {
  std::ifstream file(LOTSE_HEADERS_FILE);
  ASSERT_TRUE(file.is_open()) << LOTSE_HEADERS_FILE;
  int count = 0;
  for (std::string header; std::getline(file, header); ++count) {
    EXPECT_TRUE(std::filesystem::exists(LOTSE_TOOLKIT "/include/" + header)) << header;
  }
  EXPECT_EQ(count, 87);
}

}  // namespace
}  // namespace emulator_test
