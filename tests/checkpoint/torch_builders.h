// Builds PyTorch checkpoint files in memory: pickles, and zip files with entries stored plainly.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/checkpoint/builders.h"

namespace lotse {

inline std::string repeated(std::string_view text, size_t count) {
  std::string out;
  out.reserve(text.size() * count);
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

inline std::string pickled_text(std::string_view text) {
  return "X" + raw(static_cast<uint32_t>(text.size())) + std::string(text);
}

inline std::string pickled_integer(int64_t value) { return "\x8a\x08" + raw(value); }

inline std::string pickled_integers(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += pickled_integer(value);
  return out + "t";
}

struct PickledTensorSpec {
  std::string name;
  std::string type;
  std::string storage;
  int64_t elements;
  int64_t offset;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
};

inline std::string pickled_tensor(const PickledTensorSpec& t) {
  const std::string storage = "(" + pickled_text("storage") + "ctorch\n" + t.type + "\n" +
                              pickled_text(t.storage) + pickled_text("cpu") +
                              pickled_integer(t.elements) + "tQ";
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + pickled_integer(t.offset) +
         pickled_integers(t.sizes) + pickled_integers(t.strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

// The tensors as an OrderedDict, without the protocol and the stop.
inline std::string pickled_dict_body(const std::vector<PickledTensorSpec>& tensors) {
  std::string out = "ccollections\nOrderedDict\n)R(";
  for (const PickledTensorSpec& tensor : tensors) {
    out += pickled_text(tensor.name) + pickled_tensor(tensor);
  }
  return out + "u";
}

inline std::string pickled_dict(const std::vector<PickledTensorSpec>& tensors) {
  return "\x80\x02" + pickled_dict_body(tensors) + ".";
}

// A zip file whose fields can each be set wrong.
struct ZipBuilder {
  struct Entry {
    std::string name;
    std::string data;
    uint16_t method = 0;
    uint16_t flags = 0;
    std::optional<uint32_t> size = {}, stored_size = {}, header_offset = {};
  };
  std::vector<Entry> entries;
  bool is_zip64 = false;
  std::optional<uint16_t> entry_count;
  std::optional<uint32_t> directory_offset;
  std::optional<uint64_t> end64_offset;

  std::string build() const {
    std::string out;
    std::string directory;
    for (const Entry& entry : entries) {
      directory += central(entry, out.size());
      out += local(entry);
    }
    const uint64_t offset = directory_offset.value_or(static_cast<uint32_t>(out.size()));
    const uint64_t count = entry_count.value_or(static_cast<uint16_t>(entries.size()));
    out += directory;
    if (is_zip64) {
      const uint64_t end64 = end64_offset.value_or(out.size());
      out += raw(0x06064b50u) + raw<uint64_t>(44) + raw<uint16_t>(45) + raw<uint16_t>(45) +
             raw(0u) + raw(0u) + raw(count) + raw(count) + raw<uint64_t>(directory.size()) +
             raw(offset) + raw(0x07064b50u) + raw(0u) + raw(end64) + raw(1u);
    }
    const uint32_t none = 0xffffffffu;
    return out + raw(0x06054b50u) + raw(0u) + raw(static_cast<uint16_t>(is_zip64 ? none : count)) +
           raw(static_cast<uint16_t>(is_zip64 ? none : count)) +
           raw(is_zip64 ? none : static_cast<uint32_t>(directory.size())) +
           raw(is_zip64 ? none : static_cast<uint32_t>(offset)) + raw<uint16_t>(0);
  }

 private:
  static std::string local(const Entry& entry) {
    const auto size = static_cast<uint32_t>(entry.data.size());
    return raw(0x04034b50u) + raw<uint16_t>(20) + raw(entry.flags) + raw(entry.method) + raw(0u) +
           raw(0u) + raw(size) + raw(size) + raw(static_cast<uint16_t>(entry.name.size())) +
           raw<uint16_t>(0) + entry.name + entry.data;
  }

  // In zip64 all sizes and the offset move to the extra field.
  std::string central(const Entry& entry, size_t offset) const {
    const uint32_t none = 0xffffffffu;
    const auto size = static_cast<uint32_t>(entry.data.size());
    std::string extra;
    if (is_zip64) {
      extra = raw<uint16_t>(1) + raw<uint16_t>(24) + raw<uint64_t>(size) + raw<uint64_t>(size) +
              raw<uint64_t>(offset);
    }
    return raw(0x02014b50u) + raw<uint16_t>(45) + raw<uint16_t>(20) + raw(entry.flags) +
           raw(entry.method) + raw(0u) + raw(0u) +
           raw(is_zip64 ? none : entry.stored_size.value_or(size)) +
           raw(is_zip64 ? none : entry.size.value_or(size)) +
           raw(static_cast<uint16_t>(entry.name.size())) +
           raw(static_cast<uint16_t>(extra.size())) + raw<uint16_t>(0) + raw<uint16_t>(0) +
           raw<uint16_t>(0) + raw(0u) +
           raw(is_zip64 ? none : entry.header_offset.value_or(static_cast<uint32_t>(offset))) +
           entry.name + extra;
  }
};

// A checkpoint of a pickle and its storages.
inline std::string torch_file(const std::string& pickle,
                              const std::vector<std::pair<std::string, std::string>>& storages) {
  ZipBuilder zip;
  zip.entries.push_back({"m/data.pkl", pickle, 0, 0, {}, {}, {}});
  for (const auto& [key, data] : storages) {
    zip.entries.push_back({"m/data/" + key, data, 0, 0, {}, {}, {}});
  }
  return zip.build();
}

}  // namespace lotse
