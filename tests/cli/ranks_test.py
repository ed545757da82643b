#!/usr/bin/env python3
"""A model divided among processes: the same tokens, and a clear end when one of them is lost.

usage: ranks_test.py LOTSE MODEL TASKS
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

LOTSE, MODEL, TASKS = sys.argv[1:4]
PROMPT = "What is 17 plus 25?"


def start(*arguments, **environment):
    return subprocess.Popen(
        [LOTSE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(*arguments, **environment):
    process = start(*arguments, **environment)
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


def tokens(*arguments):
    code, out, errors = run("run", MODEL, "-p", PROMPT, "--json", *arguments)
    assert code == 0, errors
    return json.loads(out)["token_ids"]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Ranks(unittest.TestCase):
    def working(self, device, **environment):
        """A process that leads another through a long evaluation, and that other's id."""
        leader = start("eval", MODEL, "--task", TASKS, "--device", device, "--tp", "2",
                       "--threads", "1", **environment)
        children = pathlib.Path(f"/proc/{leader.pid}/task/{leader.pid}/children")
        self.assertTrue(within(20, lambda: children.read_text().split()))
        worker = int(children.read_text().split()[0])
        time.sleep(2)  # well into the evaluation
        self.assertIsNone(leader.poll(), "ended before the test began")
        return leader, worker

    def test_same_tokens(self):
        for device in ("cpu", "ascend"):
            alone = tokens("--device", device, "--threads", "1")
            self.assertEqual(tokens("--device", device, "--tp", "2", "--threads", "1"), alone)

    def test_a_killed_rank_is_named(self):
        for device in ("cpu", "ascend"):
            leader, worker = self.working(device)
            os.kill(worker, signal.SIGKILL)
            _, errors = leader.communicate(timeout=20)
            self.assertEqual(leader.returncode, 1)
            self.assertIn(f"rank 1 (process {worker}) was ended by signal 9", errors)

    def test_a_silent_rank_ends_in_a_timeout(self):
        for device in ("cpu", "ascend"):
            leader, worker = self.working(device, LOTSE_RANK_TIMEOUT="2")
            os.kill(worker, signal.SIGSTOP)
            _, errors = leader.communicate(timeout=30)
            self.assertEqual(leader.returncode, 1)
            self.assertRegex(errors, "no answer for 2.0 s|waited 2.0 s")
            self.assertTrue(within(5, lambda: not is_alive(worker)), "the silent rank is left over")

    def test_no_rank_outlives_the_leader(self):
        for device in ("cpu", "ascend"):
            leader, worker = self.working(device)
            leader.kill()
            leader.communicate()
            self.assertTrue(within(10, lambda: not is_alive(worker)), "a rank is left over")

    def test_what_cannot_be_divided_is_refused(self):
        code, _, errors = run("run", MODEL, "-p", PROMPT, "--tp", "7")
        self.assertEqual(code, 1)
        self.assertIn("cannot be divided among 7 ranks", errors)

    def test_a_device_that_is_missing_is_named(self):
        code, _, errors = run("run", MODEL, "-p", PROMPT, "--tp", "2", "--device", "ascend",
                              LOTSE_EMULATOR_DEVICES="1")
        self.assertEqual(code, 1)
        self.assertIn("ascend:1: there is 1 device, counted from 0", errors)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
