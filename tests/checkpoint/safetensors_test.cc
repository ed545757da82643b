#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/safetensors_writer.h"
#include "tests/checkpoint/builders.h"
#include "tests/checkpoint/temporary_folder.h"

namespace lotse {
namespace {

namespace fs = std::filesystem;

Result<SafetensorsFile> parse(std::string_view bytes) {
  return parse_safetensors(bytes_of(bytes), nullptr, "x");
}

Result<void> parse_and_read(std::string_view bytes) {
  SafetensorsFile file = LOTSE_TRY(parse(bytes));
  return read_everything(std::move(file.tensors));
}

SafetensorsBuilder seed() {
  SafetensorsBuilder file;
  std::mt19937 random(1);
  file.add("a.weight", "F32", "[2,3]", random_bytes(random, 24));
  file.add("b.weight", "BF16", "[4]", random_bytes(random, 8));
  file.add("c.scale", "F64", "[]", random_bytes(random, 8));
  file.add("d.index", "I32", "[1,1,2]", random_bytes(random, 8));
  file.add("e.packed", "F8_E4M3", "[7]", random_bytes(random, 7));
  file.add("f.mask", "BOOL", "[3,1]", random_bytes(random, 3));
  return file;
}

TEST(Safetensors, ReadsWhatTheFormatAllows) {
  SafetensorsBuilder file = seed();
  file.entries.insert(file.entries.begin() + 2, {"\"__metadata__\"", {}, R"({"format":"pt"})"});
  file.add("empty", "F16", "[0,4]", "");
  std::swap(file.entries.front(), file.entries.back());
  const std::string bytes = file.with_header(file.header() + "   ");
  const auto parsed = parse(bytes);
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->tensors.size(), 7u);
  EXPECT_EQ(parsed->metadata.at("format"), "pt");
  const StoredTensor& scalar = parsed->tensors[2];
  EXPECT_EQ(scalar.info.name, "c.scale");
  EXPECT_EQ(scalar.info.shape.rank(), 0);
  EXPECT_EQ(scalar.info.dtype, DType::f64);
  EXPECT_EQ(std::memcmp(scalar.bytes.data(), file.data.data() + 32, 8), 0);
  const std::string nothing = SafetensorsBuilder().build();
  EXPECT_TRUE(parse(nothing));
}

TEST(Safetensors, EscapedAndUnicodeNamesAreDecoded) {
  SafetensorsBuilder file;
  file.add(R"(w\u00e4ge\n\"1\")", "U8", "[1]", "x");
  const std::string bytes = file.build();
  const auto parsed = parse(bytes);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->tensors[0].info.name, "wäge\n\"1\"");
}

TEST(Safetensors, MisalignedDataIsReadAligned) {
  SafetensorsBuilder file;
  file.add("byte", "U8", "[1]", "x");
  file.add("double", "F64", "[1]", raw(0.1));
  const std::string bytes = file.build();
  SafetensorsFile parsed = parse(bytes).value();
  const auto source = make_weight_source(std::move(parsed.tensors)).value();
  EXPECT_EQ(source->read("double")->as<double>()[0], 0.1);
}

struct Rule {
  const char* field;
  std::string value;
};

std::vector<Rule> field_rules(size_t file_size) {
  std::vector<Rule> rules;
  for (const char* value : {"1", "null", "[]", "{}", "true", "\"F31\"", "\"f32\"", "\"\"",
                            "\"U32\"", "\"C64\"", "\"F32 \"", "\"F32\\n\""}) {
    rules.push_back({"dtype", value});
  }
  for (const char* value : {"\"[2]\"", "2", "null", "{}", "true", "[-1]", "[1.5]", "[\"2\"]",
                            "[null]", "[[2]]", "[9223372036854775808]", "[1e3]", "[true]",
                            "[1,1,1,1,1,1,1,1,1]", "[4294967296,4294967296]",
                            "[4611686018427387904,4]", "[9223372036854775807]", "[12345]", "[0]"}) {
    rules.push_back({"shape", value});
  }
  for (const char* value :
       {"\"0,1\"", "null", "0", "{}", "[]", "[0]", "[0,1,2]", "[24,0]", "[-8,0]", "[0,1.5]",
        "[0,9223372036854775808]", "[0,9223372036854775807]",
        "[9223372036854775800,9223372036854775807]", "[\"0\",\"8\"]"}) {
    rules.push_back({"data_offsets", value});
  }
  rules.push_back({"data_offsets", fmt::format("[0,{}]", file_size)});
  return rules;
}

void add_field_cases(const SafetensorsBuilder& file, size_t i, std::vector<HostileCase>& cases) {
  const std::string name = file.entries[i].key.substr(1, file.entries[i].key.size() - 2);
  const auto add = [&](std::string rule, const SafetensorsBuilder& mutant) {
    cases.push_back({name + ": " + rule, mutant.build(), name});
  };
  for (const Rule& rule : field_rules(file.build().size())) {
    SafetensorsBuilder mutant = file;
    for (auto& [key, value] : mutant.entries[i].fields) {
      if (key == rule.field) value = rule.value;
    }
    add(fmt::format("{} = {}", rule.field, rule.value), mutant);
  }
  for (size_t field = 0; field < 3; ++field) {
    SafetensorsBuilder missing = file;
    auto& fields = missing.entries[i].fields;
    fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(field));
    add(fmt::format("field {} missing", field), missing);
    SafetensorsBuilder twice = file;
    twice.entries[i].fields.push_back(file.entries[i].fields[field]);
    add(fmt::format("field {} twice", field), twice);
  }
  SafetensorsBuilder unknown = file;
  unknown.entries[i].fields.emplace_back("strides", "[1]");
  add("unknown field", unknown);
  for (const char* replacement : {"null", "1", "\"x\"", "[]", "true"}) {
    SafetensorsBuilder mutant = file;
    mutant.entries[i].replacement = replacement;
    add(fmt::format("entry is {}", replacement), mutant);
  }
  SafetensorsBuilder twice = file;
  twice.entries.push_back(file.entries[i]);
  add("entry twice", twice);
}

// Moves a tensor's extent without changing its length, which leaves a hole or an overlap.
void add_layout_cases(const SafetensorsBuilder& file, size_t i, std::vector<HostileCase>& cases) {
  const std::string name = file.entries[i].key.substr(1, file.entries[i].key.size() - 2);
  int64_t begin = 0;
  int64_t end = 0;
  ASSERT_EQ(std::sscanf(file.entries[i].fields[2].second.c_str(), "[%ld,%ld]", &begin, &end), 2);
  for (const int64_t shift : {-1, 1}) {
    SafetensorsBuilder mutant = file;
    mutant.entries[i].fields[2].second = fmt::format("[{},{}]", begin + shift, end + shift);
    cases.push_back({fmt::format("{} moved by {}", name, shift), mutant.build(), name});
  }
  for (const auto& [first, last] : {std::pair(begin + 1, end), std::pair(begin, end - 1)}) {
    SafetensorsBuilder mutant = file;
    mutant.entries[i].fields[2].second = fmt::format("[{},{}]", first, last);
    cases.push_back({fmt::format("{} shortened to {}", name, last - first), mutant.build(), name});
  }
}

std::vector<HostileCase> file_cases(const SafetensorsBuilder& file) {
  const std::string header = file.header();
  std::vector<HostileCase> cases = {
      {"no bytes", "", "header length"},
      {"seven bytes", std::string(7, '\0'), "header length"},
      {"header length 0", raw<uint64_t>(0), "header must begin"},
      {"header beyond the limit", raw<uint64_t>(100'000'001) + header, "header length"},
      {"header length 2^63", raw<uint64_t>(uint64_t{1} << 63) + header, "header length"},
      {"header length 2^64-1", raw<uint64_t>(~uint64_t{0}) + header, "header length"},
      {"header longer than the file", raw<uint64_t>(header.size() + 1) + header, "header length"},
      {"data missing", raw<uint64_t>(header.size()) + header, "a.weight"},
      {"leading space", file.with_header(" " + header), "header must begin"},
      {"padded with newline", file.with_header(header + "\n"), "header must begin"},
      {"padded with zero", file.with_header(header + std::string(1, '\0')), "header must begin"},
      {"a list", file.with_header("[" + header + "]"), "header must begin"},
      {"two values", file.with_header(header + header), "header"},
      {"a comma too many", file.with_header("{," + header.substr(1)), "header"},
      {"a number beyond 64 bits",
       file.with_header(R"({"a":{"dtype":"U8","shape":[18446744073709551616]}})"), "header"},
      {"not closed", file.with_header(header.substr(0, header.size() - 1)), "header"},
      {"not UTF-8", file.with_header("{\"\xff\":{}}"), "header"},
      {"a lone surrogate", file.with_header(R"({"\ud800":{}})"), "header"},
      {"a control character", file.with_header("{\"a\nb\":{}}"), "header"},
      {"nested 2,000 deep",
       file.with_header("{\"a\":" + std::string(2000, '[') + std::string(2000, ']') + "}"),
       "header"},
      {"nested 50,000,000 deep", file.with_header("{" + std::string(50'000'000, '[') + "}"),
       "header"},
  };
  SafetensorsBuilder trailing = file;
  trailing.data += '\0';
  cases.push_back({"a byte after the data", trailing.build(), "1 bytes follow"});
  for (const char* metadata : {"null", "[]", "1", "\"pt\"", R"({"a":1})", R"({"a":null})",
                               R"({"a":{}})", R"({"a":"1","a":"2"})"}) {
    SafetensorsBuilder mutant = file;
    mutant.entries.insert(mutant.entries.begin(), {"\"__metadata__\"", {}, metadata});
    cases.push_back({fmt::format("__metadata__ = {}", metadata), mutant.build(), "__metadata__"});
  }
  return cases;
}

TEST(Safetensors, RefusesMalformedFiles) {
  const SafetensorsBuilder file = seed();
  ASSERT_TRUE(parse_and_read(file.build()));
  std::vector<HostileCase> cases = file_cases(file);
  for (size_t i = 0; i < file.entries.size(); ++i) {
    add_field_cases(file, i, cases);
    add_layout_cases(file, i, cases);
  }
  EXPECT_GE(cases.size(), 300u);
  RecordProperty("cases", static_cast<int>(cases.size()));
  expect_refused(cases, parse_and_read);
}

TEST(Safetensors, SurvivesTruncationAndFlippedBits) {
  const std::string valid = seed().build();
  expect_robust(valid, valid.size() - seed().data.size(), parse_and_read);
}

TEST(Safetensors, AHostileNameIsShownOnOneLine) {
  SafetensorsBuilder file;
  file.add(R"(a\n\u001b[31m)" + std::string(10000, 'x'), "F32", "[5]", "abcd");
  const auto parsed = parse(file.build());
  ASSERT_FALSE(parsed);
  EXPECT_LT(parsed.error().message.size(), 300u);
  EXPECT_NE(parsed.error().message.find("a\\x0a\\x1b[31m"), std::string::npos);
}

TEST(Safetensors, ReadsAHundredThousandTensorsQuickly) {
  SafetensorsBuilder file;
  for (int i = 0; i < 100'000; ++i) {
    file.add(fmt::format("model.layers.{}.mlp.experts.{}.down_proj.weight", i / 256, i % 256),
             "BF16", "[1,1]", "ab");
  }
  const std::string bytes = file.build();
  const CpuTime time;
  SafetensorsFile parsed = parse(bytes).value();
  const auto source = make_weight_source(std::move(parsed.tensors)).value();
  const double seconds = time.seconds();
  EXPECT_EQ(source->tensors().size(), 100'000u);
  EXPECT_NE(source->find("model.layers.7.mlp.experts.9.down_proj.weight"), nullptr);
  EXPECT_LT(seconds, kLongest);
  RecordProperty("milliseconds", static_cast<int>(seconds * 1000));
}

constexpr DType kWritable[] = {DType::f64,     DType::f32,     DType::f16,     DType::bf16,
                               DType::i64,     DType::i32,     DType::i16,     DType::i8,
                               DType::u8,      DType::boolean, DType::f8_e4m3, DType::f8_e5m2,
                               DType::f8_e8m0, DType::f4_e2m1, DType::f6_e2m3, DType::f6_e3m2};

TensorInfo random_tensor(std::mt19937& random, int number) {
  const DType dtype = kWritable[random() % std::size(kWritable)];
  std::vector<int64_t> dims(random() % 4);
  for (int64_t& dim : dims) dim = static_cast<int64_t>(random() % 6);
  // Packed types need whole bytes.
  dims.push_back(static_cast<int64_t>(random() % 5) * info(dtype).block_elements);
  const Shape shape(dims);
  const std::string name = fmt::format("t{}.\"ü\"\\{}", random() % 100000, number);
  return {name, dtype, shape, byte_size(dtype, shape.elements().value()).value(), ""};
}

TEST(SafetensorsWriter, RandomTensorsRoundTrip) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "model.safetensors";
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<TensorInfo> tensors;
    std::vector<std::string> contents;
    for (int i = 0; i < static_cast<int>(random() % 12); ++i) {
      tensors.push_back(random_tensor(random, i));
      contents.push_back(random_bytes(random, static_cast<size_t>(tensors.back().bytes)));
    }
    auto writer = SafetensorsWriter::create(path, tensors, {{"format", "pt"}, {"über", "\n"}});
    ASSERT_TRUE(writer) << writer.error().message;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const size_t half = contents[i].size() / 2;
      writer->begin(tensors[i].name);
      ASSERT_TRUE(writer->append(bytes_of(contents[i]).first(half)));
      ASSERT_TRUE(writer->append(bytes_of(contents[i]).subspan(half)));
    }
    ASSERT_TRUE(writer->finish());
    SafetensorsFile read = open_safetensors(path).value();
    EXPECT_EQ(read.metadata,
              (std::map<std::string, std::string>{{"format", "pt"}, {"über", "\n"}}));
    const auto source = make_weight_source(std::move(read.tensors)).value();
    ASSERT_EQ(source->tensors().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Tensor tensor = source->read(tensors[i].name).value();
      EXPECT_EQ(tensor.dtype, tensors[i].dtype);
      EXPECT_EQ(tensor.shape, tensors[i].shape);
      EXPECT_TRUE(std::ranges::equal(tensor.bytes, bytes_of(contents[i])));
    }
  }
}

TEST(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  const auto message = [](std::vector<TensorInfo> tensors) {
    const auto header = write_safetensors_header(tensors, {});
    return header ? std::string() : header.error().message;
  };
  const TensorInfo good{"a", DType::f32, Shape({2}), 8, ""};
  EXPECT_EQ(message({good}), "");
  EXPECT_NE(message({good, good}).find("tensor a"), std::string::npos);
  EXPECT_NE(message({{"a", DType::f32, Shape({2}), 7, ""}}).find("tensor a"), std::string::npos);
  EXPECT_NE(message({{"q", DType::q4_k, Shape({256}), 144, ""}}).find("q4_k"), std::string::npos);
  EXPECT_NE(message({{"__metadata__", DType::f32, Shape({2}), 8, ""}}), "");
  EXPECT_NE(message({{"\xff", DType::f32, Shape({2}), 8, ""}}), "");
}

TEST(SafetensorsWriter, LeavesNothingBehindUnlessFinished) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "model.safetensors";
  {
    auto writer = SafetensorsWriter::create(path, {{"a", DType::f32, Shape({2}), 8, ""}});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write("a", bytes_of("12345678")));
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(SafetensorsWriter, ADiskThatIsFullIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "not run: no /dev/full here";
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "model.safetensors";
  fs::create_symlink("/dev/full", path.string() + ".partial");
  const auto writer = SafetensorsWriter::create(path, {{"a", DType::f32, Shape({2}), 8, ""}});
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::io);
  EXPECT_NE(writer.error().message.find("model.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace lotse
