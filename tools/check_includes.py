#!/usr/bin/env python3
"""Checks that each folder of src includes only what stands above it in LAYERS.

Units on one line are siblings that do not know each other. A unit is a folder of src, or a file
stem where one file stands elsewhere than its folder. Prints each violation as FILE:LINE.
"""

import pathlib
import re
import sys

LAYERS = [
    ["base"],
    ["tensor"],
    ["checkpoint", "tokenizer"],
    ["chat_template"],
    ["chip"],
    ["device"],
    ["device/collective"],
    ["device/walk"],
    ["device/reference", "device/cpu", "device/ascend"],
    ["device/registry"],
    ["model"],
    ["engine/grammar"],
    ["engine"],
    ["port"],
    ["source"],
    ["inspect"],
    ["verify"],
    ["server"],
    ["plan"],
    ["load"],
    ["cli"],
]
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"


def unit_of(path):
    """The unit of a path relative to src: its stem or the nearest folder that is one."""
    for candidate in (path.with_suffix(""), *path.parents):
        if candidate.as_posix() in RANK:
            return candidate.as_posix()
    return None


def violation(user, included):
    """What is wrong with `user` including `included`, both relative to src; None when nothing."""
    if not (SOURCE / included).is_file():
        return f'"{included}" is no file of src; includes start from there'
    of, to = unit_of(user), unit_of(pathlib.PurePosixPath(included))
    if of is None or to is None:
        return f"{user if of is None else included} belongs to no unit of {__file__}"
    if of == to or RANK[to] < RANK[of]:
        return None
    return f'{of} includes "{included}", but {to} does not stand above {of}'


def main():
    files = sorted(p for p in SOURCE.rglob("*") if p.suffix in {".cc", ".h", ".inc"})
    includes = violations = 0
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if match is None:
                continue
            includes += 1
            if message := violation(path.relative_to(SOURCE), match[1]):
                violations += 1
                print(f"src/{path.relative_to(SOURCE)}:{number}: {message}")
    print(f"include check: {len(files)} files, {includes} includes, {violations} violations")
    return 1 if violations else 0


sys.exit(main())
