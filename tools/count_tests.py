#!/usr/bin/env python3
"""Counts the cases of GoogleTest's JSON results in a folder, and lists those that did not run."""

import collections
import json
import pathlib
import sys


def cases(folder):
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        for suite in json.loads(path.read_text())["testsuites"]:
            for case in suite["testsuite"]:
                yield f"{path.stem}: {suite['name']}.{case['name']}", case


def reason(case):
    """The text of GTEST_SKIP() << "not run: …", which follows "file:line" and a newline."""
    message = case["skipped"][0]["message"].split("\n", 1)[-1].strip()
    return message.removeprefix("not run:").strip() or "no reason given"


def main():
    ran, failed = 0, 0
    not_run = collections.defaultdict(list)
    for name, case in cases(sys.argv[1]):
        if case["result"] == "SKIPPED":
            not_run[reason(case)].append(name)
        else:
            ran += 1
            failed += "failures" in case
    for why, names in sorted(not_run.items()):
        print(f"not run ({why}): {len(names)}")
        for name in names[:20]:
            print(f"    {name}")
        if len(names) > 20:
            print(f"    and {len(names) - 20} more")
    skipped = sum(map(len, not_run.values()))
    print(f"cases: {ran - failed} passed, {failed} failed, {skipped} not run")


main()
