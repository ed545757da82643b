#include "inspect/report.h"

#include <gtest/gtest.h>

#include "scratch.h"

namespace lotse {
namespace {

TargetReport judge(const ModelFacts& model, const std::string& chip) {
  return judge_target(model, load_chip(chip).value(), {32, 2, ""});
}

void expect_contains(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in:\n" << text;
  }
}

TEST(Report, TextSaysWhatPeopleAskFor) {
  const Scratch scratch;
  scratch.write_fp8_llama("block");
  const ModelFacts model = examine_model(scratch.path()).value();
  const TargetReport report = judge(model, "ascend-910c");
  const std::string text = report_text(model, &report);
  expect_contains(text, {"family       Llama", "parameters", "a token in bf16", "batch 32",
                         "converted", "to w8a8 [1], then aclnnQuantMatmulV4", "aclnnRmsNorm",
                         "[1] `lotse port`: FP8 weights become W8A8", "29000 USD (press",
                         "Speeds are rooflines", "tokens/s", "supported yes   needs port yes",
                         "fits one chip yes   chips 1", report.verdict});
  const std::string alone = report_text(model, nullptr);
  EXPECT_EQ(alone.find("supported"), std::string::npos);
}

// The table is what memory_need says of each of its rows.
TEST(Report, MemoryTableIsConsistent) {
  const ModelFacts model = examine_model(golden("gemma3")).value();
  for (const MemoryRow& row : memory_table(model, model.storage)) {
    const MemoryNeed need = memory_need(model.program, model.storage, row.context, row.batch);
    EXPECT_DOUBLE_EQ(row.need.total(), need.total()) << row.context << " " << row.batch;
  }
}

TEST(Report, CpuSaysHowToMeasure) {
  const ModelFacts model = examine_model(golden("llama3_bf16")).value();
  const TargetReport report = judge(model, "cpu");
  expect_contains(report_text(model, &report), {"no estimate", "lotse bench --memory"});
  EXPECT_EQ(report_json(model, &report)["target"]["speed"]["basis"], "roofline");
}

TEST(Report, JsonHasWhatMachinesReadAndAgreesWithTheText) {
  const ModelFacts model = examine_model(golden("qwen3_moe")).value();
  const TargetReport report = judge(model, "ascend-910b2");
  const Json json = report_json(model, &report);
  for (const char* key : {"supported", "needs_port", "fits", "chips", "verdict", "operators",
                          "model", "memory", "target"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["supported"], true);
  EXPECT_EQ(json["chips"], 1);
  EXPECT_EQ(json["verdict"], report.verdict);
  EXPECT_EQ(json["operators"].size(), report.operators.size());
  int64_t count = 0;
  for (const Json& op : json["operators"]) {
    EXPECT_TRUE(op["status"] == "native" || op["status"] == "composed") << op.dump();
    EXPECT_TRUE(op["how"] != "" || !op["from"].empty()) << op.dump();
    count += op["count"].get<int64_t>();
  }
  EXPECT_EQ(count, std::ssize(model.program.ops));
  const Json& memory = json["memory"];
  EXPECT_EQ(memory["kv_bytes_per_token"],
            static_cast<int64_t>(kv_bytes_per_token(model.program, report.storage.kv)));
  for (const Json& row : memory["table"]) {
    EXPECT_TRUE(row["total_bytes"].is_number_integer());
    EXPECT_EQ(row["kv_bytes"].get<int64_t>(), row["context"].get<int64_t>() *
                                                  row["batch"].get<int64_t>() *
                                                  memory["kv_bytes_per_token"].get<int64_t>());
  }
  EXPECT_EQ(json["target"]["power_per_chip"]["from"], "press");
  EXPECT_FALSE(report_json(model, nullptr).contains("supported"));
}

TEST(Report, TensorsAreThoseOfTheFiles) {
  const ModelFacts model = examine_model(golden("llama3_bf16")).value();
  const Json json = tensors_json(model);
  ASSERT_EQ(std::ssize(json), model.tensors);
  int64_t bytes = 0;
  for (const Json& tensor : json) bytes += tensor["bytes"].get<int64_t>();
  EXPECT_EQ(bytes, model.stored_bytes);
  expect_contains(tensors_text(model), {"model.embed_tokens.weight", "bf16", "["});
}

}  // namespace
}  // namespace lotse
