// Speed of the tokenizer on one core: load time and MB/s of encoding, first pass over a text, the
// tokenizer fresh (which finds out on the way which tokens words are), and of decoding.
//
//   bench_tokenizer MODEL_DIR… [--source DIR] [--load-only]
//
// Processor time, not wall clock: the median of loads, the best of encodings. English prose is made
// from common words with Zipf's distribution and one rare word in 40, Chinese from common
// characters with punctuation; code is the .cc, .h and .py files under DIR (default: ".").
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/mmap.h"
#include "tokenizer/tokenizer.h"

namespace {

constexpr size_t kTextBytes = size_t{8} << 20;
constexpr int kRuns = 5;
constexpr int kLoads = 15;

// Processor time of this process, so that other work on the machine does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Common words of English, the most frequent first.
constexpr std::string_view kWords =
    "the of and to a in is that for it as was with on be by at this from which or an are not "
    "have were they one their more its would there when who had his but we you all has been "
    "her she will no if out so said what up about into than them can only other new some "
    "could time these two may then do first any my now such like our over man me even most "
    "made after also did many before must through back years where much your way well down "
    "should because each just those people too how little state good very make world still "
    "own see men work long get here between both life being under never day same another know "
    "while last might us great old year off come since against go came right used take three "
    "small large found part house place again home water during without however thought went "
    "number general always government system set end put given every night head say left "
    "school public need something called look asked later knew point city play upon side "
    "business form eyes power case group few nothing development problem often best within "
    "order program possible second members rather enough interest kind across common whether "
    "children language harbour pilot ship current weather captain engine model weights layer "
    "attention kernel memory bandwidth throughput precision inference vocabulary although "
    "therefore nevertheless international philosophy mountain evening lighthouse navigation "
    "estuary anchorage thoroughly unmistakable characteristic misunderstanding important "
    "different following information experience education university president secretary "
    "department community society economic political particular certain evidence available "
    "research science method material production surface analysis section period century "
    "history church federal national military policy service industry company market money "
    "cost price rate tax law court action effect result reason question answer word line page "
    "book letter story name voice hand face body heart mind feeling idea truth death war "
    "peace strength support control change growth increase level degree measure temperature "
    "pressure light heat sound color white black red green blue early late high low short "
    "young strong hard clear free full open close near far north south east west street road "
    "field river sea land earth air fire stone wood metal machine equipment building room "
    "door window table floor wall ";

// Words beyond the list are made from syllables, so that text has the rare words that real text
// has.
std::string made_word(std::mt19937& random) {
  constexpr std::string_view kSyllables[] = {"ba", "ster", "lin", "or", "gan", "tu",  "me",
                                             "ri", "con",  "pre", "sa", "ly",  "ing", "ton"};
  std::string word;
  const size_t count = 2 + random() % 3;
  for (size_t i = 0; i < count; ++i) word += kSyllables[random() % std::size(kSyllables)];
  return word;
}

std::string english() {
  std::mt19937 random(1);
  std::vector<std::string> words;
  std::istringstream list{std::string(kWords)};
  for (std::string word; list >> word;) words.push_back(word);
  std::vector<double> weights;
  for (size_t i = 0; i < words.size(); ++i) weights.push_back(1.0 / static_cast<double>(i + 1));
  std::discrete_distribution<size_t> zipf(weights.begin(), weights.end());
  std::string text;
  while (text.size() < kTextBytes) {
    std::string sentence;
    const size_t length = 6 + random() % 18;
    for (size_t i = 0; i < length; ++i) {
      std::string word = random() % 40 == 0 ? made_word(random) : words[zipf(random)];
      if (i == 0) word[0] = static_cast<char>(word[0] - 'a' + 'A');
      if (i > 0) sentence += random() % 12 == 0 ? ", " : " ";
      sentence += word;
    }
    text += sentence + (random() % 6 == 0 ? ".\n\n" : ". ");
  }
  return text;
}

std::string chinese() {
  constexpr std::u32string_view kChars =
      U"的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学"
      U"对可她里后小么心多天"
      U"而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
      U"知民样现分将外但身些与"
      U"高意进把法此实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位"
      U"因重被走电四第门相次东政"
      U"海口教西再平真听世气信北少关并内加化由却代军产入先山五太水万市眼体别处总才场师书比住员九笑"
      U"性通目华报立马命张活难神"
      U"数件安表原车白应路期叫死常提感金何更反合放做系计或司利受光王果亲界及今京务制解各任至清物台"
      U"象记边共风战干接它许八特";
  std::mt19937 random(2);
  std::string text;
  const auto append = [&](char32_t c) {
    text += static_cast<char>(0xe0 | (c >> 12));
    text += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    text += static_cast<char>(0x80 | (c & 0x3f));
  };
  while (text.size() < kTextBytes) {
    const size_t length = 4 + random() % 16;
    for (size_t i = 0; i < length; ++i) {
      const double skewed = std::pow(static_cast<double>(random()) / 4294967296.0, 2.0);
      append(kChars[static_cast<size_t>(skewed * static_cast<double>(kChars.size()))]);
    }
    append(random() % 3 == 0 ? U'。' : U'，');
    if (random() % 40 == 0) text += '\n';
  }
  return text;
}

std::string code(const std::filesystem::path& folder) {
  std::string once;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    const std::string extension = entry.path().extension().string();
    if (!entry.is_regular_file() ||
        (extension != ".cc" && extension != ".h" && extension != ".py")) {
      continue;
    }
    if (const auto text = lotse::read_text_file(entry.path(), 1 << 22)) once += *text;
  }
  std::string text;
  while (!once.empty() && text.size() < kTextBytes) text += once;
  return text;
}

std::shared_ptr<const lotse::Tokenizer> load(const std::string& folder) {
  auto tokenizer = lotse::Tokenizer::load(folder);
  if (tokenizer) return *tokenizer;
  fmt::print(stderr, "{}\n", tokenizer.error().message);
  return nullptr;
}

// Whether the tokenizer could be loaded.
bool measure_load(const std::string& folder) {
  std::vector<double> seconds;
  for (int run = 0; run < kLoads; ++run) {
    const auto start = cpu_seconds();
    if (!load(folder)) return false;
    seconds.push_back(cpu_seconds() - start);
  }
  std::ranges::sort(seconds);
  fmt::print("{}: load {:.0f} ms ({:.0f} to {:.0f})\n", folder, seconds[kLoads / 2] * 1e3,
             seconds.front() * 1e3, seconds.back() * 1e3);
  return true;
}

// The fastest of some runs, each with a fresh tokenizer.
void measure(const std::string& folder, const char* name, const std::string& text) {
  double best = 1e9;
  double best_decode = 1e9;
  size_t ids_count = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto tokenizer = load(folder);
    if (!tokenizer) return;
    const auto start = cpu_seconds();
    const auto ids = tokenizer->encode(text, {.add_bos_eos = false});
    best = std::min(best, cpu_seconds() - start);
    if (!ids) {
      fmt::print(stderr, "{}\n", ids.error().message);
      return;
    }
    ids_count = ids->size();
    const auto decode_start = cpu_seconds();
    const std::string back = tokenizer->decode(*ids, false);
    best_decode = std::min(best_decode, cpu_seconds() - decode_start);
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  fmt::print("  {:8} {:6.1f} MB {:9} tokens  encode {:6.1f} MB/s  decode {:6.1f} MB/s\n", name,
             megabytes, ids_count, megabytes / best, megabytes / best_decode);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> folders;
  std::string source = ".";
  bool load_only = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--source" && i + 1 < argc) {
      source = argv[++i];
    } else if (std::string_view(argv[i]) == "--load-only") {
      load_only = true;
    } else {
      folders.emplace_back(argv[i]);
    }
  }
  if (folders.empty()) {
    fmt::print(stderr, "usage: bench_tokenizer MODEL_DIR… [--source DIR] [--load-only]\n");
    return 2;
  }
  if (load_only) {
    return std::ranges::all_of(folders, measure_load) ? 0 : 1;
  }
  const std::string prose = english();
  const std::string han = chinese();
  const std::string sources = code(source);
  for (const std::string& folder : folders) {
    if (!measure_load(folder)) return 1;
    measure(folder, "english", prose);
    measure(folder, "chinese", han);
    if (!sources.empty()) measure(folder, "code", sources);
  }
  return 0;
}
