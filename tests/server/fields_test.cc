// Validation: every field of every endpoint takes what it says it takes, and names itself
// otherwise.
#include "server/fields.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/endpoints.h"

namespace lotse {
namespace {

OrderedJson valid_value(const Field& field) {
  switch (field.type) {
    case FieldType::boolean:
      return true;
    case FieldType::integer:
      return static_cast<int64_t>(std::max(field.low, -9e15));
    case FieldType::number:
      return field.high;
    case FieldType::object:
      return OrderedJson::object();
    case FieldType::array:
    case FieldType::integers:
      return OrderedJson::array();
    default:
      return "text";
  }
}

// Values that a field must refuse.
std::vector<OrderedJson> wrong_values(const Field& field) {
  const OrderedJson object = {{"a", 1}};
  switch (field.type) {
    case FieldType::boolean:
      return {1, "true", object};
    case FieldType::integer:
      return {"1", 0.5, 1e300, -1e300, true, object, OrderedJson::array()};
    case FieldType::number:
      return {"1", field.low - 1, field.high + 1, true, object};
    case FieldType::string:
      return {1, true, object, OrderedJson::array()};
    case FieldType::object:
      return {1, "text", OrderedJson::array()};
    case FieldType::array:
      return {1, "text", object};
    case FieldType::integers:
      return {1, "text", object, {-1}, {0.5}, {"1"}, {int64_t{1} << 40}};
    case FieldType::string_or_strings:
      return {1, object, {1}, std::vector<std::string>(1000, "x")};
    case FieldType::string_or_array:
      return {1, true, object};
    case FieldType::any:
      return {};
  }
  return {};
}

OrderedJson smallest_body(const Endpoint& endpoint) {
  OrderedJson body = OrderedJson::object();
  for (const auto table : endpoint.tables) {
    for (const Field& field : table) {
      if (field.required) body[field.name] = valid_value(field);
    }
  }
  return body;
}

template <class Visit>
void for_each_field(Visit visit) {
  for (const Endpoint& endpoint : endpoints()) {
    for (const auto table : endpoint.tables) {
      for (const Field& field : table) {
        SCOPED_TRACE(std::string(endpoint.path) + " " + field.name);
        visit(endpoint, field);
      }
    }
  }
}

TEST(Fields, TakeWhatTheySay) {
  for_each_field([](const Endpoint& endpoint, const Field& field) {
    if (field.use == FieldUse::unsupported) return;
    OrderedJson body = smallest_body(endpoint);
    body[field.name] = valid_value(field);
    const auto checked = RequestFields::check(body, endpoint.tables);
    ASSERT_TRUE(checked) << checked.error().message;
    ASSERT_NE(checked->find(field.name), nullptr);
    EXPECT_EQ(*checked->find(field.name), body[field.name]);
  });
}

TEST(Fields, NullIsAbsent) {
  for_each_field([](const Endpoint& endpoint, const Field& field) {
    OrderedJson body = smallest_body(endpoint);
    body[field.name] = nullptr;
    const auto checked = RequestFields::check(body, endpoint.tables);
    EXPECT_EQ(checked.has_value(), !field.required);
    if (checked) EXPECT_EQ(checked->find(field.name), nullptr);
  });
}

TEST(Fields, NameThemselvesInErrors) {
  int refused = 0;
  for_each_field([&](const Endpoint& endpoint, const Field& field) {
    if (field.use == FieldUse::unsupported) return;
    for (const OrderedJson& value : wrong_values(field)) {
      OrderedJson body = smallest_body(endpoint);
      body[field.name] = value;
      const auto checked = RequestFields::check(body, endpoint.tables);
      ASSERT_FALSE(checked) << value;
      EXPECT_EQ(checked.error().status, 400);
      EXPECT_EQ(checked.error().param, field.name);
      EXPECT_TRUE(checked.error().message.starts_with(std::string(field.name) + ": "));
      ++refused;
    }
  });
  EXPECT_GT(refused, 100);
}

TEST(Fields, UnsupportedOnesAreNeverIgnored) {
  int unsupported = 0;
  for_each_field([&](const Endpoint& endpoint, const Field& field) {
    if (field.use != FieldUse::unsupported) return;
    ++unsupported;
    OrderedJson body = smallest_body(endpoint);
    body[field.name] = {{"something", "asked for"}};
    const auto checked = RequestFields::check(body, endpoint.tables);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().param, field.name);
    EXPECT_EQ(checked.error().code, "unsupported_parameter");
    for (const OrderedJson& neutral : OrderedJson::parse(field.neutral)) {
      body[field.name] = neutral;
      EXPECT_TRUE(RequestFields::check(body, endpoint.tables)) << neutral;
    }
  });
  EXPECT_GT(unsupported, 20);
}

TEST(Fields, UnknownOnesAreListed) {
  const OrderedJson body = {{"tokens", {1}}, {"foo", 1}, {std::string(500, 'x'), 2}};
  const auto checked = RequestFields::check(body, find_endpoint("/detokenize")->tables);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->unknown(), (std::vector<std::string>{"foo", std::string(64, 'x')}));
  EXPECT_EQ(checked->find("foo"), nullptr);
}

TEST(Endpoints, AreAllInTheDocument) {
  const auto document = OrderedJson::parse(openapi_document("1.2.3"));
  EXPECT_EQ(document["info"]["version"], "1.2.3");
  EXPECT_EQ(document["paths"].size(), endpoints().size());
  for_each_field([&](const Endpoint& endpoint, const Field& field) {
    const auto& schema = document["paths"][endpoint.path]["post"]["requestBody"]["content"]
                                 ["application/json"]["schema"];
    ASSERT_TRUE(schema["properties"].contains(field.name));
    const auto& property = schema["properties"][field.name];
    EXPECT_EQ(property["description"], field.description);
    if (field.type == FieldType::integer && field.use == FieldUse::used) {
      EXPECT_EQ(property["minimum"], field.low);
    }
  });
}

TEST(Endpoints, AreFoundByPath) {
  EXPECT_EQ(find_endpoint("/v1/models")->route, Route::models);
  EXPECT_EQ(find_endpoint("/v1/models/org/model")->route, Route::model);
  EXPECT_EQ(find_endpoint("/v1/models/"), nullptr);
  EXPECT_EQ(find_endpoint("/v1/embedding"), nullptr);
  EXPECT_EQ(find_endpoint("/"), nullptr);
}

}  // namespace
}  // namespace lotse
