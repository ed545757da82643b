#include <gtest/gtest.h>

#include "chip/profile.h"

namespace lotse {
namespace {

constexpr const char* kHead = "name = 'x'\ntitle = 'X'\nvendor = 'v'\nstorage = ['f32']\n";

struct Case {
  std::string text;   // after kHead, which is four lines
  std::string error;  // the whole message
};

void expect_errors(const std::vector<Case>& cases) {
  for (const Case& item : cases) {
    const auto chip = parse_chip(kHead + item.text, "x.toml");
    ASSERT_FALSE(chip) << item.text;
    EXPECT_EQ(chip.error().message, item.error) << item.text;
    EXPECT_EQ(chip.error().code, ErrorCode::invalid_input);
  }
  EXPECT_TRUE(parse_chip(kHead, "x.toml"));
}

TEST(MalformedProfile, KeysAndTypes) {
  expect_errors({
      {"speed = 3", "x.toml:5: speed: unknown key"},
      {"soc = 3", "x.toml:5: soc: expected a string or an array of strings"},
      {"soc = []", "x.toml:5: soc: must not be empty"},
      {"soc = ['']", "x.toml:5: soc: must not be empty"},
      {"soc = ['a', 3]", "x.toml:5: soc: expected a string"},
      {"note = ''", "x.toml:5: note: must not be empty"},
      {"matmul = ['f9']", "x.toml:5: matmul: unknown dtype \"f9\""},
      {"devices_per_chip = 0", "x.toml:5: devices_per_chip: expected an integer from 1 to 64"},
      {"devices_per_chip = 1.5", "x.toml:5: devices_per_chip: expected an integer from 1 to 64"},
      {"memory = 3", "x.toml:5: memory: expected a table"},
      {"\n[memory]\nsize = 3", "x.toml:7: memory.size: unknown key"},
      {"[link]\ncable = 3", "x.toml:6: link.cable: unknown key; known: package, node, cluster"},
      {"[link.node]\nspeed = 3", "x.toml:6: link.node.speed: unknown key"},
      {"[link.node]\ndevices = 1",
       "x.toml:6: link.node.devices: expected an integer from 2 to 1000000"},
      {"[link.node]\ntopology = 'star'",
       "x.toml:6: link.node.topology: unknown \"star\"; known: pair, mesh, switch, network"},
  });
}

TEST(MalformedProfile, Constants) {
  const std::string gb = "[memory]\ngb = ";
  expect_errors({
      {gb + "64", "x.toml:6: memory.gb: expected a table"},
      {gb + "{ value = 64 }",
       "x.toml:6: memory.gb: from is missing: every constant states its source"},
      {gb + "{ from = 'file' }", "x.toml:6: memory.gb: value is missing"},
      {gb + "{ value = 'big', from = 'file' }", "x.toml:6: memory.gb.value: expected a number"},
      {gb + "{ value = 0, from = 'file' }",
       "x.toml:6: memory.gb.value: expected a number above 0 and up to 1000000000, got 0"},
      {gb + "{ value = -3, from = 'file' }",
       "x.toml:6: memory.gb.value: expected a number above 0 and up to 1000000000, got -3"},
      {gb + "{ value = nan, from = 'file' }",
       "x.toml:6: memory.gb.value: expected a number above 0 and up to 1000000000, got nan"},
      {gb + "{ value = inf, from = 'file' }",
       "x.toml:6: memory.gb.value: expected a number above 0 and up to 1000000000, got inf"},
      {gb + "{ value = 64, from = 'hearsay' }",
       "x.toml:6: memory.gb.from: unknown \"hearsay\"; known: measured, file, datasheet, derived, "
       "press"},
      {gb + "{ value = 64, from = 'press' }",
       "x.toml:6: memory.gb: note is missing: a press number says from what"},
      {gb + "{ value = 64, from = 'derived' }",
       "x.toml:6: memory.gb: note is missing: a derived number says from what"},
      {gb + "{ value = 64, from = 'file', unit = 'GB' }",
       "x.toml:6: memory.gb.unit: unknown key; a constant has value, from, note"},
      {"[efficiency]\ngemm = { value = 1.01, from = 'measured' }",
       "x.toml:6: efficiency.gemm.value: expected a number above 0 and up to 1, got 1.01"},
  });
}

TEST(MalformedProfile, Operators) {
  const std::string rule = "[[operator]]\n";
  expect_errors({
      {"operator = 3", "x.toml:5: operator: expected [[operator]] tables"},
      {"operator = [3]", "x.toml:5: operator: expected a table"},
      {rule + "status = 'native'\nby = 'y'", "x.toml:5: operator: kind is missing"},
      {rule + "kind = 'add'", "x.toml:5: operator: status is missing"},
      {rule + "kind = 'conv'",
       "x.toml:6: operator.kind: unknown \"conv\"; known: embed, linear, rms_norm, layer_norm, "
       "rope, attention, bidirectional_attention, gated_activation, activation, add, scale, "
       "softcap, gather_rows, moe, mla, all_reduce, all_gather, all_to_all"},
      {rule + "kind = 'add'\nactivation = 'f8'",
       "x.toml:7: operator.activation: unknown \"f8\"; known: f32, f16, bf16"},
      {rule + "kind = 'add'\nstatus = 'maybe'",
       "x.toml:7: operator.status: unknown \"maybe\"; known: native, converted, composed, missing"},
      {rule + "kind = 'add'\nstatus = 'native'", "x.toml:5: operator: a native operator needs by"},
      {rule + "kind = 'add'\nstatus = 'composed'",
       "x.toml:5: operator: a composed operator needs from"},
      {rule + "kind = 'add'\nstatus = 'converted'\nhow = 'y'",
       "x.toml:5: operator: a converted operator needs changes, how and to"},
      {rule + "kind = 'add'\nat_load = 1", "x.toml:7: operator.at_load: expected true or false"},
      {rule + "kind = 'add'\nchanges = 'shape'",
       "x.toml:7: operator.changes: unknown \"shape\"; known: weights, activations, kv"},
      {rule + "kind = 'add'\nstatus = 'missing'\nwhy = 'y'",
       "x.toml:5: operator: a missing operator needs why and helps"},
      {rule + "kind = 'add'\ncolour = 'red'",
       "x.toml:7: operator.colour: unknown key; an operator has kind, format, activation, when, "
       "status, by, changes, at_load, how, from, to, why, helps"},
      {rule + "kind = 'add'\nwhen = { phase = 1 }",
       "x.toml:7: operator.when.phase: unknown option; known: head_dim, heads, gqa_ratio, window, "
       "softcap, sinks, experts, k, n, group, kv, function"},
      {rule + "kind = 'add'\nwhen = { n = 1 }", "x.toml:7: operator.when.n: expected a table"},
      {rule + "kind = 'add'\nwhen = { n = { least = 1 } }",
       "x.toml:7: operator.when.n.least: unknown key; a range has min, max, multiple"},
      {rule + "kind = 'add'\nwhen = { n = { multiple = 0 } }",
       "x.toml:7: operator.when.n.multiple: expected an integer from 1 to 1099511627776"},
  });
}

TEST(MalformedProfile, Syntax) {
  for (const std::string& text : {std::string("="), std::string("[memory"), std::string("a = 'x"),
                                  std::string("name = 'twice'"), std::string("\xff\xfe"),
                                  "a = " + std::string(100'000, '['), std::string(1000, '\0')}) {
    const auto chip = parse_chip(kHead + text, "x.toml");
    ASSERT_FALSE(chip) << text.substr(0, 20);
    EXPECT_TRUE(chip.error().message.starts_with("x.toml:")) << chip.error().message;
  }
}

TEST(MalformedProfile, LettersBeyondAscii) {
  expect_errors({{"note = 'ok'\n\xce\x96 = 1", "x.toml:6: expected ASCII only"},
                 {"note = '\xef\xbb\xbf'", "x.toml:5: expected ASCII only"}});
}

// What toml++ itself only asserts.
TEST(MalformedProfile, BracesWhereAValueOfAnArrayIsDue) {
  const std::string error = "x.toml: not valid TOML: a bracket or brace is misplaced";
  expect_errors({{"soc = [ }", error}, {"soc = ['a', }", error}, {"memory = { gb = [ } }", error}});
}

TEST(MalformedProfile, MissingAndFamilies) {
  EXPECT_EQ(parse_chip("", "x.toml").error().message, "x.toml: name is missing");
  EXPECT_EQ(parse_chip("name = 'x'\ntitle = 'x'\nvendor = 'v'", "x.toml").error().message,
            "x.toml: storage is missing: name the dtypes it can hold");
  for (const std::string family : {"nothing", "../../etc/passwd", "ascend 910", "A"}) {
    const auto chip = parse_chip(kHead + ("family = '" + family + "'"), "x.toml", "/etc");
    ASSERT_FALSE(chip);
    EXPECT_EQ(chip.error().message, "x.toml: family: no family is called \"" + family + "\"");
  }
}

}  // namespace
}  // namespace lotse
