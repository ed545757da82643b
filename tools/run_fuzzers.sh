#!/usr/bin/env bash
# Runs each fuzzer of a build folder for SECONDS_EACH (default 30) seconds, from the project's own
# small files as seeds: tools/run_fuzzers.sh BUILD [NAME…]. Stops at the first finding, whose input
# libFuzzer leaves in BUILD.
set -euo pipefail

build=$1
shift
seconds=${SECONDS_EACH:-30}
root=$(cd "$(dirname "$0")/.." && pwd)

# The files of a fuzzer's format, for a corpus of those below 64 KiB.
seeds() {
  case $1 in
    chip) ls "$root"/chips/*.toml ;;
    config) ls "$root"/tests/golden/{,encoders/}*/config.json "$root"/models/*/config.json ;;
    gguf) ls "$root"/tests/golden/gguf/*.gguf ;;
    source) ls "$root"/tests/source/samples/*.txt ;;
    safetensors) ls "$root"/tests/golden/*/*.safetensors ;;
    tokenizer) find "$root/tests/tokenizer" -name '*.json' ;;
    torch_zip) ls "$root"/tests/golden/*/*.bin ;;
  esac
}

names=("$@")
if [[ ${#names[@]} == 0 ]]; then
  mapfile -t names < <(cd "$build/bin" && ls -d fuzz_* | sed 's/^fuzz_//')
fi
for name in "${names[@]}"; do
  corpus=$build/corpus/$name
  mkdir -p "$corpus"
  while read -r seed; do
    if (($(stat -c %s "$seed") < 65536)); then
      cp "$seed" "$corpus/seed_$(sha256sum <"$seed" | cut -c 1-16)"
    fi
  done < <(seeds "$name")
  echo "fuzz_$name, $seconds s, $(ls "$corpus" | wc -l) seeds"
  ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-19/bin/llvm-symbolizer \
    "$build/bin/fuzz_$name" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$build/" "$corpus" 2>"$build/fuzz_$name.log" ||
    { tail -40 "$build/fuzz_$name.log"; exit 1; }
  grep -E 'stat::number_of_executed_units|^Done' "$build/fuzz_$name.log"
done
