#!/usr/bin/env bash
# Runs the test programs of a build folder: tools/run_tests.sh BUILD [NAME…]. Each test of a
# program that could not run here is listed with its reason before the closing lines.
set -euo pipefail

build=$1
shift
results=$PWD/$build/test-results
rm -rf "$results"
mkdir -p "$results"

selection=()
[[ $# -eq 0 ]] || selection=(-R "^($(IFS='|' && echo "$*"))\$")

status=0
GTEST_OUTPUT=xml:$results/ ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-19/bin/llvm-symbolizer \
  ctest --test-dir "$build" --output-on-failure --no-tests=error --timeout 600 \
  -j "$(nproc)" "${selection[@]}" </dev/null || status=$?
tools/count_tests.py "$results"
exit "$status"
