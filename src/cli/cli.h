// The frame of every command: one file a command, declared here, run by main.cc.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>

#include "base/result.h"

namespace lotse::cli {

// Exit codes: 0 done, 1 failed (an Error, or a check that did not pass), 2 wrong usage.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

// A command's work after its arguments were read; returns the exit code.
using Action = std::function<Result<int>()>;

// Collects the commands. A command's file defines one add_… function, which declares its options
// on a sub-command and sets `action` in the sub-command's callback.
struct Commands {
  CLI::App& app;
  Action action;

  // A sub-command whose --help ends with `examples`. (Not inline: whoever makes a CLI::App compiles
  // all of CLI11.)
  CLI::App* add(const std::string& name, const std::string& summary, const std::string& examples);
};

void add_bench(Commands& commands);
void add_completion(Commands& commands);
void add_devices(Commands& commands);
void add_doctor(Commands& commands);
void add_embed(Commands& commands);
void add_eval(Commands& commands);
void add_inspect(Commands& commands);
void add_manual(Commands& commands);
void add_port(Commands& commands);
void add_pull(Commands& commands);
void add_run(Commands& commands);
void add_serve(Commands& commands);
void add_synth(Commands& commands);
void add_tokenize(Commands& commands);
void add_verify(Commands& commands);
void add_worker(Commands& commands);

}  // namespace lotse::cli
