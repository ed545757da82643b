#include "device/walk/support.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "chip/profile.h"
#include "programs.h"

namespace lotse {
namespace {

using Status = Support::Status;

TEST(SupportWalk, EveryOperatorStandsInExactlyOneRow) {
  const Program program = dense_program();
  const Storage storage = uniform_storage(program, "bf16", "bf16");
  const auto rows = check_support(program, storage, load_chip("ascend-910c").value());
  std::vector<size_t> seen;
  for (const SupportRow& row : rows) {
    EXPECT_EQ(row.count, std::ssize(row.ops));
    seen.insert(seen.end(), row.ops.begin(), row.ops.end());
  }
  std::ranges::sort(seen);
  ASSERT_EQ(seen.size(), program.ops.size());
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
  EXPECT_EQ(rows.front().name, "embed");
  EXPECT_EQ(rows[2].name, "qkv");
  EXPECT_EQ(rows[2].shape, "192 x 64");
  EXPECT_EQ(rows[2].support.how, "aclnnMatmul");
}

TEST(SupportWalk, QueriesSayWhatTheOperatorsAre) {
  const Program program = dense_program(7, Activation::gelu_tanh);
  Storage storage = uniform_storage(program, "w4a16", "f16");
  storage.kv = "int8";
  std::map<std::string, OperatorQuery> queries;
  for (const Op& op : program.ops) queries[op.name] = operator_query(program, storage, op);
  const OperatorQuery& attention = queries["layers.0.attention"];
  EXPECT_EQ(attention.kind, "attention");
  EXPECT_EQ(attention.number.at("head_dim"), 16);
  EXPECT_EQ(attention.number.at("gqa_ratio"), 4);
  EXPECT_EQ(attention.number.at("window"), 7);
  EXPECT_EQ(attention.text.at("kv"), "int8");
  const OperatorQuery& qkv = queries["layers.0.qkv"];
  EXPECT_EQ(qkv.weight_format, "w4a16");
  EXPECT_EQ(qkv.activation, "f16");
  EXPECT_EQ(qkv.number.at("n"), 192);
  EXPECT_EQ(qkv.number.at("k"), 64);
  EXPECT_EQ(qkv.number.at("group"), 128);
  EXPECT_EQ(queries["layers.0.activation"].text.at("function"), "gelu_tanh");
}

Storage ported(const std::string& format, const std::string& chip,
               const std::string& preferred = "") {
  const Program program = dense_program();
  return legalise(program, uniform_storage(program, format, "bf16"), load_chip(chip).value(),
                  preferred);
}

TEST(SupportWalk, LegaliseFollowsTheChip) {
  const auto qkv = [](const Storage& storage) { return storage.weights[2].format; };
  EXPECT_EQ(qkv(ported("fp8_block", "ascend-910b1")), "w8a8");
  EXPECT_EQ(qkv(ported("fp8_block", "ascend-910b1", "bf16")), "bf16");
  EXPECT_EQ(qkv(ported("fp8_block", "h100")), "fp8_block");
  EXPECT_EQ(qkv(ported("bf16", "ascend-910c")), "bf16");
  EXPECT_EQ(qkv(ported("bf16", "ascend-910c", "w8a8")), "bf16");  // nothing to convert
  const Storage old = ported("bf16", "ascend-310p");
  EXPECT_EQ(qkv(old), "f16");
  EXPECT_EQ(old.activation, "f16");
  EXPECT_EQ(old.kv, "f16");
  EXPECT_EQ(ported("w4a8", "ascend-910b1").weights[2].group, 256);
}

// Whatever a model is stored in, every chip runs it after the conversions it asks for. MXFP4 runs
// only where the chip or its libraries multiply it.
TEST(SupportWalk, NothingIsLeftToConvert) {
  for (const std::string& name : chip_names()) {
    const ChipProfile chip = load_chip(name).value();
    for (const Program& program : {dense_program(), moe_program()}) {
      for (const std::string_view format : weight_formats()) {
        for (const std::string activation : {"f32", "f16", "bf16"}) {
          const Storage storage =
              legalise(program, uniform_storage(program, std::string(format), activation), chip);
          for (const SupportRow& row : check_support(program, storage, chip)) {
            const bool no_mxfp4 = row.support.status == Status::missing && format == "mxfp4" &&
                                  (name == "cpu" || name.starts_with("ascend-")) &&
                                  name != "ascend-950";
            EXPECT_TRUE(row.support.status == Status::native ||
                        row.support.status == Status::composed || no_mxfp4)
                << name << " " << format << " " << activation << " " << row.name << ": "
                << row.support.how << row.support.why;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lotse
