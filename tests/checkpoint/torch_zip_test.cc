#include "checkpoint/torch_zip.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pickle.h"
#include "checkpoint/zip_reader.h"
#include "tests/checkpoint/builders.h"
#include "tests/checkpoint/torch_builders.h"

namespace lotse {
namespace {

const std::filesystem::path kGolden = std::filesystem::path(LOTSE_SOURCE_DIR) / "tests/golden";

Result<void> parse_and_read(std::string_view bytes) {
  return read_everything(LOTSE_TRY(parse_torch_zip(bytes_of(bytes), nullptr, "x")));
}

std::vector<float> counting(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

PickledTensorSpec matrix() { return {"w", "FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}; }

std::string file_of(const std::vector<PickledTensorSpec>& tensors,
                    const std::string& storage = raw_values(counting(6))) {
  return torch_file(pickled_dict(tensors), {{"0", storage}});
}

std::unique_ptr<WeightSource> open(const std::string& file) {
  auto tensors = parse_torch_zip(bytes_of(file), nullptr, "x");
  EXPECT_TRUE(tensors) << tensors.error().message;
  return make_weight_source(std::move(*tensors)).value();
}

std::vector<float> floats(const WeightSource& source, std::string_view name) {
  const Tensor tensor = source.read(name).value();
  const std::span<const float> values = tensor.as<float>();
  return {values.begin(), values.end()};
}

TEST(TorchZip, GoldenEqualsItsSafetensors) {
  const auto torch = open_checkpoint(kGolden / "llama_bin");
  ASSERT_TRUE(torch) << torch.error().message;
  EXPECT_EQ(torch->format, "pytorch");
  const auto original = open_checkpoint(kGolden / "llama").value();
  ASSERT_EQ(torch->weights->tensors().size(), original.weights->tensors().size());
  for (const TensorInfo& info : original.weights->tensors()) {
    const auto tensor = torch->weights->read(info.name);
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(tensor->shape, info.shape);
    EXPECT_EQ(tensor->dtype, info.dtype);
    EXPECT_TRUE(std::ranges::equal(tensor->bytes, original.weights->read(info.name)->bytes));
  }
}

TEST(TorchZip, StridedTensorsAreGathered) {
  const std::string file =
      file_of({matrix(),
               {"transposed", "FloatStorage", "0", 6, 0, {3, 2}, {1, 3}},
               {"row", "FloatStorage", "0", 6, 3, {3}, {1}},
               {"column", "FloatStorage", "0", 6, 1, {2}, {3}},
               {"scalar", "FloatStorage", "0", 6, 5, {}, {}},
               {"ones", "FloatStorage", "0", 6, 2, {1, 2, 1}, {INT32_MAX, 3, 9}},
               {"empty", "FloatStorage", "0", 6, 6, {0, 3}, {3, 1}}});
  const auto source = open(file);
  EXPECT_EQ(floats(*source, "w"), counting(6));
  EXPECT_EQ(floats(*source, "transposed"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(floats(*source, "row"), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(floats(*source, "column"), (std::vector<float>{1, 4}));
  EXPECT_EQ(floats(*source, "scalar"), (std::vector<float>{5}));
  EXPECT_EQ(floats(*source, "ones"), (std::vector<float>{2, 5}));
  EXPECT_EQ(floats(*source, "empty"), std::vector<float>());
}

// Random permutations of axes of random arrays, against index arithmetic written out.
TEST(TorchZip, RandomPermutationsRoundTrip) {
  std::mt19937 random(9);
  for (int round = 0; round < 100; ++round) {
    std::vector<int64_t> stored(3);
    for (int64_t& size : stored) size = 1 + static_cast<int64_t>(random() % 6);
    const std::vector<int64_t> strides = {stored[1] * stored[2], stored[2], 1};
    std::vector<size_t> axes = {0, 1, 2};
    std::shuffle(axes.begin(), axes.end(), random);
    PickledTensorSpec spec{"t", "FloatStorage", "0", stored[0] * strides[0], 0, {}, {}};
    for (const size_t axis : axes) {
      spec.sizes.push_back(stored[axis]);
      spec.strides.push_back(strides[axis]);
    }
    std::vector<float> expected;
    for (int64_t i = 0; i < spec.sizes[0]; ++i) {
      for (int64_t j = 0; j < spec.sizes[1]; ++j) {
        for (int64_t k = 0; k < spec.sizes[2]; ++k) {
          expected.push_back(
              static_cast<float>(i * spec.strides[0] + j * spec.strides[1] + k * spec.strides[2]));
        }
      }
    }
    const std::string file = file_of({spec}, raw_values(counting(expected.size())));
    EXPECT_EQ(floats(*open(file), "t"), expected);
  }
}

TEST(TorchZip, EveryStorageTypeAndNesting) {
  const std::pair<const char*, DType> types[] = {
      {"DoubleStorage", DType::f64}, {"HalfStorage", DType::f16}, {"BFloat16Storage", DType::bf16},
      {"LongStorage", DType::i64},   {"IntStorage", DType::i32},  {"ShortStorage", DType::i16},
      {"CharStorage", DType::i8},    {"ByteStorage", DType::u8},  {"BoolStorage", DType::boolean}};
  for (const auto& [type, dtype] : types) {
    const auto size = static_cast<size_t>(info(dtype).block_bytes) * 2;
    const std::string file = file_of({{"t", type, "0", 2, 0, {2}, {1}}}, std::string(size, 'x'));
    EXPECT_EQ(open(file)->find("t")->dtype, dtype);
  }
  const std::string nested = "\x80\x02}" + pickled_text("state_dict") +
                             pickled_dict_body({matrix()}) + "s" + pickled_text("epoch") + "K\x05" +
                             "s.";
  EXPECT_EQ(floats(*open(torch_file(nested, {{"0", raw_values(counting(6))}})), "w"), counting(6));
}

TEST(TorchZip, Zip64IsRead) {
  ZipBuilder zip;
  zip.is_zip64 = true;
  zip.entries = {{"m/data.pkl", pickled_dict({matrix()})}, {"m/data/0", raw_values(counting(6))}};
  EXPECT_EQ(floats(*open(zip.build()), "w"), counting(6));
}

std::vector<HostileCase> global_cases() {
  std::vector<HostileCase> cases;
  const std::pair<const char*, const char*> globals[] = {{"os", "system"},
                                                         {"posix", "system"},
                                                         {"nt", "system"},
                                                         {"builtins", "eval"},
                                                         {"builtins", "exec"},
                                                         {"builtins", "getattr"},
                                                         {"__builtin__", "eval"},
                                                         {"subprocess", "Popen"},
                                                         {"subprocess", "check_output"},
                                                         {"runpy", "run_path"},
                                                         {"importlib", "import_module"},
                                                         {"pickle", "loads"},
                                                         {"torch", "load"},
                                                         {"torch", "hub"},
                                                         {"torch.nn", "Linear"},
                                                         {"torch", "UntypedStorage"},
                                                         {"torch._utils", "_rebuild_qtensor"},
                                                         {"collections", "defaultdict"},
                                                         {"collections", "OrderedDict.fromkeys"},
                                                         {"Torch", "FloatStorage"},
                                                         {"torch", "FloatStorage "},
                                                         {"", ""},
                                                         {"a\x01", "b"},
                                                         {"numpy.core.multiarray", "_reconstruct"}};
  for (const auto& [module, name] : globals) {
    const std::string lines = fmt::format(
        "\x80\x02"
        "c{}\n{}\n)R.",
        module, name);
    const std::string stack = "\x80\x04" + pickled_text(module) + pickled_text(name) + "\x93)R.";
    const std::string named = fmt::format(
        "pickle wants {}.{}: refused; convert the checkpoint to "
        "safetensors",
        printable(module), printable(name));
    cases.push_back({fmt::format("global {}.{}", module, name), torch_file(lines, {}), named});
    cases.push_back(
        {fmt::format("stack global {}.{}", module, name), torch_file(stack, {}), named});
  }
  return cases;
}

std::vector<HostileCase> opcode_cases() {
  constexpr std::string_view kAllowed =
      "(.0JKMNQRTUXabcehjqrstu]}\x29G\x80\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95";
  std::vector<HostileCase> cases;
  for (int op = 0; op < 256; ++op) {
    if (kAllowed.find(static_cast<char>(op)) != kAllowed.npos) continue;
    const std::string pickle = std::string("\x80\x02}(") + static_cast<char>(op) + "u.";
    cases.push_back({fmt::format("opcode {:02x}", op), torch_file(pickle, {}),
                     fmt::format("opcode 0x{:02x}", op)});
  }
  return cases;
}

std::vector<HostileCase> machine_cases() {
  const std::pair<const char*, std::string> pickles[] = {
      {"nothing", ""},
      {"stop at once", "\x80\x02."},
      {"protocol 1", std::string("\x80\x01}.")},
      {"protocol 6", std::string("\x80\x06}.")},
      {"no stop", "\x80\x02}"},
      {"two results", "\x80\x02}}."},
      {"a list", "\x80\x02]."},
      {"a string", "\x80\x02" + pickled_text("x") + "."},
      {"pop of nothing",
       "\x80\x02"
       "0}."},
      {"reduce of nothing", "\x80\x02R."},
      {"reduce of one", "\x80\x02)R."},
      {"call of a dict", "\x80\x02})R."},
      {"call of a storage type",
       "\x80\x02"
       "ctorch\nFloatStorage\n)R."},
      {"arguments that are a list",
       "\x80\x02"
       "ccollections\nOrderedDict\n]R."},
      {"OrderedDict with arguments",
       "\x80\x02"
       "ccollections\nOrderedDict\n]\x85R."},
      {"tuple without a mark", "\x80\x02t."},
      {"setitems without a mark", "\x80\x02}u."},
      {"a key without a value", "\x80\x02}(" + pickled_text("k") + "u."},
      {"append to a dict", "\x80\x02}Na."},
      {"setitem on a list", "\x80\x02]NNs."},
      {"build on nothing", "\x80\x02}b."},
      {"build on a list", "\x80\x02]}b."},
      {"memo of nothing", "\x80\x02q\x01."},
      {"unknown memo", "\x80\x02h\x07."},
      {"unknown wide memo", std::string("\x80\x02j\xff\xff\xff\xff.", 8)},
      {"a string beyond the end", std::string("\x80\x02X\xff\xff\xff\xff"
                                              "abc.",
                                              11)},
      {"an integer of 9 bytes",
       "\x80\x02\x8a\x09"
       "123456789."},
      {"a global without its lines",
       "\x80\x02"
       "ctorch"},
      {"a stack global of numbers", "\x80\x04K\x01K\x02\x93."},
      {"a key that is a number", "\x80\x02}K\x01Ns."},
      {"an entry that is a number", "\x80\x02}" + pickled_text("k") + "K\x01s."},
      {"an entry that is its own dict", "\x80\x02}q\x01" + pickled_text("k") + "h\x01s."},
      {"an id that is a string", "\x80\x02" + pickled_text("storage") + "Q."},
      {"an id that is short", "\x80\x02" + pickled_text("storage") + "\x85Q."},
      {"a parameter of nothing",
       "\x80\x02"
       "ctorch._utils\n_rebuild_parameter\n)R."},
      {"a tensor of nothing",
       "\x80\x02"
       "ctorch._utils\n_rebuild_tensor_v2\n)R."},
      {"10 million values", "\x80\x02" + std::string(10'000'000, 'N') + "."},
      {"10 million copies", "\x80\x02}q\x01" + repeated("h\x01", 10'000'000) + "."},
      {"10 million nested tuples", "\x80\x02N" + std::string(10'000'000, '\x85') + "."},
  };
  std::vector<HostileCase> cases;
  for (const auto& [rule, pickle] : pickles) {
    cases.push_back({rule, torch_file(pickle, {}), "x: pickle"});
  }
  return cases;
}

std::vector<HostileCase> tensor_cases() {
  std::vector<HostileCase> cases;
  const auto add = [&](const char* rule, const std::function<void(PickledTensorSpec&)>& change) {
    PickledTensorSpec spec = matrix();
    change(spec);
    cases.push_back({rule, file_of({spec}), "tensor w"});
  };
  add("a storage that is missing", [](auto& t) { t.storage = "1"; });
  add("a storage outside", [](auto& t) { t.storage = "../data.pkl"; });
  add("a storage that is too short", [](auto& t) { t.elements = 7; });
  add("a storage of wider elements", [](auto& t) { t.type = "DoubleStorage"; });
  add("a negative element count", [](auto& t) { t.elements = -6; });
  add("an element count that overflows", [](auto& t) { t.elements = INT64_MAX; });
  add("a negative offset", [](auto& t) { t.offset = -1; });
  add("an offset of one too many", [](auto& t) { t.offset = 1; });
  add("an offset that overflows", [](auto& t) { t.offset = INT64_MAX; });
  add("sizes beyond the storage", [](auto& t) { t.sizes = {3, 3}; });
  add("a negative size", [](auto& t) { t.sizes = {-2, -3}; });
  add("sizes that overflow", [](auto& t) { t.sizes = {int64_t{1} << 40, int64_t{1} << 40}; });
  add("a negative stride", [](auto& t) { t.strides = {3, -1}; });
  add("a stride beyond the storage", [](auto& t) { t.strides = {4, 1}; });
  add("strides that overflow", [](auto& t) { t.strides = {INT64_MAX, INT64_MAX}; });
  add("one element repeated without end", [](auto& t) {
    t.sizes = {int64_t{1} << 30, int64_t{1} << 20};
    t.strides = {0, 0};
  });
  add("overlapping rows", [](auto& t) {
    t.sizes = {3, 3};
    t.strides = {1, 1};
  });
  add("9 dimensions", [](auto& t) {
    t.sizes.assign(9, 1);
    t.strides.assign(9, 1);
  });
  cases.push_back({"the same name twice", file_of({matrix(), matrix()}), "tensor w"});
  PickledTensorSpec uneven = matrix();
  uneven.strides = {1};
  cases.push_back({"fewer strides than sizes", file_of({uneven}), "2 sizes and 1 strides"});
  PickledTensorSpec wide = matrix();
  wide.sizes.assign(100, 1);
  wide.strides.assign(100, 1);
  cases.push_back({"100 dimensions", file_of({wide}), "sizes"});
  return cases;
}

std::vector<HostileCase> zip_cases() {
  const std::string pickle = pickled_dict({matrix()});
  ZipBuilder valid;
  valid.entries = {{"m/data.pkl", pickle}, {"m/data/0", raw_values(counting(6))}};
  std::vector<HostileCase> cases = {{"not a zip", "PK", "zip file"}, {"empty", "", "zip file"}};
  const auto add = [&](const char* rule, const char* named,
                       const std::function<void(ZipBuilder&)>& change) {
    ZipBuilder zip = valid;
    change(zip);
    cases.push_back({rule, zip.build(), named});
  };
  add("compressed", "m/data/0", [](auto& zip) { zip.entries[1].method = 8; });
  add("encrypted", "m/data/0", [](auto& zip) { zip.entries[1].flags = 1; });
  add("an entry twice", "m/data/0", [](auto& zip) { zip.entries.push_back(zip.entries[1]); });
  add("no pickle", "data.pkl", [](auto& zip) { zip.entries.erase(zip.entries.begin()); });
  add("two sizes", "m/data/0", [](auto& zip) { zip.entries[1].stored_size = 1; });
  add("a size beyond the file", "m/data/0",
      [](auto& zip) { zip.entries[1].size = zip.entries[1].stored_size = 1 << 20; });
  add("a zip64 size that is not there", "m/data/0",
      [](auto& zip) { zip.entries[1].size = zip.entries[1].stored_size = 0xffffffffu; });
  add("an offset beyond the file", "m/data/0",
      [](auto& zip) { zip.entries[1].header_offset = 1 << 20; });
  add("the offset of another entry", "m/data/0",
      [](auto& zip) { zip.entries[1].header_offset = 0; });
  add("big-endian", "byteorder", [](auto& zip) { zip.entries.push_back({"m/byteorder", "big"}); });
  add("65535 entries", "directory", [](auto& zip) { zip.entry_count = 65535; });
  add("a directory beyond the file", "directory",
      [](auto& zip) { zip.directory_offset = 1 << 20; });
  add("a directory elsewhere", "directory", [](auto& zip) { zip.directory_offset = 0; });
  add("zip64 with an end beyond the file", "zip64", [](auto& zip) {
    zip.is_zip64 = true;
    zip.end64_offset = ~uint64_t{0};
  });
  cases.push_back({"PyTorch before 1.6", "\x80\x02\x8a\x0a", "before version 1.6"});
  return cases;
}

TEST(TorchZipHostile, RefusesMalformedFiles) {
  ASSERT_TRUE(parse_and_read(file_of({matrix()})));
  size_t count = 0;
  for (const auto& cases :
       {global_cases(), opcode_cases(), machine_cases(), tensor_cases(), zip_cases()}) {
    count += cases.size();
    expect_refused(cases, parse_and_read);
  }
  EXPECT_GE(count, 100u);
  RecordProperty("cases", static_cast<int>(count));
}

TEST(TorchZipHostile, SurvivesTruncationAndFlippedBits) {
  const std::string valid = file_of({matrix()});
  expect_robust(valid, valid.size(), parse_and_read);
}

}  // namespace
}  // namespace lotse
