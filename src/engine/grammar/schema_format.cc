#include "engine/grammar/schema_format.h"

#include <fmt/core.h>

#include <algorithm>

namespace lotse {
namespace {

constexpr std::string_view kAnnotationFormats[] = {"int32",  "int64",  "uint32",   "uint64",
                                                   "float",  "double", "password", "binary",
                                                   "number", "string", "text",     "textarea"};

constexpr std::string_view kNames[] = {"date",
                                       "date-time",
                                       "time",
                                       "duration",
                                       "email",
                                       "idn-email",
                                       "hostname",
                                       "ipv4",
                                       "ipv6",
                                       "uuid",
                                       "uri",
                                       "iri",
                                       "url",
                                       "uri-reference",
                                       "iri-reference",
                                       "json-pointer",
                                       "relative-json-pointer",
                                       "byte"};

// Years 1000 to 9999; the 29th of February in leap years only.
const char* const kDate =
    R"(([1-9]\d{3}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))|([1-9]\d(0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)-02-29))";
const char* const kTime =
    R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))";
// Without "--", which stands for other alphabets only.
const char* const kLabel = "[A-Za-z0-9](-?[A-Za-z0-9]){0,30}";
const char* const kByte = R"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d))";
const char* const kPathCharacter = R"(([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}))";

std::string host_name() { return fmt::format("{0}(\\.{0}){{0,6}}", kLabel); }

std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  std::string result = fmt::format("(({}:){{7}}{}", h, h);
  for (int before = 0; before <= 7; ++before) {
    // "::" stands for at least one group.
    const int after = 7 - before;
    const std::string left = before == 0 ? "" : fmt::format("{}(:{}){{{}}}", h, h, before - 1);
    const std::string right = after == 0 ? "" : fmt::format("({0}(:{0}){{0,{1}}})?", h, after - 1);
    result += fmt::format("|{}::{}", left, right);
  }
  return result + ")";
}

std::string query_and_fragment() {
  return fmt::format("(\\?({0}|[/?])*)?(#({0}|[/?])*)?", kPathCharacter);
}

std::string full_uri() {
  return fmt::format("[A-Za-z][A-Za-z0-9+.-]*://{}(:\\d{{1,5}})?(/{}*)*{}", host_name(),
                     kPathCharacter, query_and_fragment());
}

}  // namespace

bool is_annotation_format(std::string_view name) {
  return std::ranges::find(kAnnotationFormats, name) != std::end(kAnnotationFormats);
}

bool is_standard_format(std::string_view name) {
  static constexpr std::string_view kOthers[] = {"idn-hostname", "regex", "uri-template"};
  return std::ranges::find(kNames, name) != std::end(kNames) ||
         std::ranges::find(kOthers, name) != std::end(kOthers);
}

std::string supported_formats() {
  std::string result;
  for (const std::string_view name : kNames) {
    result += result.empty() ? "" : ", ";
    result += name;
  }
  return result;
}

std::optional<std::string> pattern_of_format(std::string_view name) {
  if (name == "date") return kDate;
  if (name == "time") return kTime;
  if (name == "date-time") return fmt::format("{}T{}", kDate, kTime);
  if (name == "duration") {
    const std::string time = R"(T(\d{1,9}H(\d{1,9}M(\d{1,9}S)?)?|\d{1,9}M(\d{1,9}S)?|\d{1,9}S))";
    const std::string date = R"((\d{1,9}Y(\d{1,9}M(\d{1,9}D)?)?|\d{1,9}M(\d{1,9}D)?|\d{1,9}D))";
    return fmt::format("P(\\d{{1,9}}W|{}({})?|{})", date, time, time);
  }
  if (name == "email" || name == "idn-email") {
    const std::string_view atom = "[A-Za-z0-9_%+-]+";
    return fmt::format("{0}(\\.{0})*@{1}(\\.{1}){{1,6}}", atom, kLabel);
  }
  if (name == "hostname") return host_name();
  if (name == "ipv4") return fmt::format("{0}(\\.{0}){{3}}", kByte);
  if (name == "ipv6") return ipv6();
  if (name == "uuid") return "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";
  if (name == "uri" || name == "iri" || name == "url") {
    return full_uri();
  }
  if (name == "uri-reference" || name == "iri-reference") {
    // A path does not begin with "//", after which a host would stand.
    return fmt::format("{0}|(/({1}+(/{1}*)*)?)?{2}", full_uri(), kPathCharacter,
                       query_and_fragment());
  }
  if (name == "json-pointer") return "(/([^~/]|~[01])*)*";
  if (name == "relative-json-pointer") return "(0|[1-9]\\d{0,8})(#|(/([^~/]|~[01])*)*)";
  if (name == "byte") return "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?";
  return std::nullopt;
}

}  // namespace lotse
