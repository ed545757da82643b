#!/usr/bin/env python3
"""Builds the CANN backend of a ggml checkout against the emulator and runs ggml's operator tests.

    tools/ggml_cann.py CHECKOUT TOOLKIT [--soc Ascend910B3] [--ops ADD,MUL_MAT] [--report FILE]

CHECKOUT is a directory of ggml or llama.cpp, TOOLKIT the emulator's BUILD/toolkit. Every case is
compared with ggml's CPU reference. ggml ends the process at the first call that the device refuses,
so the cases after it run in a new one. Prints a Markdown table of the operators, and every class of
failure with an example; the exit code is 0 unless building fails.
"""
import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

MAX_FILTER = 100_000  # bytes; Linux takes 128 KiB in one argument
RESULT = re.compile(r"^(?P<why>.*?) {2}(?P<case>[A-Z0-9_]+\([^()]*\)): (?P<status>.*)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# What the program prints for a case, and the column it counts in.
STATUS = {"OK": "passed", "FAIL": "failed"}
COLUMNS = ["passed", "failed", "aborted", "not supported"]

Outcome = collections.namedtuple("Outcome", "status why")


def build(checkout, toolkit, soc, directory):
    """Returns the test program, built in `directory`."""
    subprocess.run(
        ["cmake", "-S", checkout, "-B", directory, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
         "-DGGML_CANN=ON", f"-DSOC_TYPE={soc}", f"-DCANN_INSTALL_DIR={toolkit}",
         "-DGGML_BUILD_TESTS=ON", "-DGGML_BUILD_EXAMPLES=OFF", "-DGGML_OPENMP=OFF"], check=True)
    subprocess.run(["ninja", "-C", directory, "-j2", "test-backend-ops"], check=True)
    return directory / "bin" / "test-backend-ops"


class Program:
    """The test program on one emulated chip."""

    def __init__(self, path, toolkit, soc, timeout):
        self.path = path
        self.timeout = timeout
        libraries = f"{toolkit}/lib64:{os.environ.get('LD_LIBRARY_PATH', '')}"
        self.environment = {**os.environ, "LOTSE_EMULATOR_SOC": soc, "LOTSE_EMULATOR_DEVICES": "1", "GGML_NO_BACKTRACE": "1",
                            "LD_LIBRARY_PATH": libraries}

    def lines(self, *arguments):
        """Yields the lines it prints; ends it after `timeout` seconds without one."""
        process = subprocess.Popen(
            ["stdbuf", "-oL", self.path, *arguments, "-b", "CANN0"], env=self.environment, text=True,
            errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        alarm = self.alarm(process)
        for line in process.stdout:
            alarm.cancel()
            yield COLOUR.sub("", line.rstrip("\n"))
            alarm = self.alarm(process)
        alarm.cancel()
        if process.wait() == -signal.SIGKILL:
            yield f"no result within {self.timeout:g} s"

    def alarm(self, process):
        timer = threading.Timer(self.timeout, process.kill)
        timer.start()
        return timer

    def cases(self, operators):
        """Returns {case: whether the backend supports it} in the order in which they run."""
        found = {}
        for line in self.lines("support", *(["-o", operators] if operators else [])):
            if match := RESULT.match(line):
                found[match["case"]] = match["status"] == "SUPPORTED"
        return found

    def run(self, cases):
        """Returns {case: Outcome}; a case at which the program ended is `aborted`."""
        outcomes = {}
        waiting = list(cases)
        while waiting:
            chunk = chunk_of(waiting)
            before = len(outcomes)
            tail = collections.deque(maxlen=12)
            for line in self.lines("test", "-o", ",".join(chunk)):
                match = RESULT.match(line)
                if not match:
                    tail.append(line)
                    continue
                why = match["why"].strip() or reason(tail)
                outcomes[match["case"]] = Outcome(
                    STATUS.get(match["status"], "not supported"), why)
                tail.clear()
            left = [case for case in chunk if case not in outcomes]
            if left:
                outcomes[left[0]] = Outcome("aborted", reason(tail))
                print(f"{left[0]}: aborted: {outcomes[left[0]].why}", file=sys.stderr)
            elif len(outcomes) == before:
                raise RuntimeError(f"no result for {chunk[0]}")
            waiting = [case for case in waiting if case not in outcomes]
        return outcomes


def chunk_of(cases):
    size = 0
    for count, case in enumerate(cases):
        size += len(case) + 1
        if size > MAX_FILTER:
            return cases[:count]
    return cases


def reason(tail):
    """The device's message, or the last thing said."""
    said = [line.strip() for line in tail if line.strip()] or ["no message"]
    return next((line for line in said if line.startswith("CANN error:")), said[-1])


def report(supported, outcomes):
    """Yields the lines of the Markdown report."""
    table = collections.defaultdict(collections.Counter)
    classes = collections.defaultdict(list)
    for case, known in supported.items():
        operator = case.split("(")[0]
        outcome = outcomes[case] if known else Outcome("not supported", "")
        table[operator][outcome.status] += 1
        if outcome.status in ("failed", "aborted"):
            classes[operator, outcome.status, re.sub(r"[-\d][\d.e+-]*", "#", outcome.why)].append(case)
    yield f"| operator | {' | '.join(COLUMNS)} |"
    yield "|---|" + "---|" * len(COLUMNS)
    never = sorted(operator for operator, counts in table.items() if set(counts) == {"not supported"})
    rows = sorted((operator, counts) for operator, counts in table.items() if operator not in never)
    for operator, counts in [*rows, ("all", sum(table.values(), collections.Counter()))]:
        yield f"| {operator} | {' | '.join(str(counts[column]) for column in COLUMNS)} |"
    yield f"\nNo case is supported of {', '.join(never)}."
    for (operator, status, _), cases in sorted(classes.items()):
        yield f"\n{operator}, {len(cases)} {status}: {outcomes[cases[0]].why}\n    {cases[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("toolkit", type=Path)
    parser.add_argument("--soc", default="Ascend910B3")
    parser.add_argument("--ops", help="operators, separated by commas; all unless given")
    parser.add_argument("--build", type=Path, help="where to build; CHECKOUT/build-SOC unless given")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one case")
    parser.add_argument("--report", type=Path, help="also write the report there")
    options = parser.parse_args()

    toolkit = options.toolkit.resolve()
    directory = (options.build or options.checkout / f"build-{options.soc}").resolve()
    program = Program(build(options.checkout, toolkit, options.soc, directory), toolkit, options.soc,
                      options.timeout)
    supported = program.cases(options.ops)
    outcomes = {}
    for operator in dict.fromkeys(case.split("(")[0] for case in supported):
        cases = [case for case, known in supported.items()
                 if known and case.startswith(operator + "(")]
        outcomes.update(program.run(cases))
        print(operator, collections.Counter(outcomes[case].status for case in cases), file=sys.stderr)
    text = "\n".join(report(supported, outcomes)) + "\n"
    print(text)
    if options.report:
        options.report.write_text(text)


if __name__ == "__main__":
    main()
