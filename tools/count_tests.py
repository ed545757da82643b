#!/usr/bin/env python3
"""Counts the cases of GoogleTest's XML results in a folder, and lists those that did not run."""

import collections
import pathlib
import sys
import xml.etree.ElementTree


def cases(folder):
    for path in sorted(pathlib.Path(folder).glob("*.xml")):
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            yield f"{path.stem}: {case.get('classname')}.{case.get('name')}", case


def reason(skipped):
    """The text of GTEST_SKIP() << "not run: …", which follows "file:line" and a newline."""
    message = skipped.get("message", "").split("\n", 1)[-1].strip()
    return message.removeprefix("not run:").strip() or "no reason given"


def main():
    ran, failed = 0, 0
    not_run = collections.defaultdict(list)
    for name, case in cases(sys.argv[1]):
        skipped = case.find("skipped")
        if skipped is not None:
            not_run[reason(skipped)].append(name)
        else:
            ran += 1
            failed += case.find("failure") is not None
    for why, names in sorted(not_run.items()):
        print(f"not run ({why}): {len(names)}")
        for name in names[:20]:
            print(f"    {name}")
        if len(names) > 20:
            print(f"    and {len(names) - 20} more")
    skipped = sum(map(len, not_run.values()))
    print(f"cases: {ran - failed} passed, {failed} failed, {skipped} not run")


main()
