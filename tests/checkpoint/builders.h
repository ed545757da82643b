// Builds small checkpoint files in memory, valid or broken on purpose, and checks that broken ones
// are refused well.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/tensor_table.h"

namespace lotse {

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The little-endian bytes of a number.
template <class T>
std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

template <class T>
std::string raw_values(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

inline std::string random_bytes(std::mt19937& random, size_t count) {
  std::string out(count, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

// A safetensors file: entries in order, each field as raw JSON.
struct SafetensorsBuilder {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  struct Entry {
    std::string key;  // raw JSON, with its quotes
    Fields fields;
    std::string replacement;  // instead of the object, when not empty
  };
  std::vector<Entry> entries;
  std::string data;

  void add(std::string_view name, std::string_view dtype, std::string_view shape,
           std::string_view bytes) {
    const std::string offsets = fmt::format("[{},{}]", data.size(), data.size() + bytes.size());
    entries.push_back({fmt::format("\"{}\"", name),
                       {{"dtype", fmt::format("\"{}\"", dtype)},
                        {"shape", std::string(shape)},
                        {"data_offsets", offsets}},
                       ""});
    data += bytes;
  }

  std::string header() const {
    std::string json = "{";
    for (const Entry& entry : entries) {
      if (json.size() > 1) json += ",";
      json += entry.key + ":";
      if (!entry.replacement.empty()) {
        json += entry.replacement;
        continue;
      }
      std::string object;
      for (const auto& [key, value] : entry.fields) {
        object += fmt::format("{}\"{}\":{}", object.empty() ? "" : ",", key, value);
      }
      json += "{" + object + "}";
    }
    return json + "}";
  }

  std::string build() const { return with_header(header()); }
  std::string with_header(std::string_view text) const {
    return raw<uint64_t>(text.size()) + std::string(text) + data;
  }
};

// A GGUF file: key-values with raw payloads, tensor infos, aligned data.
struct GgufBuilder {
  struct KeyValue {
    std::string key;
    uint32_t type;
    std::string payload;
  };
  struct Info {
    std::string name;
    std::vector<uint64_t> dims;  // as stored: innermost first
    uint32_t type;
    uint64_t offset;
  };
  uint32_t version = 3;
  std::vector<KeyValue> key_values;
  std::vector<Info> infos;
  std::string data;
  size_t alignment = 32;

  static constexpr uint32_t kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6,
                            kBool = 7, kString = 8, kArray = 9, kU64 = 10, kI64 = 11, kF64 = 12;

  static std::string text(std::string_view value) {
    return raw<uint64_t>(value.size()) + std::string(value);
  }
  static std::string array(uint32_t type, uint64_t count, std::string_view items) {
    return raw(type) + raw(count) + std::string(items);
  }

  void add_u32(std::string key, uint32_t value) {
    key_values.push_back({std::move(key), kU32, raw(value)});
  }
  void add_f32(std::string key, float value) {
    key_values.push_back({std::move(key), kF32, raw(value)});
  }
  void add_string(std::string key, std::string_view value) {
    key_values.push_back({std::move(key), kString, text(value)});
  }
  void add_strings(std::string key, const std::vector<std::string>& values) {
    std::string items;
    for (const std::string& value : values) items += text(value);
    key_values.push_back({std::move(key), kArray, array(kString, values.size(), items)});
  }
  // `shape` outermost first.
  void add_tensor(std::string name, std::vector<uint64_t> shape, uint32_t type,
                  std::string_view bytes) {
    data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
    std::reverse(shape.begin(), shape.end());
    infos.push_back({std::move(name), std::move(shape), type, data.size()});
    data += bytes;
  }
  void add_f32_tensor(std::string name, std::vector<uint64_t> shape,
                      const std::vector<float>& values) {
    add_tensor(std::move(name), std::move(shape), 0, raw_values(values));
  }

  KeyValue& at(std::string_view key) {
    for (KeyValue& pair : key_values) {
      if (pair.key == key) return pair;
    }
    ADD_FAILURE() << "no key " << key;
    return key_values.front();
  }

  std::string header() const {
    std::string out =
        "GGUF" + raw(version) + raw<uint64_t>(infos.size()) + raw<uint64_t>(key_values.size());
    for (const KeyValue& pair : key_values) out += text(pair.key) + raw(pair.type) + pair.payload;
    for (const Info& info : infos) {
      out += text(info.name) + raw(static_cast<uint32_t>(info.dims.size()));
      for (const uint64_t dim : info.dims) out += raw(dim);
      out += raw(info.type) + raw(info.offset);
    }
    return out;
  }

  std::string build() const {
    std::string out = header();
    if (infos.empty()) return out;
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

// Time that this process has computed, whatever else the machine does meanwhile.
class CpuTime {
 public:
  double seconds() const {
    return static_cast<double>(std::clock() - start_) / static_cast<double>(CLOCKS_PER_SEC);
  }

 private:
  std::clock_t start_ = std::clock();
};

// Seconds that one refusal may take; sanitizers slow everything down.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr double kLongest = 10.0;
#elif defined(__has_feature)
inline constexpr double kLongest = __has_feature(address_sanitizer) ? 10.0 : 1.0;
#else
inline constexpr double kLongest = 1.0;
#endif

// A broken file and what the message about it must name.
struct HostileCase {
  std::string rule;
  std::string bytes;
  std::string named;
};

using ParseFile = std::function<Result<void>(std::string_view bytes)>;

// Every case is an error, in one line that names what is wrong, in less than a second.
inline void expect_refused(const std::vector<HostileCase>& cases, const ParseFile& parse) {
  for (const HostileCase& c : cases) {
    const CpuTime time;
    const Result<void> result = parse(c.bytes);
    EXPECT_LT(time.seconds(), kLongest) << c.rule;
    if (result) {
      ADD_FAILURE() << "accepted: " << c.rule;
      continue;
    }
    const std::string& message = result.error().message;
    EXPECT_NE(message.find(c.named), std::string::npos)
        << c.rule << ": expected \"" << c.named << "\" in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << c.rule;
    EXPECT_TRUE(message.starts_with("x: ")) << c.rule << ": " << message;
  }
}

// Truncation at every byte, and a flip of every bit of the first `header` bytes: each is an error
// or a valid file, and nothing crashes. Truncations are always errors.
inline void expect_robust(std::string_view valid, size_t header, const ParseFile& parse) {
  ASSERT_TRUE(parse(valid)) << parse(valid).error().message;
  for (size_t length = 0; length < valid.size(); ++length) {
    // A copy of the exact size, so that a sanitizer sees reads beyond it.
    const std::vector<char> cut(valid.begin(), valid.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(parse({cut.data(), cut.size()})) << "truncated at " << length;
  }
  std::vector<char> flipped(valid.begin(), valid.end());
  for (size_t bit = 0; bit < 8 * header; ++bit) {
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    (void)parse({flipped.data(), flipped.size()});
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
  }
}

// Builds the source and reads every tensor, as a caller would.
inline Result<void> read_everything(std::vector<StoredTensor> tensors) {
  const auto source = LOTSE_TRY(make_weight_source(std::move(tensors)));
  for (const TensorInfo& info : source->tensors()) {
    const Tensor tensor = LOTSE_TRY(source->read(info.name));
    EXPECT_EQ(static_cast<int64_t>(tensor.bytes.size()), info.bytes);
  }
  return {};
}

}  // namespace lotse
