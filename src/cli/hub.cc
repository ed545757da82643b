#include "cli/hub.h"
#include "base/environment.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "base/json.h"
#include "base/mmap.h"
#include "base/utf8.h"
#include "cli/find_model.h"

namespace lotse::cli {
namespace {

constexpr int64_t kLargestListing = int64_t{64} << 20;

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// Each part of a path percent-encoded.
std::string escape_path(const std::string& path) {
  std::string escaped;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (begin > 0) escaped += '/';
    escaped += HttpClient::escape(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return escaped;
}

bool matches(const std::string& path, const char* glob) {
  return ::fnmatch(glob, path.c_str(), 0) == 0;
}

bool matches_any(const std::string& path, std::initializer_list<const char*> globs) {
  return std::ranges::any_of(globs, [&](const char* glob) { return matches(path, glob); });
}

bool is_at_top(const std::string& path) { return path.find('/') == std::string::npos; }

bool is_description(const std::string& path) {
  return is_at_top(path) && matches_any(path, {"*.json", "*.jinja", "tokenizer.model", "vocab.txt",
                                               "merges.txt", "LICENSE*", "LICENCE*", "NOTICE*"});
}

// Where a repository has the same weights twice, the copy under Hugging Face's own names.
std::vector<HubFile> safetensors(const std::vector<HubFile>& files) {
  std::vector<HubFile> all, named;
  for (const HubFile& file : files) {
    if (!is_at_top(file.path)) continue;
    if (matches(file.path, "*.safetensors")) all.push_back(file);
    if (matches(file.path, "model*.safetensors")) named.push_back(file);
  }
  return named.empty() ? all : named;
}

std::vector<HubFile> matching(const std::vector<HubFile>& files,
                              const std::vector<std::string>& globs) {
  std::vector<HubFile> found;
  std::ranges::copy_if(files, std::back_inserter(found), [&](const HubFile& file) {
    return std::ranges::any_of(
        globs, [&](const std::string& glob) { return matches(file.path, glob.c_str()); });
  });
  return found;
}

Result<std::vector<HubFile>> choose_weights(const HubModel& model) {
  if (auto files = safetensors(model.files); !files.empty()) return files;
  if (auto files = matching(model.files, {"pytorch_model*.bin"}); !files.empty()) return files;
  auto gguf = matching(model.files, {"*.gguf"});
  if (gguf.size() == 1) return gguf;
  if (gguf.empty()) {
    return fail(ErrorCode::not_found,
                "{}: no weights: neither *.safetensors nor pytorch_model*.bin nor *.gguf among its "
                "{} files",
                model.repository, model.files.size());
  }
  std::string names;
  for (const HubFile& file : gguf) names += "\n  " + file.path;
  return fail(ErrorCode::invalid_input, "{}: {} GGUF files; choose with --include '*NAME*' from{}",
              model.repository, gguf.size(), names);
}

Result<HubFile> read_file(const Json& entry, const std::string& origin) {
  const JsonFields fields(entry, origin);
  HubFile file;
  file.path = LOTSE_TRY(fields.string_or("rfilename", ""));
  if (!is_safe_path(file.path)) {
    return fail(ErrorCode::invalid_input,
                "{}: refuses the file name {}: it would leave the model's directory or hide in it",
                origin, Json(sanitize_utf8(file.path)).dump());
  }
  constexpr int64_t kLargest = int64_t{1} << 50;
  file.size = LOTSE_TRY(fields.integer_or("size", -1, 0, kLargest));
  if (const auto lfs = LOTSE_TRY(fields.object("lfs"))) {
    file.sha256 = LOTSE_TRY(lfs->string_or("sha256", ""));
    file.size = LOTSE_TRY(lfs->integer_or("size", file.size, 0, kLargest));
    const bool valid = file.sha256.size() == 64 &&
                       file.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!file.sha256.empty() && !valid) {
      return fail(ErrorCode::invalid_input,
                  "{}: {}: field \"lfs.sha256\": expected 64 hexadecimal digits", origin,
                  file.path);
    }
  }
  return file;
}

// Hidden files (.gitattributes) are none of a model's.
bool is_hidden(const Json& entry) {
  const auto name = entry.is_object() ? entry.find("rfilename") : entry.end();
  return entry.is_object() && name != entry.end() && name->is_string() &&
         name->get_ref<const std::string&>().starts_with(".git");
}

Result<HubModel> read_listing(const std::string& text, const std::string& url,
                              const std::string& repository, const std::string& revision) {
  const Json listing = LOTSE_TRY(parse_json(text, url));
  HubModel model{repository, revision, {}};
  if (!listing.is_object() || !listing.contains("siblings") || !listing["siblings"].is_array()) {
    return fail(ErrorCode::invalid_input, "{}: field \"siblings\": expected a list of files", url);
  }
  const std::string commit = LOTSE_TRY(JsonFields(listing, url).string_or("sha", ""));
  if (commit.size() == 40 && commit.find_first_not_of("0123456789abcdef") == std::string::npos) {
    model.revision = commit;
  }
  for (const Json& entry : listing["siblings"]) {
    if (!is_hidden(entry)) model.files.push_back(LOTSE_TRY(read_file(entry, url)));
  }
  return model;
}

// Gathers a listing in `text`, which must outlive the sink.
BodySink collect(std::string& text, const std::string& url) {
  return [&text, url](const HttpReply&, std::span<const std::byte> piece) -> Result<void> {
    if (std::ssize(text) + std::ssize(piece) > kLargestListing) {
      return fail(ErrorCode::limit, "{}: the list of files exceeds {} bytes", url, kLargestListing);
    }
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  };
}

// Letters, digits, and some of "_.-/", beginning with a letter or a digit.
bool is_name(std::string_view text, std::string_view also) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && is_alphanumeric(text.front()) && std::ranges::all_of(text, [&](char c) {
    return is_alphanumeric(c) || also.find(c) != std::string_view::npos;
  });
}

Result<void> check_names(const std::string& repository, const std::string& revision) {
  const auto slashes = std::ranges::count(repository, '/');
  if (slashes != 1 || !is_name(repository, "_.-/") || !is_safe_path(repository)) {
    return fail(ErrorCode::invalid_input, "\"{}\" is no model of the hub; expected ORG/MODEL",
                repository);
  }
  if (!is_name(revision, "_.-/") || !is_safe_path(revision)) {
    return fail(ErrorCode::invalid_input,
                "\"{}\" is no revision; expected a branch, a tag or a commit", revision);
  }
  return {};
}

// A token goes over TLS, or to this machine.
bool may_carry_token(std::string_view endpoint) {
  if (endpoint.starts_with("https://")) return true;
  if (endpoint.find('@') != std::string_view::npos) return false;
  for (const std::string_view local : {"http://localhost", "http://127.0.0.1", "http://[::1]"}) {
    if (!endpoint.starts_with(local)) continue;
    const std::string_view rest = endpoint.substr(local.size());
    if (rest.empty() || rest.front() == ':' || rest.front() == '/') return true;
  }
  return false;
}

std::string read_token() {
  if (const std::string token = environment("HF_TOKEN"); !token.empty()) return trimmed(token);
  const auto token = read_text_file(hub_home() / "token", 4096);
  return token ? trimmed(*token) : "";
}

}  // namespace

Hub Hub::from_environment() {
  Hub hub;
  hub.endpoint = environment("HF_ENDPOINT");
  if (hub.endpoint.empty()) hub.endpoint = "https://huggingface.co";
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  if (may_carry_token(hub.endpoint)) hub.token = read_token();
  return hub;
}

std::string Hub::file_url(const HubModel& model, const HubFile& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", endpoint, model.repository,
                     HttpClient::escape(model.revision), escape_path(file.path));
}

Error hub_error(const Hub& hub, const std::string& repository, const HttpReply& reply) {
  const std::string page = hub.endpoint + "/" + repository;
  const char* token = hub.token.empty() ? "set HF_TOKEN to a token that may read it"
                                        : "the token in use may not read it";
  switch (reply.status) {
    case 401:
      return {ErrorCode::unsupported,
              fmt::format("{}: HTTP 401: the model does not exist, is private, or is gated; {}",
                          page, token)};
    case 403:
      return {
          ErrorCode::unsupported,
          fmt::format("{}: HTTP 403: the model is gated: accept its conditions on that page; {}",
                      page, token)};
    case 404:
      return {ErrorCode::not_found,
              fmt::format("{}: HTTP 404: no such model, revision or file", page)};
    default:
      break;
  }
  if (reply.status >= 400) {
    return {ErrorCode::io, fmt::format("{}: {}; try again later", page, reply.failure)};
  }
  if (reply.status > 0) {
    return {ErrorCode::io, fmt::format("{}: {}; what arrived is kept, and the same command goes on",
                                       page, reply.failure)};
  }
  return {
      ErrorCode::io,
      fmt::format("cannot reach {}: {}. Without a network, set HF_ENDPOINT to a mirror, or copy "
                  "the model's files to {}",
                  hub.endpoint, reply.failure, (models_directory() / repository).string())};
}

bool is_safe_path(const std::string& path) {
  if (path.empty() || path.size() > 1024 || !is_valid_utf8(path)) return false;
  if (std::ranges::any_of(path, [](char c) {
        return c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      })) {
    return false;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part(path.data() + begin, end - begin);
    if (part.empty() || part.starts_with('.') || part.size() > 200) return false;
    begin = end + 1;
  }
  return true;
}

Result<HubModel> list_model(HttpClient& http, const Hub& hub, const std::string& repository,
                            const std::string& revision, const RetryPolicy& retry) {
  LOTSE_TRY(check_names(repository, revision));
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", hub.endpoint,
                                      repository, HttpClient::escape(revision));
  for (int retries = 0;; ++retries) {
    std::string text;
    const HttpReply reply = LOTSE_TRY(http.get({url, hub.token}, collect(text, url)));
    if (reply.failure.empty()) return read_listing(text, url, repository, revision);
    if (!reply.transient || retries == retry.retries) {
      return std::unexpected(hub_error(hub, repository, reply));
    }
    retry.wait(retries);
  }
}

Result<std::vector<HubFile>> choose_files(const HubModel& model,
                                          const std::vector<std::string>& patterns) {
  std::vector<HubFile> files;
  HubFile config;
  for (const HubFile& file : model.files) {
    if (file.path == "config.json") {
      config = file;
    } else if (is_description(file.path)) {
      files.push_back(file);
    }
  }
  const auto weights =
      patterns.empty() ? LOTSE_TRY(choose_weights(model)) : matching(model.files, patterns);
  if (weights.empty()) {
    return fail(ErrorCode::not_found, "{}: no file matches --include", model.repository);
  }
  for (const HubFile& file : weights) {
    if (!is_description(file.path)) files.push_back(file);
  }
  if (!config.path.empty()) files.push_back(config);
  return files;
}

}  // namespace lotse::cli
