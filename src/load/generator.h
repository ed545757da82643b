// The load generator: sends a workload to an OpenAI-compatible server and keeps what it saw.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "load/workload.h"

namespace lotse {

struct LoadOptions {
  std::string url;
  std::string api_key;  // empty: none
  std::string ca_file;  // PEM; empty: the system's
  std::string model;    // empty: the first that the server lists
  bool is_chat = false;
  bool ignore_eos = true;  // so that answers have the lengths that the workload asks for
  // Closed: each of `concurrency` users asks again as soon as it is answered. Open: requests are
  // sent when the workload says, at most `concurrency` at once (0: any number).
  bool is_closed = true;
  int64_t concurrency = 8;
  int64_t warm_up = 1;  // requests before, one by one, that do not count
  double timeout_seconds = 600;
  uint64_t seed = 0;
};

struct LoadProgress {
  int64_t ended = 0, total = 0, failed = 0, in_flight = 0;
};

// Times are seconds from the start of the run.
struct RequestRecord {
  double due = 0;  // when the workload has it; when it was sent, in a closed loop
  double sent = 0;
  double first = 0;  // first text
  double ended = 0;
  std::vector<double> texts;  // when each piece of text came
  int64_t asked_input = 0, asked_output = 0;
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;  // as the server counts
  int status = 0;                                                       // 0: there was no answer
  std::string error;   // empty: it was answered whole
  std::string breach;  // the first convention that the stream broke
};

struct LoadRun {
  std::string server, model;
  std::vector<RequestRecord> records;  // in the order of the workload; without those never sent
  double seconds = 0;                  // from the first request to the last answer
  double cpu_seconds = 0;              // of this process meanwhile
  int64_t shortened = 0;               // requests cut to fit in the model's context
  int64_t most_in_flight = 0;
  bool has_tokens = false;  // prompts were token ids, of exact length
  bool was_interrupted = false;
};

// Runs on the calling thread, until all is answered or SIGINT. Errors: what keeps the run from
// starting (address, TLS, key, model). `progress` is called a few times a second.
Result<LoadRun> run_load(const LoadOptions& options, Workload workload,
                         const std::function<void(const LoadProgress&)>& progress);

}  // namespace lotse
