// Cost of structured output on a real vocabulary: compiling a schema, then the mask of each token
// of a valid text, met for the first time by a grammar and met again.
//
//   bench_grammar MODEL_DIR [SCHEMA.json TEXT.json]
//
// Processor time in microseconds. Without files: a few schemas of its own. "first" are the masks of
// the first request with a schema; "again" those of the next ones; "apply" is the constraint's cost
// with writing −∞ into the logits.
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include "base/mmap.h"
#include "engine/grammar_constraint.h"
#include "tokenizer/tokenizer.h"

namespace {

using namespace lotse;

struct Case {
  std::string name;
  std::string schema;
  std::string text;
};

const std::vector<Case> kCases = {
    {"person",
     R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,
      "maximum":150},"email":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}},
      "required":["name","age"],"additionalProperties":false})",
     R"({"name": "Johanna Müller-Lüdenscheidt", "age": 47, "email": "johanna@example.org", "tags": ["sailing", "ports", "navigation charts"]})"},
    {"open person",
     R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}}})",
     R"({"name": "Johanna", "age": 47, "city": "Hamburg", "more": {"a": [1, 2.5, null, {"b": true}]}})"},
    {"bounded strings",
     R"({"type":"object","properties":{"title":{"type":"string","minLength":5,"maxLength":80},
      "date":{"type":"string","format":"date-time"},"code":{"type":"string","pattern":"^[A-Z]{2}-\\d{4,6}$"}},
      "required":["title","date","code"],"additionalProperties":false})",
     R"({"title": "The pilot brings the ship into port", "date": "2024-05-17T08:30:00Z", "code": "HH-20457"})"},
    {"tree",
     R"({"$defs":{"node":{"type":"object","properties":{"value":{"type":"number"},"kind":{"enum":["leaf",
      "branch"]},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["value",
      "kind"],"additionalProperties":false}},"$ref":"#/$defs/node"})",
     R"({"value": 1.5, "kind": "branch", "children": [{"value": -2, "kind": "branch", "children": [{"value": 3.25, "kind": "leaf"}]}, {"value": 10, "kind": "leaf"}]})"},
    {"calls",
     R"({"anyOf":[{"type":"object","properties":{"name":{"const":"get_weather"},"arguments":{"type":
      "object","properties":{"city":{"type":"string"},"unit":{"enum":["celsius","fahrenheit"]}},
      "required":["city"],"additionalProperties":false}},"required":["name","arguments"],
      "additionalProperties":false},{"type":"object","properties":{"name":{"const":"search"},
      "arguments":{"type":"object","properties":{"query":{"type":"string"},"limit":{"type":"integer",
      "minimum":1,"maximum":100}},"required":["query"],"additionalProperties":false}},"required":[
      "name","arguments"],"additionalProperties":false}]})",
     R"({"name": "search", "arguments": {"query": "tide tables of the Elbe estuary", "limit": 25}})"},
    {"any object", R"({"type":"object"})",
     R"({"ship": {"name": "Elbe 1", "crew": [{"role": "pilot", "years": 12}]}, "ok": true, "x": "y z"})"}};

double microseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

std::string spread(std::vector<double> times) {
  std::ranges::sort(times);
  const auto at = [&](double q) {
    return times[static_cast<size_t>(q * static_cast<double>(times.size() - 1))];
  };
  double sum = 0;
  for (const double t : times) sum += t;
  return fmt::format("mean {:7.2f}  p50 {:7.2f}  p99 {:7.2f}  max {:7.1f}",
                     sum / static_cast<double>(times.size()), at(0.5), at(0.99), times.back());
}

int run(const Case& one, const Tokenizer& tokenizer,
        const std::shared_ptr<const TokenTable>& tokens) {
  const double begin = microseconds();
  const auto grammar = Grammar::json_schema(one.schema);
  const double compiled = microseconds();
  if (!grammar) {
    fmt::print("{}: {}\n", one.name, grammar.error().message);
    return 1;
  }
  const auto ids = tokenizer.encode(one.text, {.add_bos_eos = false});
  if (!ids) return 1;
  std::vector<double> first;
  std::vector<double> again;
  std::vector<double> apply;
  const auto masks = std::make_shared<GrammarMasks>(*grammar, tokens);
  std::vector<uint32_t> bits(tokens->mask_words());
  std::vector<float> logits(static_cast<size_t>(tokens->vocab_size()));
  for (int round = 0; round < 51; ++round) {
    GrammarMatcher matcher(masks);
    GrammarConstraint constraint(masks);
    for (const int32_t id : *ids) {
      const double start = microseconds();
      matcher.fill_mask(bits);
      const bool accepted = matcher.accept(id);
      const double end = microseconds();
      (round == 0 ? first : again).push_back(end - start);
      if (!accepted) {
        fmt::print("{}: the text is not allowed at \"{}\"\n", one.name, tokens->bytes(id));
        return 1;
      }
      if (round < 2) continue;
      const double applying = microseconds();
      constraint.mask(logits);
      apply.push_back(microseconds() - applying);
      constraint.accept(id);
    }
  }
  fmt::print("{}: {} states, compiled in {:.0f} us, {} tokens, {:.1f} MiB remembered\n", one.name,
             grammar->network()->states(), compiled - begin, ids->size(),
             static_cast<double>(masks->memory_bytes()) / (1 << 20));
  fmt::print("  first  {}\n  again  {}\n  apply  {}\n", spread(first), spread(again),
             spread(apply));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) {
    fmt::print(stderr, "usage: bench_grammar MODEL_DIR [SCHEMA.json TEXT.json]\n");
    return 2;
  }
  const auto tokenizer = Tokenizer::load(argv[1]);
  if (!tokenizer) {
    fmt::print(stderr, "{}\n", tokenizer.error().message);
    return 1;
  }
  const double begin = microseconds();
  const auto tokens = TokenTable::create(**tokenizer);
  fmt::print("{} tokens, table built in {:.0f} ms, {} + {} trie nodes\n", tokens->vocab_size(),
             (microseconds() - begin) / 1000, tokens->trie(true).size(),
             tokens->trie(false).size());
  if (argc == 4) {
    const auto schema = read_text_file(argv[2], int64_t{1} << 24);
    auto text = read_text_file(argv[3], int64_t{1} << 24);
    if (!schema || !text) return 1;
    while (text->ends_with('\n')) text->pop_back();
    return run({argv[2], *schema, *text}, **tokenizer, tokens);
  }
  int failures = 0;
  for (const Case& one : kCases) failures += run(one, **tokenizer, tokens);
  return failures;
}
