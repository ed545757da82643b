#include "chip/rules.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "chip/profile.h"

namespace lotse {
namespace {

using Status = Support::Status;

ChipProfile chip(const std::string& name) { return load_chip(name).value(); }

// Every query a program may pose about one kind of operator, over all options that rules look at.
std::vector<OperatorQuery> queries(const std::string& kind) {
  std::vector<OperatorQuery> list;
  const std::vector<std::string> none = {""};
  std::vector<std::string> formats = none;
  if (has_weights(kind)) formats.assign(weight_formats().begin(), weight_formats().end());
  const std::vector<std::string> caches = {"f32", "f16", "bf16", "int8", "fp8"};
  const std::vector<std::string> functions = {"silu", "gelu_tanh", "gelu_erf", "swiglu_clamped"};
  for (const std::string& format : formats) {
    for (const std::string activation : {"f32", "f16", "bf16"}) {
      for (const std::string& kv : kind == "attention" ? caches : none) {
        for (const std::string& function : kind.ends_with("activation") ? functions : none) {
          OperatorQuery query{kind, format, activation, {}, {{"kv", kv}, {"function", function}}};
          list.push_back(query);
          for (const std::string_view option : number_options()) {
            for (const int64_t size : {1, 16, 24, 64, 256, 512, 576, 70000}) {
              query.number = {{"head_dim", 128}, {"group", 128}};
              query.number[std::string(option)] = size;
              list.push_back(query);
            }
          }
        }
      }
    }
  }
  return list;
}

TEST(Rules, NoHoleAnywhere) {
  for (const std::string& name : chip_names()) {
    const ChipProfile profile = chip(name);
    for (const std::string_view kind : operator_kinds()) {
      for (const OperatorQuery& query : queries(std::string(kind))) {
        const Support support = lookup(profile, query);
        EXPECT_EQ(support.why.find("has no rule"), std::string::npos)
            << support.why << " (" << kind << " " << query.weight_format << " " << query.activation
            << ")";
      }
    }
  }
}

TEST(Rules, AHoleIsReportedAsMissing) {
  ChipProfile empty;
  empty.name = "none";
  const Support support = lookup(empty, {"add", "", "bf16", {}, {}});
  EXPECT_EQ(support.status, Status::missing);
  EXPECT_EQ(support.why, "the profile none has no rule for add  bf16");
}

// A rule that earlier ones always hide, on every chip that has it, is a mistake in the data.
TEST(Rules, EveryRuleAnswersSomeQuery) {
  const auto key = [](const OperatorRule& rule) {
    return fmt::format("{} {} {} {} {} {}", fmt::join(rule.kinds, ","),
                       fmt::join(rule.formats, ","), fmt::join(rule.activations, ","),
                       rule.support.how, fmt::join(rule.support.from, ","), rule.support.why);
  };
  std::map<std::string, bool> used;
  for (const std::string& name : chip_names()) {
    const ChipProfile profile = chip(name);
    for (const OperatorRule& rule : profile.rules) used.emplace(key(rule), false);
    for (const std::string_view kind : operator_kinds()) {
      for (const OperatorQuery& query : queries(std::string(kind))) {
        if (const OperatorRule* rule = find_rule(profile, query)) used[key(*rule)] = true;
      }
    }
  }
  for (const auto& [rule, answers] : used) EXPECT_TRUE(answers) << rule;
}

TEST(Rules, ConversionsLeadToWhatTheChipRuns) {
  for (const std::string& name : chip_names()) {
    const ChipProfile profile = chip(name);
    for (const std::string_view kind : operator_kinds()) {
      for (OperatorQuery query : queries(std::string(kind))) {
        query.number = {{"group", 128}, {"head_dim", 128}};
        const Support first = lookup(profile, query);
        if (first.status != Status::converted) continue;
        ASSERT_FALSE(first.to.empty());
        // Follow the first choice: a weight format, a cache dtype or an activation dtype.
        for (int step = 0; step < 3; ++step) {
          const Support now = lookup(profile, query);
          if (now.status != Status::converted) break;
          const std::string& to = now.to.front();
          if (now.changes == Support::Changes::kv) {
            query.text["kv"] = to;
          } else if (now.changes == Support::Changes::activations) {
            query.activation = to;
          } else {
            query.weight_format = to;
            if (to == "w4a8") query.number["group"] = 256;
          }
        }
        const Support last = lookup(profile, query);
        const bool mxfp4 = query.weight_format == "mxfp4";  // no port reads it
        EXPECT_TRUE(last.status == Status::native || last.status == Status::composed ||
                    (last.status == Status::missing && (kind == "mla" || mxfp4)))
            << name << " " << kind << " " << first.how << " -> " << query.weight_format << " "
            << query.activation << " " << lotse::name(last.status);
      }
    }
  }
}

TEST(Rules, Fp8RunsOnlyWhereTheHardwareHasIt) {
  for (const std::string& name : chip_names()) {
    const Support support = lookup(chip(name), {"linear", "fp8_channel", "bf16", {}, {}});
    const bool native = name == "ascend-950" || name.starts_with("h");
    EXPECT_EQ(support.status == Status::native, native) << name;
    if (!native) EXPECT_EQ(support.status, Status::converted) << name;
  }
}

TEST(Rules, The310PConvertsEveryBf16Operator) {
  const ChipProfile profile = chip("ascend-310p");
  for (const std::string_view kind : operator_kinds()) {
    if (kind == "mla") continue;
    OperatorQuery query{std::string(kind), has_weights(kind) ? "bf16" : "", "bf16", {}, {}};
    EXPECT_EQ(lookup(profile, query).status, Status::converted) << kind;
    query.activation = "f16";
    if (has_weights(kind)) query.weight_format = "f16";
    EXPECT_NE(lookup(profile, query).status, Status::converted) << kind;
  }
}

TEST(Rules, AscendLimitsAreChecked) {
  const ChipProfile profile = chip("ascend-910b1");
  const auto linear = [&profile](const std::string& format, int64_t n, int64_t k, int64_t group) {
    return lookup(profile, {"linear", format, "bf16", {{"n", n}, {"k", k}, {"group", group}}, {}});
  };
  EXPECT_EQ(linear("w8a8", 65535, 4096, 0).how, "aclnnQuantMatmulV4");
  EXPECT_EQ(linear("w8a8", 65536, 4096, 0).status, Status::composed);
  EXPECT_EQ(linear("w4a16", 4096, 4096, 128).how, "aclnnWeightQuantBatchMatmulV2");
  EXPECT_EQ(linear("w4a16", 4096, 70000, 128).status, Status::composed);
  EXPECT_EQ(linear("w4a16", 4096, 4096, 48).status, Status::converted);
  EXPECT_EQ(linear("w4a8", 4096, 4096, 256).status, Status::native);
  EXPECT_EQ(linear("w4a8", 4096, 4096, 128).to.front(), "w4a8");
  EXPECT_EQ(linear("bf16", 151936, 4096, 0).how, "aclnnMatmul");
}

TEST(Rules, AscendAttention) {
  const ChipProfile profile = chip("ascend-910c");
  const auto attention = [&profile](std::map<std::string, int64_t> number, const std::string& kv) {
    return lookup(profile, {"attention", "", "bf16", std::move(number), {{"kv", kv}}});
  };
  EXPECT_EQ(attention({{"head_dim", 128}}, "bf16").how, "aclnnFusedInferAttentionScoreV2");
  EXPECT_EQ(attention({{"head_dim", 128}, {"window", 128}}, "bf16").status, Status::composed);
  EXPECT_EQ(attention({{"head_dim", 256}, {"softcap", 1}}, "bf16").status, Status::composed);
  EXPECT_EQ(attention({{"head_dim", 64}, {"sinks", 1}}, "bf16").status, Status::composed);
  EXPECT_EQ(attention({{"head_dim", 100}}, "bf16").status, Status::composed);
  EXPECT_EQ(attention({{"head_dim", 128}}, "int8").status, Status::native);
  EXPECT_EQ(attention({{"head_dim", 80}}, "int8").to, std::vector<std::string>{"bf16"});
  EXPECT_EQ(attention({{"head_dim", 128}}, "fp8").to.front(), "int8");
  EXPECT_EQ(attention({{"head_dim", 128}, {"gqa_ratio", 71}}, "bf16").status, Status::composed);
}

}  // namespace
}  // namespace lotse
