#!/usr/bin/env python3
"""`lotse bench --serve` against `lotse serve`, and against servers that misbehave.

usage: bench_serve_test.py LOTSE MODEL [unittest arguments]
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import unittest

LOTSE, MODEL = sys.argv[1:3]


def serve(*arguments):
    """A `lotse serve` process, and its URL."""
    process = subprocess.Popen(
        [LOTSE, "serve", MODEL, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, re.search(r"https?://\S+:\d+", process.stdout.readline())[0]


def bench(url, *arguments, environment=None):
    """Exit code, standard output and standard error."""
    run = subprocess.run(
        [LOTSE, "bench", "--serve", url, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **(environment or {})},
    )
    return run.returncode, run.stdout, run.stderr


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process, cls.url = serve("--max-sequences", "8")

    @classmethod
    def tearDownClass(cls):
        cls.process.send_signal(signal.SIGTERM)
        cls.process.wait(20)
        cls.process.stdout.close()

    def measure(self, *arguments, code=0):
        got, out, errors = bench(self.url, "--json", *arguments)
        self.assertEqual(got, code, out + errors)
        return json.loads(out)

    def test_users(self):
        run = self.measure("--requests", 24, "--concurrency", 4, "--input-tokens", "10:300",
                           "--output-tokens", 12, "--ttft-ms", 60000, "--tpot-ms", 60000)
        self.assertEqual((run["sent"], run["answered"], run["good"]), (24, 24, 24))
        self.assertEqual(run["most_in_flight"], 4)
        self.assertEqual(run["completion_tokens"], 24 * 12)
        self.assertTrue(run["exact_prompt_lengths"])
        for request in run["requests"]:
            self.assertTrue(10 <= request["prompt_tokens"] <= 300)
            self.assertLess(0, request["ttft_ms"])
            self.assertLessEqual(request["ttft_ms"], request["e2e_ms"])
        self.assertEqual(run["ttft_ms"]["count"], 24)
        self.assertLessEqual(run["itl_ms"]["p50"], run["itl_ms"]["p99"])
        # Answers in sequence fill the time of each user.
        self.assertLess(sum(r["e2e_ms"] for r in run["requests"]) / 4000, run["seconds"] * 1.05)
        self.assertGreater(run["generator_core_share"], 0)
        self.assertEqual(run["breaches"], {})

    def test_chat_at_a_rate(self):
        run = self.measure("--chat", "--requests", 20, "--rate", 40, "--input-tokens", 40,
                           "--output-tokens", 5, "--seed", 3)
        self.assertEqual(run["answered"], 20)
        self.assertFalse(run["exact_prompt_lengths"])
        sent = [r["sent"] for r in run["requests"]]
        self.assertEqual(sent, sorted(sent))
        self.assertGreater(sent[-1], 0.2)
        self.assertEqual(run["breaches"], {})

    def test_traces(self):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as trace:
            for i in range(12):
                line = {"timestamp": 400 * i, "input_length": 3000, "output_length": 8,
                        "hash_ids": [1, 2, 3, 4, 5, 100 + i]}
                trace.write(json.dumps(line) + "\n")
            trace.flush()
            run = self.measure("--trace", trace.name, "--speed", 4)
            self.assertEqual((run["answered"], run["shortened"]), (12, 12))
            # Those that came later found what they share with those before.
            self.assertGreater(run["cached_tokens"], run["prompt_tokens"] / 3)
            self.assertGreater(run["requests"][-1]["sent"], 1.0)
            run = self.measure("--trace", trace.name, "--length-scale", 0.1, "--requests", 5,
                               "--concurrency", 2)
            self.assertEqual([r["prompt_tokens"] for r in run["requests"]], [300] * 5)

    def test_text_and_page(self):
        with tempfile.TemporaryDirectory() as directory:
            page = pathlib.Path(directory) / "load.html"
            code, out, errors = bench(self.url, "--requests", 10, "--output-tokens", 4, "--html", page)
            self.assertEqual(code, 0, errors)
            for part in ["10 of 10", "time to first token", "of one core", "requests/s"]:
                self.assertIn(part, out)
            html = page.read_text()
            self.assertEqual(html.count("<svg"), 7)
            self.assertNotRegex(html, r"(?:src|href)=|<script|@import|url\(")

    def test_interrupt(self):
        process = subprocess.Popen(
            [LOTSE, "bench", "--serve", self.url, "--json", "--requests", "50000", "--output-tokens",
             "3", "--input-tokens", "5"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        run = json.loads(out)
        self.assertTrue(run["interrupted"])
        self.assertGreater(run["answered"], 0)
        self.assertEqual(process.returncode, 0)

    def test_refusals(self):
        for url, part in [("ftp://a", "expected the URL"), ("http://", "expected the URL"),
                          ("http://127.0.0.1:1", "cannot connect"), ("http://a:b@c", "expected the URL"),
                          ("http://127.0.0.1:port", "expected the URL")]:  # fmt: skip
            code, _, errors = bench(url)
            self.assertEqual(code, 1, errors)
            self.assertIn(part, errors)
        code, _, errors = bench(self.url, "--input-tokens", "9:3")
        self.assertIn("9:3", errors)
        code, _, errors = bench(self.url, "--server-model", "none")
        self.assertIn('"none" is not served', errors)
        code, _, errors = bench(self.url, "--speed", "2")
        self.assertEqual(code, 2)


class Guarded(unittest.TestCase):
    @unittest.skipUnless(shutil.which("openssl"), "not run: openssl is not installed")
    def test_tls_and_keys(self):
        with tempfile.TemporaryDirectory() as directory:
            folder = pathlib.Path(directory)
            made = subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", "/CN=lotse", "-addext", "subjectAltName=IP:127.0.0.1",
                 "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                capture_output=True,
            )  # fmt: skip
            self.assertEqual(made.returncode, 0, made.stderr)
            (folder / "keys").write_text("key-of-the-test\n")
            process, url = serve("--tls-cert", folder / "cert.pem", "--tls-key", folder / "key.pem",
                                 "--api-key-file", folder / "keys")
            try:
                few = ["--requests", 6, "--output-tokens", 3, "--input-tokens", 9]
                trusted = [*few, "--ca-file", folder / "cert.pem"]
                code, out, errors = bench(url, *trusted, "--api-key-file", folder / "keys")
                self.assertEqual(code, 0, out + errors)
                key = {"LOTSE_BENCH_API_KEY": "key-of-the-test"}
                self.assertEqual(bench(url, *trusted, environment=key)[0], 0)
                self.assertIn("401", bench(url, *trusted)[2])
                self.assertIn("certificate", bench(url, *few, environment=key)[2])
                other = url.replace("127.0.0.1", "localhost")
                self.assertEqual(bench(other, *trusted, environment=key)[0], 1)
            finally:
                process.kill()
                process.communicate()


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """What `mode` of the server says is wrong with its answers."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json"):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply(200, '{"data": [{"id": "m"}]}')

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/tokenize":
            return self.reply(404, "{}")
        self.server.asked += 1
        if self.server.asked == 1:  # the warm-up
            return self.stream()
        return getattr(self, self.server.mode)()

    def stream(self, usage=True, done=1, length=True):
        chunk = lambda more: "data: " + json.dumps(
            {"id": "x", "object": "text_completion", "choices": [], **more}
        ) + "\n\n"
        body = chunk({"choices": [{"index": 0, "text": "a"}]})
        body += chunk({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
        if usage:
            body += chunk({"usage": {"prompt_tokens": 3, "completion_tokens": 1}})
        self.reply(200, body + "data: [DONE]\n\n" * done, "text/event-stream")

    def busy(self):
        self.reply(429, '{"error": {"message": "full"}}')

    def no_usage(self):
        self.stream(usage=False)

    def two_ends(self):
        self.stream(done=2)

    def cut(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n")
        self.close_connection = True

    def silent(self):
        time.sleep(1.5)
        self.close_connection = True

    def nonsense(self):
        self.wfile.write(b"SMTP ready\r\n\r\n")
        self.close_connection = True

    def closes_when_idle(self):
        self.stream()
        self.close_connection = True  # without having said so


class Mock(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class Errors(unittest.TestCase):
    def measure(self, mode, *arguments, users=3):
        server = Mock(("127.0.0.1", 0), Misbehaving)
        server.mode, server.asked = mode, 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            code, out, errors = bench(f"http://127.0.0.1:{server.server_port}", "--requests", 6,
                                      "--concurrency", users, "--json", *arguments)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        return code, json.loads(out) if out else errors

    def test_each_is_counted(self):
        for mode, kind, expected in [
            ("busy", "errors", {"HTTP 429": 6}),
            ("no_usage", "breaches", {"no usage, though include_usage was asked for": 6}),
            ("two_ends", "breaches", {"more than one [DONE]": 6}),
            ("cut", "errors", {"broken off: the server closed the connection": 6}),
            ("silent", "errors", {"timeout": 6}),
            ("nonsense", "errors", {"malformed HTTP: bad version": 6}),
        ]:
            with self.subTest(mode):
                code, run = self.measure(mode, "--timeout", 0.5)
                self.assertEqual(code, 1)
                self.assertEqual(run[kind], expected)
                self.assertEqual(run["answered"], 6 if kind == "breaches" else 0)

    def test_connections_that_were_closed_while_idle_are_replaced(self):
        code, run = self.measure("closes_when_idle", users=1)
        self.assertEqual(code, 0, run)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=1)
