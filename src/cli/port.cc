// lotse port: legalises and quantises a model for a target and writes the artifact.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "base/progress.h"
#include "cli/cli.h"
#include "cli/find_model.h"
#include "cli/target_option.h"
#include "port/port.h"

namespace lotse::cli {
namespace {

constexpr size_t kWorstShown = 5;

struct PortArguments {
  std::string model;
  std::string out;
  std::string target;
  std::string quant = "w8a8";
  bool quantise_head = false;
  int threads = 0;
  bool json = false;
};

const std::map<std::string, WeightFormat>& quant_names() {
  static const std::map<std::string, WeightFormat> names = {{"bf16", WeightFormat::bf16},
                                                            {"w8a8", WeightFormat::w8a8},
                                                            {"w4a16", WeightFormat::w4a16},
                                                            {"w4a8", WeightFormat::w4a8}};
  return names;
}

std::vector<std::string> quant_list() {
  std::vector<std::string> list;
  for (const auto& [name, format] : quant_names()) list.push_back(name);
  return list;
}

// "56 w8a8, 30 bf16"
std::string formats_of(const Manifest& manifest) {
  std::map<std::string, int64_t> counts;
  for (const TensorReport& tensor : manifest.tensors) ++counts[tensor.to];
  std::vector<std::string> parts;
  parts.reserve(counts.size());
  for (const auto& [format, count] : counts) parts.push_back(fmt::format("{} {}", count, format));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void print_worst(const Manifest& manifest) {
  std::vector<const TensorReport*> order;
  for (const TensorReport& tensor : manifest.tensors) {
    if (tensor.error.relative_rms > 0) order.push_back(&tensor);
  }
  const size_t shown = std::min(kWorstShown, order.size());
  std::ranges::partial_sort(order, order.begin() + static_cast<ptrdiff_t>(shown),
                            [](const TensorReport* a, const TensorReport* b) {
                              return a->error.relative_rms > b->error.relative_rms;
                            });
  if (shown > 0)
    fmt::print("  largest relative errors of the weights (RMS), of {}:\n", order.size());
  for (size_t i = 0; i < shown; ++i) {
    const TensorReport& tensor = *order[i];
    fmt::print("    {:6.3f} %  cosine {:.6f}  {} → {}  {}\n", 100 * tensor.error.relative_rms,
               tensor.error.cosine, tensor.from, tensor.to, tensor.name);
  }
}

bool has_tokenizer(const Manifest& manifest) {
  return std::ranges::any_of(manifest.files, [](const ArtifactFile& file) {
    return file.name == "tokenizer.json" || file.name == "tokenizer.model" ||
           file.name == "vocab.txt" || file.name == "vocab.json";
  });
}

void print_summary(const PortArguments& arguments, const PortResult& result, double seconds) {
  const Manifest& manifest = result.manifest;
  int64_t in = 0;
  int64_t out = 0;
  for (const TensorReport& tensor : manifest.tensors) {
    in += tensor.bytes_in;
    out += tensor.bytes_out;
  }
  if (result.was_done) {
    fmt::print("{} is this port already; all its hashes are right\n", arguments.out);
  } else {
    fmt::print("ported {} to {} for {} as {} in {:.1f} s\n", manifest.source, arguments.out,
               manifest.target, manifest.quant, seconds);
  }
  if (result.resumed_files > 0) {
    fmt::print("  {} weight files taken over from an interrupted port\n", result.resumed_files);
  }
  fmt::print("  weights {} → {} ({:.0f} %), {} tensors: {}\n",
             format_bytes(static_cast<double>(in)), format_bytes(static_cast<double>(out)),
             in > 0 ? 100 * static_cast<double>(out) / static_cast<double>(in) : 100.0,
             manifest.tensors.size(), formats_of(manifest));
  print_worst(manifest);
  if (!has_tokenizer(manifest)) {
    fmt::print(
        "  no tokenizer: the source has no tokenizer.json beside it; put one there and port "
        "again\n");
  }
  fmt::print("  every tensor and the SHA-256 of every file: {}/{}\n", arguments.out, kManifestName);
}

Result<int> run_port(const PortArguments& arguments) {
  PortRequest request;
  request.model = LOTSE_TRY(find_model(arguments.model));
  request.out = arguments.out;
  request.options.quant = quant_names().at(arguments.quant);
  request.options.quantise_head = arguments.quantise_head;
  request.threads = arguments.threads;
  std::unique_ptr<Progress> bar;
  request.progress = [&](int64_t done, int64_t total, std::string_view what) {
    if (!bar) bar = std::make_unique<Progress>("porting", total, true);
    bar->update(done, what);
  };
  const auto start = std::chrono::steady_clock::now();
  const ChipProfile chip = LOTSE_TRY(load_chip(arguments.target));
  const PortResult result = LOTSE_TRY(port_model(request, chip));
  bar.reset();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  if (arguments.json) {
    Json report = manifest_report(result.manifest);
    report["was_done"] = result.was_done;
    report["seconds"] = elapsed.count();
    fmt::print("{}\n", report.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_summary(arguments, result, elapsed.count());
  }
  return kOk;
}

}  // namespace

void add_port(Commands& commands) {
  CLI::App* command = commands.add(
      "port", "Bring a model to a target: legal dtypes, quantised weights, checked files",
      "  lotse port models/lotse-nano nano-910c --target ascend-910c\n"
      "  lotse port Qwen/Qwen3-8B qwen3-8b-w4 --target cpu --quant w4a16\n"
      "  lotse port model.gguf model-310p --target ascend-310p\n"
      "An interrupted port leaves OUT.partial; the same command goes on from there.");
  auto arguments = std::make_shared<PortArguments>();
  command->add_option("model", arguments->model, "Path, name, or org/model")->required();
  command->add_option("out", arguments->out, "Folder to write; must not exist")->required();
  add_target(command, arguments->target, "Chip to port to, for example ascend-910c")->required();
  command
      ->add_option(
          "--quant", arguments->quant,
          "Format of the linear weights. w8a8 (default): int8, a scale per output channel; "
          "w4a16, w4a8: int4 in groups; bf16: not quantised, FP16 on a chip without BF16")
      ->check(CLI::IsMember(quant_list()));
  command->add_flag("--quantise-head", arguments->quantise_head,
                    "Quantise the output projection too (w8a8 only)");
  command->add_option("--threads", arguments->threads, "Host threads; 0: one a core")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", arguments->json, "Print the whole report as JSON");
  command->callback(
      [&commands, arguments] { commands.action = [arguments] { return run_port(*arguments); }; });
}

}  // namespace lotse::cli
