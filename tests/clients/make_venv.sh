#!/usr/bin/env bash
# A virtual environment with the clients that clients_test.py runs: make_venv.sh FOLDER [PATH…]
# PATHs are site-packages of other environments, for what is large and already there (torch,
# transformers). Not in the tests of every day: it downloads some hundred MB.
set -euo pipefail

folder=$1
shift
python3 -m venv "$folder"
site=$("$folder/bin/python" -c 'import site; print(site.getsitepackages()[0])')
printf '%s\n' "$@" > "$site/others.pth"
"$folder/bin/pip" install --quiet guidellm 'lm-eval[api]' openai
"$folder/bin/pip" list --format freeze | grep -iE '^(guidellm|lm.eval|openai|transformers|torch)='
