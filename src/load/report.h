// A run of the load generator as text, JSON and a page.
#pragma once

#include <string>

#include "load/summary.h"

namespace lotse {

struct LoadReport {
  std::string workload;  // in words: what was asked
  ServiceLevel level;
  const LoadRun& run;
  LoadSummary summary;
};

std::string load_text(const LoadReport& report);
// Times in milliseconds. With each request's own figures under "requests".
std::string load_json(const LoadReport& report);
// One file that asks nothing of any other host.
std::string load_page(const LoadReport& report);

}  // namespace lotse
