#!/usr/bin/env bash
# Runs each fuzzer of a build folder for SECONDS_EACH (default 30) seconds:
# tools/run_fuzzers.sh BUILD. Stops at the first finding, whose input libFuzzer leaves in BUILD.
set -euo pipefail

build=$1
seconds=${SECONDS_EACH:-30}

for fuzzer in "$build"/bin/fuzz_*; do
  name=$(basename "$fuzzer")
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  echo "$name, $seconds s"
  ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-19/bin/llvm-symbolizer \
    "$fuzzer" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/" "$corpus" 2>"$build/$name.log" ||
    { tail -40 "$build/$name.log"; exit 1; }
  grep -E 'stat::number_of_executed_units|^Done' "$build/$name.log"
done
