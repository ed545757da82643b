// Model repositories as huggingface.co and its mirrors serve them: what files there are, and which
// of them Lotse needs.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/http.h"

namespace lotse::cli {

struct HubFile {
  std::string path;    // in the repository; passed is_safe_path
  int64_t size = -1;   // -1: the hub does not say
  std::string sha256;  // of large files; empty: the hub does not say
};

struct HubModel {
  std::string repository;  // "ORG/MODEL"
  std::string revision;    // the commit, where the hub names it, else what was asked for
  std::vector<HubFile> files;
};

// Where models come from: HF_ENDPOINT, else https://huggingface.co, with the token of HF_TOKEN,
// else of the file `token` in HF_HOME (~/.cache/huggingface).
struct Hub {
  std::string endpoint;
  std::string token;

  static Hub from_environment();
  std::string file_url(const HubModel& model, const HubFile& file) const;
};

// Lists a repository at a revision. Errors: invalid_input for a name that is none, io when the hub
// cannot be reached, not_found or unsupported for what it refuses, with what to do next.
Result<HubModel> list_model(HttpClient& http, const Hub& hub, const std::string& repository,
                            const std::string& revision, const RetryPolicy& retry);

// What `pull` downloads: configuration, tokenizer and licence, and the weights: safetensors where
// there are any, else PyTorch files, else the only GGUF; or, with `patterns`, the files whose path
// matches one of these globs. The order is that of download: config.json last, since a directory
// that has one counts as a model.
Result<std::vector<HubFile>> choose_files(const HubModel& model,
                                          const std::vector<std::string>& patterns);

// Whether a file of the hub may be written below a directory under its own path: relative, without
// "..", empty or hidden parts, backslashes or control characters.
bool is_safe_path(const std::string& path);

// One line for an answer that is no success.
Error hub_error(const Hub& hub, const std::string& repository, const HttpReply& reply);

}  // namespace lotse::cli
