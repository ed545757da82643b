// JSON schemas of a public corpus against the compiler: how many are supported, why the others are
// refused, and whether their instances are accepted where they are valid and only there.
//
//   schema_corpus [--list] PATH…
//
// Each path is a folder, or a JSON file of one of three shapes: a list of groups of tests
// (JSON-Schema-Test-Suite), an object with "schema" and "tests" (MaskBench), or a schema. --list
// names every instance that is judged otherwise than its author does. Exits with 1 when an instance
// that is not valid is accepted. Times are the processor's.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/mmap.h"
#include "chat_template/chat_template.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/matcher.h"

namespace {

using namespace lotse;

constexpr int64_t kMaxFileBytes = int64_t{64} << 20;
constexpr int kMaxOrders = 5000;
constexpr size_t kShownReasons = 25;

struct Report {
  int64_t schemas = 0;
  int64_t supported = 0;
  int64_t accepted = 0;          // valid instances, as written
  int64_t accepted_changed = 0;  // with properties in another order, or integers without fraction
  int64_t rejected = 0;          // valid instances
  int64_t wrongly_accepted = 0;
  int64_t rightly_rejected = 0;
  double seconds = 0;
  double longest = 0;
  std::map<std::string, int64_t> reasons;
};

// Without place and names, so that equal ones are counted together.
std::string reason(const std::string& message) {
  std::string result = message;
  const size_t place = result.find(": ");
  if (result.starts_with("JSON schema, ") && place != std::string::npos) result.erase(0, place + 2);
  return result.substr(0, 110);
}

// 1.0 is an integer, which the grammar writes as 1.
OrderedJson with_plain_integers(const OrderedJson& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    const bool is_whole =
        std::abs(number) < 1e15 && static_cast<double>(static_cast<int64_t>(number)) == number;
    return is_whole ? OrderedJson(static_cast<int64_t>(number)) : value;
  }
  OrderedJson result = value;
  if (result.is_structured()) {
    for (OrderedJson& item : result) item = with_plain_integers(item);
  }
  return result;
}

// The value with the members of each object in one of their orders; `number` counts all of them.
OrderedJson in_order(const OrderedJson& value, int64_t& number) {
  if (!value.is_structured()) return value;
  if (value.is_array()) {
    OrderedJson result = OrderedJson::array();
    for (const OrderedJson& item : value) result.push_back(in_order(item, number));
    return result;
  }
  std::vector<OrderedJson::const_iterator> members;
  for (auto it = value.begin(); it != value.end(); ++it) members.push_back(it);
  OrderedJson result = OrderedJson::object();
  while (!members.empty()) {
    const auto count = std::ssize(members);
    const auto chosen = members.begin() + number % count;
    number /= count;
    result[(*chosen).key()] = in_order(**chosen, number);
    members.erase(chosen);
  }
  return result;
}

bool accepts_changed(const Grammar& grammar, const OrderedJson& instance) {
  const OrderedJson plain = with_plain_integers(instance);
  for (int64_t number = 0; number < kMaxOrders; ++number) {
    int64_t left = number;
    const OrderedJson ordered = in_order(plain, left);
    if (left > 0) return false;  // there are no more
    if (grammar_accepts(grammar, ordered.dump())) return true;
  }
  return false;
}

class Corpus {
 public:
  explicit Corpus(bool lists) : lists_(lists) {}

  Report read(const std::filesystem::path& path) {
    report_ = {};
    if (!std::filesystem::is_directory(path)) {
      add_file(path);
      return report_;
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    for (const auto& file : files) add_file(file);
    return report_;
  }

 private:
  void add_file(const std::filesystem::path& file) {
    const auto text = read_text_file(file, kMaxFileBytes);
    const auto json =
        text ? parse_ordered_json(*text, file.string()) : std::unexpected(text.error());
    if (!json) {
      fmt::print("{}\n", json.error().message);
      return;
    }
    const std::string name = file.filename().string();
    if (json->is_array()) {
      for (const OrderedJson& group : *json) {
        add(group["schema"], group["tests"],
            fmt::format("{}: {}", name, group["description"].get<std::string>()));
      }
    } else if (json->is_object() && json->contains("schema") && json->contains("tests")) {
      add((*json)["schema"], (*json)["tests"], name);
    } else {
      add(*json, OrderedJson::array(), name);
    }
  }

  void add(const OrderedJson& schema, const OrderedJson& tests, const std::string& name) {
    ++report_.schemas;
    const std::clock_t begin = std::clock();
    const auto grammar = Grammar::parsed_json_schema(schema);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    report_.seconds += seconds;
    if (lists_ && seconds > 1) fmt::print("slow {}: {:.2f} s\n", name, seconds);
    report_.longest = std::max(report_.longest, seconds);
    if (!grammar) {
      ++report_.reasons[reason(grammar.error().message)];
      return;
    }
    ++report_.supported;
    for (const OrderedJson& test : tests) judge(*grammar, test, name);
  }

  void judge(const Grammar& grammar, const OrderedJson& test, const std::string& name) {
    const OrderedJson& instance = test["data"];
    const bool accepted = grammar_accepts(grammar, instance.dump());
    const bool valid = test["valid"].get<bool>();
    if (!valid) {
      ++(accepted ? report_.wrongly_accepted : report_.rightly_rejected);
    } else if (accepted) {
      ++report_.accepted;
    } else {
      ++(accepts_changed(grammar, instance) ? report_.accepted_changed : report_.rejected);
    }
    const bool agrees = accepted == valid || (valid && accepts_changed(grammar, instance));
    if (lists_ && !agrees) {
      fmt::print("{} {}: {}\n", accepted ? "ACCEPTED" : "refused", name,
                 instance.dump().substr(0, 200));
    }
  }

  const bool lists_;
  Report report_;
};

void print(const std::string& name, const Report& r) {
  const auto share = [](int64_t part, int64_t all) {
    return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
  };
  fmt::print(
      "{}: {} schemas, {} supported ({:.1f}%); compiled in {:.2f} s, the longest in {:.2f} s\n",
      name, r.schemas, r.supported, share(r.supported, r.schemas), r.seconds, r.longest);
  const int64_t valid = r.accepted + r.accepted_changed + r.rejected;
  const int64_t invalid = r.rightly_rejected + r.wrongly_accepted;
  if (valid + invalid > 0) {
    fmt::print(
        "  of {} valid instances {} accepted as written, {} in another order or as plain "
        "integers, {} not\n  of {} invalid instances {} accepted\n",
        valid, r.accepted, r.accepted_changed, r.rejected, invalid, r.wrongly_accepted);
  }
  std::vector<std::pair<int64_t, std::string>> reasons;
  for (const auto& [reason, count] : r.reasons) reasons.emplace_back(count, reason);
  std::ranges::sort(reasons, std::greater());
  if (reasons.size() > kShownReasons) reasons.resize(kShownReasons);
  for (const auto& [count, reason] : reasons) fmt::print("  {:5} {}\n", count, reason);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  const bool lists = !paths.empty() && paths.front() == "--list";
  if (lists) paths.erase(paths.begin());
  if (paths.empty()) {
    fmt::print(stderr, "usage: schema_corpus [--list] PATH…\n");
    return 2;
  }
  Corpus corpus(lists);
  int64_t wrong = 0;
  for (const std::string& path : paths) {
    const Report report = corpus.read(path);
    print(path, report);
    wrong += report.wrongly_accepted;
  }
  return wrong == 0 ? 0 : 1;
}
