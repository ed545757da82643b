#!/usr/bin/env bash
# The main job on the bundled model, in plain sight: tools/demo.sh LOTSE.
set -euo pipefail

lotse=$1
model=models/lotse-nano
ported=build/demo/lotse-nano-w8a8
rm -rf build/demo
mkdir -p build/demo

# Shows a command as one would type it, then runs it.
show() {
  local word line='$ lotse'
  for word; do
    [[ $word =~ ^[A-Za-z0-9_./:-]+$ ]] || word="'$word'"
    line+=" $word"
  done
  printf '\n\033[1m%s\033[0m\n' "$line"
  "$lotse" "$@"
}

show inspect "$model" --target ascend-910c
show port "$model" "$ported" --target ascend-910c --quant w8a8
# So small a model is fastest on one thread.
show verify "$ported" --against "$model" --questions 100 --threads 1
show run "$ported" -p 'What is 17 plus 25?'
# The same on the chip it was ported to, which the emulator stands in for.
export LOTSE_EMULATOR_SOC=Ascend910C
show run "$ported" -p 'What is 17 plus 25?' --device ascend:0

