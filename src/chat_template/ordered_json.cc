#include <nlohmann/json.hpp>
#include <unordered_set>

#include "chat_template/chat_template.h"

namespace lotse {
namespace {

constexpr size_t kMaxDepth = 64;

// Builds the value itself, because nlohmann's own builder searches an ordered object at every key,
// which takes quadratic time.
class OrderedBuilder : public nlohmann::json_sax<OrderedJson> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool v) override { return add(v); }
  bool number_integer(number_integer_t v) override { return add(v); }
  bool number_unsigned(number_unsigned_t v) override { return add(v); }
  bool number_float(number_float_t v, const string_t&) override { return add(v); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t& v) override { return add(std::move(v)); }
  bool start_object(size_t) override { return open(OrderedJson::object()); }
  bool start_array(size_t) override { return open(OrderedJson::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!open_.back().names.insert(name).second) {
      problem_ = fmt::format("duplicate key \"{}\"", name);
      return false;
    }
    open_.back().name = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    problem_ = fmt::format("not valid JSON at byte {}: {}", position, error.what());
    return false;
  }

  OrderedJson take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

 private:
  struct Container {
    OrderedJson value;
    std::string name;  // of the member that comes next
    std::unordered_set<std::string> names;
  };

  bool open(OrderedJson value) {
    if (open_.size() >= kMaxDepth) {
      problem_ = fmt::format("nested deeper than {} levels", kMaxDepth);
      return false;
    }
    open_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    OrderedJson value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  bool add(OrderedJson value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Container& container = open_.back();
    if (container.value.is_array()) {
      container.value.push_back(std::move(value));
    } else {
      using Members = std::vector<std::pair<const std::string, OrderedJson>>;
      auto& members = container.value.get_ref<OrderedJson::object_t&>();
      static_cast<Members&>(members).emplace_back(std::move(container.name), std::move(value));
    }
    return true;
  }

  OrderedJson root_;
  std::vector<Container> open_;
  std::string problem_;
};

}  // namespace

Result<OrderedJson> parse_ordered_json(std::string_view text, std::string_view origin) {
  OrderedBuilder builder;
  try {
    if (OrderedJson::sax_parse(text.begin(), text.end(), &builder)) return builder.take();
  } catch (const std::exception& error) {
    return fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", origin, error.what());
  }
  return fail(ErrorCode::invalid_input, "{}: {}", origin, builder.problem());
}

}  // namespace lotse
