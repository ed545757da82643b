#include "chip/profile.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "chip/builtin.h"

namespace lotse {
namespace {

const std::vector<std::string> kTargets = {
    "a100",         "ascend-310p", "ascend-910b1", "ascend-910b2", "ascend-910b3",
    "ascend-910b4", "ascend-910c", "ascend-950",   "cpu",          "h100",
    "h20",          "h200",        "h800"};

ChipProfile chip(const std::string& name) {
  auto profile = load_chip(name);
  EXPECT_TRUE(profile) << (profile ? "" : profile.error().message);
  return profile ? *profile : ChipProfile{};
}

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::ranges::find(list, item) != list.end();
}

TEST(Profiles, EveryTargetLoads) {
  EXPECT_EQ(chip_names(), kTargets);
  for (const std::string& name : kTargets) {
    const ChipProfile profile = chip(name);
    EXPECT_EQ(profile.name, name);
    EXPECT_FALSE(profile.title.empty());
    EXPECT_FALSE(profile.rules.empty()) << name;
  }
}

TEST(Profiles, EveryAcceleratorHasWhatPlanningNeeds) {
  for (const std::string& name : kTargets) {
    if (name == "cpu") continue;
    const ChipProfile profile = chip(name);
    EXPECT_TRUE(profile.memory_bytes) << name;
    EXPECT_TRUE(profile.memory_bandwidth) << name;
    EXPECT_TRUE(peak(profile, MathType::f16)) << name;
    EXPECT_TRUE(peak(profile, MathType::i8)) << name;
    EXPECT_TRUE(profile.power) << name;
  }
}

// Nothing is invented for the machine at hand: its numbers come from `lotse bench`.
TEST(Profiles, CpuStatesNoNumbers) {
  ChipProfile profile = chip("cpu");
  for (const ConstantField& field : constant_fields()) {
    EXPECT_FALSE(field.get(profile)) << field.table << "." << field.key;
  }
}

TEST(Profiles, DerivedAndPressNumbersSayFromWhat) {
  for (const std::string& name : kTargets) {
    ChipProfile profile = chip(name);
    for (const ConstantField& field : constant_fields()) {
      const MaybeConstant& constant = field.get(profile);
      if (!constant) continue;
      EXPECT_TRUE(std::isfinite(constant->value) && constant->value > 0) << name << field.key;
      if (constant->from >= Provenance::derived) {
        EXPECT_FALSE(constant->note.empty()) << name << " " << field.table << "." << field.key;
      }
    }
  }
}

// Each field stands at a place of its own in the profile and in the format.
TEST(Profiles, FieldsAreDistinct) {
  ChipProfile profile;
  const auto& fields = constant_fields();
  for (size_t i = 0; i < fields.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_NE(&fields[i].get(profile), &fields[j].get(profile)) << fields[i].key;
      EXPECT_FALSE(std::string(fields[i].table) == fields[j].table &&
                   std::string(fields[i].key) == fields[j].key);
    }
  }
}

// The cube multiplies 16 x 16 x 16 FP16 or BF16 a core and cycle, twice as many INT8, four times
// as many INT4: recomputed from cores and clock.
TEST(Profiles, AscendPeaksFollowFromCoresAndClock) {
  for (const std::string& name : kTargets) {
    if (!name.starts_with("ascend-")) continue;
    const ChipProfile profile = chip(name);
    const double rate = profile.matrix_cores->value * profile.clock->value * 16 * 16 * 16 * 2;
    EXPECT_NEAR(peak(profile, MathType::f16)->value / rate, 1, 1e-3) << name;
    EXPECT_NEAR(peak(profile, MathType::i8)->value / rate, 2, 2e-3) << name;
    for (const MathType type : {MathType::bf16, MathType::i4, MathType::vector}) {
      if (!peak(profile, type)) continue;
      const double expected = type == MathType::bf16 ? rate
                              : type == MathType::i4
                                  ? 4 * rate
                                  : profile.vector_cores->value * 64 * profile.clock->value;
      EXPECT_NEAR(peak(profile, type)->value / expected, 1, 2e-3)
          << name << " " << lotse::name(type);
      EXPECT_EQ(peak(profile, type)->from, Provenance::derived);
    }
  }
}

TEST(Profiles, DerivedEfficienciesFollowFromTheirMeasurements) {
  const ChipProfile b2 = chip("ascend-910b2");
  EXPECT_NEAR(b2.gemm_efficiency->value, 311e12 / peak(b2, MathType::bf16)->value, 0.005);
  EXPECT_NEAR(b2.gemm_i8_efficiency->value, 544e12 / peak(b2, MathType::i8)->value, 0.005);
  EXPECT_NEAR(b2.memory_efficiency->value, 1.21e12 / b2.memory_bandwidth->value, 0.005);
  EXPECT_NEAR(b2.memory_i8_efficiency->value, 1.04e12 / b2.memory_bandwidth->value, 0.005);
  EXPECT_NEAR(b2.memory_attention_efficiency->value, 1.5e12 / b2.memory_bandwidth->value, 0.005);
  EXPECT_NEAR(b2.memory_bandwidth->value, 1.6 * std::pow(2.0, 40), 1e9);
  const ChipProfile h200 = chip("h200");
  EXPECT_NEAR(h200.gemm_efficiency->value, 769.0 / 989, 0.005);
  EXPECT_NEAR(h200.memory_efficiency->value, 4.3 / 4.8, 0.005);
}

TEST(Profiles, DtypesAgreeWithTheHardware) {
  for (const std::string& name : kTargets) {
    const ChipProfile profile = chip(name);
    const bool f8 = has(profile.matmul, "f8_e4m3");
    const bool expected = name == "ascend-950" || (name.starts_with("h"));
    EXPECT_EQ(f8, expected) << name;
    EXPECT_EQ(peak(profile, MathType::f8).has_value(), expected) << name;
    if (name == "cpu") continue;
    EXPECT_EQ(has(profile.matmul, "bf16"), name != "ascend-310p") << name;
    EXPECT_EQ(has(profile.matmul, "bf16"), peak(profile, MathType::bf16).has_value()) << name;
    EXPECT_EQ(has(profile.matmul, "i4"), peak(profile, MathType::i4).has_value()) << name;
    for (const std::string& dtype : profile.matmul) {
      EXPECT_TRUE(dtype == "tf32" || has(profile.storage, dtype)) << name << " " << dtype;
    }
  }
}

TEST(Profiles, The910CIsTwoDevicesAChip) {
  const ChipProfile package = chip("ascend-910c");
  EXPECT_EQ(package.devices_per_chip, 2);
  EXPECT_EQ(package.package.devices, 2);
  EXPECT_NEAR(2 * peak(package, MathType::bf16)->value, 708e12, 1e12);
  EXPECT_NEAR(2 * package.memory_bytes->value, 128e9, 1);
  for (const std::string& name : kTargets) {
    if (name != "ascend-910c") EXPECT_EQ(chip(name).devices_per_chip, 1) << name;
  }
}

// The chip's own numbers go before its family's, the rest is inherited.
TEST(Profiles, FamiliesFillOnlyWhatIsAbsent) {
  const ChipProfile h800 = chip("h800");
  EXPECT_EQ(h800.node.bandwidth->value, 200e9);
  EXPECT_EQ(h800.node.devices, 8);
  EXPECT_DOUBLE_EQ(h800.node.latency->value, 10e-6);
  EXPECT_EQ(chip("h200").gemm_efficiency->from, Provenance::measured);
  EXPECT_EQ(chip("h100").gemm_efficiency->from, Provenance::derived);
}

TEST(Profiles, UnknownNameListsTheKnownOnes) {
  const auto none = load_chip("h1000");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_NE(none.error().message.find("ascend-910b4, ascend-910c"), std::string::npos);
  EXPECT_FALSE(load_chip("families/ascend-910"));
  EXPECT_FALSE(load_chip("../chips/h100"));
  EXPECT_EQ(load_chip("/nowhere/x.toml").error().code, ErrorCode::io);
}

class Override : public testing::Test {
 protected:
  Override()
      : folder_(std::filesystem::temp_directory_path() /
                ("lotse-chips-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_ / "families");
  }
  ~Override() override {
    unsetenv("LOTSE_CHIPS");
    std::filesystem::remove_all(folder_);
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  std::filesystem::path folder_;
};

TEST_F(Override, ADirectoryReplacesAndAddsProfiles) {
  write("h20.toml",
        "name = 'h20'\ntitle = 'mine'\nvendor = 'nvidia'\nfamily = ['own', 'nvidia-hopper']\n"
        "[price]\nchip_usd = { value = 9999, from = 'press', note = 'an offer' }\n");
  write("own.toml", "name = 'own'\ntitle = 'own'\nvendor = 'me'\nstorage = ['f32']\n");
  write("families/own.toml", "[power]\nchip_w = { value = 333, from = 'measured' }\n");
  setenv("LOTSE_CHIPS", folder_.c_str(), 1);
  const ChipProfile mine = chip("h20");
  EXPECT_EQ(mine.title, "mine");
  EXPECT_EQ(mine.price->value, 9999);
  EXPECT_EQ(mine.power->value, 333);
  EXPECT_EQ(mine.node.devices, 8);
  EXPECT_EQ(chip("own").vendor, "me");
  EXPECT_TRUE(std::ranges::count(chip_names(), std::string("own")) == 1);
  EXPECT_EQ(chip_names().size(), kTargets.size() + 1);
  unsetenv("LOTSE_CHIPS");
  EXPECT_EQ(chip((folder_ / "h20.toml").string()).title, "mine");
}

// The table in the documentation is the one that the profiles give.
TEST(Profiles, DocumentationShowsTheNumbers) {
  std::vector<ChipProfile> chips;
  for (const std::string& name : kTargets) chips.push_back(chip(name));
  std::ifstream file(LOTSE_SOURCE_DIR "/docs/chips.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(text.find(markdown_table(chips)), std::string::npos)
      << "docs/chips.md lacks this table:\n"
      << markdown_table(chips);
}

}  // namespace
}  // namespace lotse
