#!/usr/bin/env python3
"""A model divided among processes: the same tokens, and a clear end when one of them is lost.

usage: ranks_test.py LOTSE MODEL TASKS
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
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

    def serving(self, device):
        """A server of two ranks, and the port it listens on."""
        server = start("serve", MODEL, "--port", "0", "--device", device, "--tp", "2",
                       "--threads", "1")
        banner = server.stdout.readline()
        match = re.search(r"://127\.0\.0\.1:(\d+): ", banner)
        self.assertIsNotNone(match, banner)
        return server, int(match[1])

    def completion(self, port, **fields):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            body = {"prompt": PROMPT, "max_tokens": 12, "logprobs": 1, **fields}
            connection.request("POST", "/v1/completions", json.dumps(body),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def test_a_server_of_ranks(self):
        alone = start("serve", MODEL, "--port", "0", "--threads", "1")
        port = int(re.search(r":(\d+): ", alone.stdout.readline())[1])
        expected = self.completion(port)[1]["choices"][0]["text"]
        alone.terminate()
        alone.communicate(timeout=20)
        for device in ("cpu", "ascend"):
            server, port = self.serving(device)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(lambda _: self.completion(port), range(12)))
            for status, answer in answers:
                self.assertEqual(status, 200, answer)
                self.assertEqual(answer["choices"][0]["text"], expected)
            server.terminate()
            _, errors = server.communicate(timeout=20)
            self.assertEqual(server.returncode, 0, errors)

    def test_a_server_that_lost_a_rank_says_so(self):
        server, port = self.serving("cpu")
        self.assertEqual(self.completion(port)[0], 200)
        ranks = [int(c) for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir()
                 for c in (task / "children").read_text().split()]
        self.assertEqual(len(ranks), 1)
        os.kill(ranks[0], signal.SIGKILL)
        status, answer = self.completion(port)
        self.assertEqual(status, 500, answer)
        self.assertIn("rank 1", answer["error"]["message"])
        server.terminate()
        server.communicate(timeout=20)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
