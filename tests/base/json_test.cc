#include "base/json.h"

#include <gtest/gtest.h>

namespace lotse {
namespace {

TEST(Json, RejectsDuplicateKeysDepthAndGarbage) {
  EXPECT_TRUE(parse_json(R"({"a":{"b":1},"c":{"b":2}})", "x"));
  const auto duplicate = parse_json(R"({"a":1,"a":2})", "config.json");
  ASSERT_FALSE(duplicate);
  EXPECT_EQ(duplicate.error().message, "config.json: duplicate key \"a\"");
  EXPECT_FALSE(parse_json(std::string(100000, '['), "x"));
  EXPECT_FALSE(parse_json("{} x", "x"));
  EXPECT_FALSE(parse_json("\"\xff\"", "x"));
  EXPECT_FALSE(parse_json("", "x"));
}

TEST(Json, FieldsNameFileAndField) {
  const Json object =
      parse_json(R"({"n":-1,"s":3,"big":18446744073709551615,"none":null})", "f").value();
  const JsonFields fields(object, "f");
  EXPECT_EQ(fields.integer_or("none", 5, 0, 9).value(), 5);
  EXPECT_EQ(fields.integer("n", 0, 9).error().message,
            "f: field \"n\": expected an integer from 0 to 9, got -1");
  EXPECT_FALSE(fields.integer("big", 0, INT64_MAX));
  EXPECT_FALSE(fields.string("s"));
  EXPECT_EQ(fields.required_integer("gone", 0, 1).error().message, "f: field \"gone\" is missing");
}

}  // namespace
}  // namespace lotse
