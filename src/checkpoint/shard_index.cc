#include "checkpoint/shard_index.h"

#include <simdjson.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/mmap.h"

namespace lotse {
namespace {

constexpr int64_t kMaxIndexBytes = int64_t{64} << 20;

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

Result<std::vector<IndexedTensor>> read_weight_map(const simdjson::dom::object& map,
                                                   std::string_view origin) {
  std::vector<IndexedTensor> tensors;
  std::unordered_set<std::string_view> names;
  for (const auto& [name, value] : map) {
    std::string_view shard;
    if (value.get(shard) != simdjson::SUCCESS || !is_plain_file_name(shard)) {
      return fail(ErrorCode::invalid_input,
                  "{}: weight_map: {}: expected a plain file name of a shard, got {}", origin,
                  printable(name), printable(simdjson::minify(value)));
    }
    if (!names.insert(name).second) {
      return fail(ErrorCode::invalid_input, "{}: weight_map: duplicate tensor {}", origin,
                  printable(name));
    }
    tensors.push_back({std::string(name), std::string(shard)});
  }
  return tensors;
}

}  // namespace

Result<std::vector<IndexedTensor>> parse_shard_index(std::string_view text,
                                                     std::string_view origin) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  const simdjson::error_code error = parser.parse(text.data(), text.size()).get(root);
  if (error != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_input, "{}: not valid JSON: {}", origin,
                simdjson::error_message(error));
  }
  simdjson::dom::object map;
  if (root["weight_map"].get(map) != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_input, "{}: field \"weight_map\": expected an object", origin);
  }
  return read_weight_map(map, origin);
}

Result<std::vector<StoredTensor>> open_shards(
    const std::filesystem::path& index,
    const std::function<Result<std::vector<StoredTensor>>(const std::filesystem::path&)>&
        open_shard) {
  const std::string text = LOTSE_TRY(read_text_file(index, kMaxIndexBytes));
  const std::vector<IndexedTensor> mapped = LOTSE_TRY(parse_shard_index(text, index.string()));
  std::map<std::string, std::unordered_set<std::string_view>> wanted;
  for (const IndexedTensor& tensor : mapped) wanted[tensor.shard].insert(tensor.name);

  std::vector<StoredTensor> all;
  for (auto& [shard, names] : wanted) {
    const std::filesystem::path file = index.parent_path() / shard;
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) {
      return fail(
          ErrorCode::not_found,
          "{}: shard {} is missing; download it into the same folder, or open the config.json "
          "alone",
          index.string(), printable(shard));
    }
    for (StoredTensor& tensor : LOTSE_TRY(open_shard(file))) {
      names.erase(tensor.info.name);
      all.push_back(std::move(tensor));
    }
    if (!names.empty()) {
      return fail(ErrorCode::invalid_input, "{}: tensor {} is not in {}, where the index places it",
                  index.string(), printable(*names.begin()), printable(shard));
    }
  }
  return all;
}

}  // namespace lotse
