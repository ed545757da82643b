#include "base/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "base/mmap.h"

namespace lotse {
namespace {

constexpr size_t kMaxDepth = 64;

// Builds the value through nlohmann's own DOM builder, and stops at duplicate keys and depth.
class StrictHandler : public nlohmann::json_sax<Json> {
 public:
  explicit StrictHandler(Json& root) : builder_(root, false) {}

  bool null() override { return builder_.null(); }
  bool boolean(bool v) override { return builder_.boolean(v); }
  bool number_integer(number_integer_t v) override { return builder_.number_integer(v); }
  bool number_unsigned(number_unsigned_t v) override { return builder_.number_unsigned(v); }
  bool number_float(number_float_t v, const string_t& s) override {
    return builder_.number_float(v, s);
  }
  bool string(string_t& v) override { return builder_.string(v); }
  bool binary(binary_t& v) override { return builder_.binary(v); }
  bool start_object(size_t n) override {
    keys_.emplace_back();
    return enter() && builder_.start_object(n);
  }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      problem_ = fmt::format("duplicate key \"{}\"", name);
      return false;
    }
    return builder_.key(name);
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return builder_.end_object();
  }
  bool start_array(size_t n) override { return enter() && builder_.start_array(n); }
  bool end_array() override {
    --depth_;
    return builder_.end_array();
  }
  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    (void)token;
    problem_ = fmt::format("not valid JSON at byte {}: {}", position, error.what());
    return false;
  }

  const std::string& problem() const { return problem_; }

 private:
  bool enter() {
    if (++depth_ <= kMaxDepth) return true;
    problem_ = fmt::format("nested deeper than {} levels", kMaxDepth);
    return false;
  }

  nlohmann::detail::json_sax_dom_parser<Json> builder_;
  std::vector<std::set<std::string>> keys_;
  size_t depth_ = 0;
  std::string problem_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view origin) {
  Json root;
  StrictHandler handler(root);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &handler)) return root;
  } catch (const std::exception& error) {
    return fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", origin, error.what());
  }
  return fail(ErrorCode::invalid_input, "{}: {}", origin, handler.problem());
}

Result<Json> read_json_file(const std::string& path, int64_t max_bytes) {
  const std::string text = LOTSE_TRY(read_text_file(path, max_bytes));
  return parse_json(text, path);
}

const Json* JsonFields::find(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto it = object_.find(key);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

std::unexpected<Error> JsonFields::wrong(const char* key, const char* expected,
                                         const Json& actual) const {
  std::string shown = actual.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  return fail(ErrorCode::invalid_input, "{}: field \"{}\": expected {}, got {}", origin_, key,
              expected, shown);
}

std::unexpected<Error> JsonFields::missing(const char* key) const {
  return fail(ErrorCode::invalid_input, "{}: field \"{}\" is missing", origin_, key);
}

bool JsonFields::has(const char* key) const { return find(key) != nullptr; }

Result<std::optional<int64_t>> JsonFields::integer(const char* key, int64_t low,
                                                   int64_t high) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const std::string expected = fmt::format("an integer from {} to {}", low, high);
  const bool integral = value->is_number_integer() ||
                        (value->is_number_float() && std::fabs(value->get<double>()) < 9e15 &&
                         std::trunc(value->get<double>()) == value->get<double>());
  if (!integral) return wrong(key, expected.c_str(), *value);
  if (value->is_number_unsigned() && value->get<uint64_t>() > uint64_t{INT64_MAX}) {
    return wrong(key, expected.c_str(), *value);
  }
  const int64_t number = value->get<int64_t>();
  if (number < low || number > high) return wrong(key, expected.c_str(), *value);
  return std::optional<int64_t>(number);
}

Result<std::optional<double>> JsonFields::number(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    return wrong(key, "a finite number", *value);
  }
  return std::optional<double>(value->get<double>());
}

Result<std::optional<bool>> JsonFields::boolean(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong(key, "true or false", *value);
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> JsonFields::string(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(key, "a string", *value);
  return std::optional<std::string>(value->get<std::string>());
}

Result<int64_t> JsonFields::integer_or(const char* key, int64_t fallback, int64_t low,
                                       int64_t high) const {
  return LOTSE_TRY(integer(key, low, high)).value_or(fallback);
}

Result<double> JsonFields::number_or(const char* key, double fallback) const {
  return LOTSE_TRY(number(key)).value_or(fallback);
}

Result<double> JsonFields::positive_or(const char* key, double fallback) const {
  const double value = LOTSE_TRY(number_or(key, fallback));
  if (!(value > 0)) return wrong(key, "a positive number", object_.at(key));
  return value;
}

Result<bool> JsonFields::boolean_or(const char* key, bool fallback) const {
  return LOTSE_TRY(boolean(key)).value_or(fallback);
}

Result<std::string> JsonFields::string_or(const char* key, std::string fallback) const {
  return LOTSE_TRY(string(key)).value_or(std::move(fallback));
}

Result<int64_t> JsonFields::required_integer(const char* key, int64_t low, int64_t high) const {
  const auto value = LOTSE_TRY(integer(key, low, high));
  if (!value) return missing(key);
  return *value;
}

Result<double> JsonFields::required_number(const char* key) const {
  const auto value = LOTSE_TRY(number(key));
  if (!value) return missing(key);
  return *value;
}

Result<std::optional<JsonFields>> JsonFields::object(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<JsonFields>();
  if (!value->is_object()) return wrong(key, "an object", *value);
  return std::optional<JsonFields>(JsonFields(*value, fmt::format("{}: {}", origin_, key)));
}

}  // namespace lotse
