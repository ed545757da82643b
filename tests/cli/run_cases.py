#!/usr/bin/env python3
"""Runs command-line cases: run_cases.py LOTSE FILE.case…

A case file is a transcript:

    # a remark
    $ lotse tokenize model < text.txt     a command for bash, in a scratch directory of the file
    12 7 512                              a line of its standard output
    2> lotse: …                           a line of its standard error
    ? 1                                   its exit code, 0 where none is given

In expected lines, {*} stands for any text; the line `...` stands for any number of lines. Standard
error is checked only where it is given, or must be empty where the exit code is 0. Commands see
$LOTSE_SOURCE (the source tree) and an empty home directory.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 300


class Case:
    def __init__(self, place, command):
        self.place = place
        self.command = command
        self.out, self.err, self.code = [], [], 0


def read_cases(path):
    cases = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("$ "):
            cases.append(Case(f"{path.name}:{number}", line[2:]))
        elif line.startswith("# ") or not cases:
            continue
        elif line.startswith("? "):
            cases[-1].code = int(line[2:])
        elif line.startswith("2> "):
            cases[-1].err.append(line[3:])
        else:
            cases[-1].out.append(line)
    for case in cases:
        while case.out and not case.out[-1].strip():
            case.out.pop()
    return cases


def pattern(lines):
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("{*}")) + r"\n")
    return re.compile("".join(parts))


def with_newline(text):
    return text if not text or text.endswith("\n") else text + "\n"


def differences(case, done):
    if done.returncode != case.code:
        yield f"exit code {done.returncode}, expected {case.code}"
    if not pattern(case.out).fullmatch(with_newline(done.stdout)):
        yield "standard output differs from\n" + "\n".join(case.out)
    if case.err or done.returncode == 0:
        if not pattern(case.err).fullmatch(with_newline(done.stderr)):
            yield "standard error differs from\n" + "\n".join(case.err)


def environment(lotse, home):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "LOTSE_", "XDG_"))}
    path = f"{pathlib.Path(lotse).resolve().parent}:{kept['PATH']}"
    return kept | {"PATH": path, "HOME": home, "LC_ALL": "C.UTF-8", "LOTSE_SOURCE": str(SOURCE)}


def run_file(lotse, path):
    failed = 0
    cases = read_cases(path)
    with tempfile.TemporaryDirectory() as scratch:
        for case in cases:
            done = subprocess.run(
                ["bash", "-c", case.command], cwd=scratch, env=environment(lotse, scratch),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=LIMIT_SECONDS)
            wrong = list(differences(case, done))
            if not wrong:
                continue
            failed += 1
            print(f"FAILED {case.place}: $ {case.command}")
            print("\n".join(wrong))
            print(f"--- standard output\n{done.stdout}--- standard error\n{done.stderr}---")
    print(f"{path.name}: {len(cases) - failed} passed, {failed} failed")
    return failed


def main():
    lotse, *files = sys.argv[1:]
    failed = sum(run_file(lotse, pathlib.Path(name)) for name in files)
    return 1 if failed else 0


sys.exit(main())
