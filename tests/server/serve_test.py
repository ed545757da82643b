#!/usr/bin/env python3
"""`lotse serve` over real sockets: answers, streams, disconnects, limits, hostile clients, signals.

usage: serve_test.py LOTSE MODEL [unittest arguments]
"""

import base64
import concurrent.futures
import http.client
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

LOTSE, MODEL = sys.argv[1:3]
QUESTION = {"messages": [{"role": "user", "content": "What is 17 plus 25?"}]}
ENDLESS = {"prompt": "a", "max_tokens": 1900, "ignore_eos": True}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it never came true")
        time.sleep(0.05)


def write_adapter(directory, gain):
    """A LoRA adapter of the first layer's output projection, as PEFT saves one: random, times `gain`."""
    config = json.loads((pathlib.Path(MODEL) / "config.json").read_text())
    width = config["hidden_size"]
    module = "base_model.model.model.layers.0.self_attn.o_proj"
    draw = random.Random(5)
    shapes = {f"{module}.lora_A.weight": [2, width], f"{module}.lora_B.weight": [width, 2]}
    header, data = {}, b""
    for name, shape in shapes.items():
        scale = gain if name.endswith("lora_B.weight") else 1
        values = [scale * draw.gauss(0, 1) for _ in range(2 * width)]
        begin = len(data)
        data += struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    directory.mkdir()
    (directory / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 2}')


class Server:
    """One `lotse serve` process; ready when the constructor returns."""

    def __init__(self, *arguments, models=(MODEL,), environment=None, wait=True):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [LOTSE, "serve", *models, "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        if wait:
            self.banner = self.process.stdout.readline()
            match = re.search(r"://\S+:(\d+): ", self.banner)
            if match is None:
                raise AssertionError(f"no address in {self.banner!r}: {self.errors()}")
            self.port = int(match[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()
        self.log.close()

    def errors(self):
        self.log.seek(0)
        return self.log.read()

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        """Status, headers and body of one request."""
        used = connection or self.connect()
        headers = {"Content-Type": "application/json", **(headers or {})}
        data = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        used.request(method, path, data, headers)
        response = used.getresponse()
        text = response.read()
        if connection is None:
            used.close()
        return response.status, response.headers, text

    def post(self, path, body, **more):
        status, _, data = self.request("POST", path, body, **more)
        return status, json.loads(data)

    def raw(self, data, wait=5):
        """What comes back for bytes that are no proper request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as client:
            try:
                client.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            received = b""
            try:
                while part := client.recv(65536):
                    received += part
            except (TimeoutError, ConnectionResetError):
                pass
            return received

    def metric(self, name):
        text = self.request("GET", "/metrics")[2].decode()
        return float(re.search(rf"^lotse:{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)[1])

    def is_idle(self):
        return (
            self.metric("num_requests_running") == 0
            and self.metric("num_requests_waiting") == 0
            and self.metric("kv_cache_usage_perc") == 0
        )

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def within(seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def events(text):
    """The events of a stream, as their data; checks the framing."""
    assert text.endswith("\n\n"), text[-80:]
    result = []
    for event in text.removesuffix("\n\n").split("\n\n"):
        if event.startswith(":"):
            continue
        assert event.startswith("data: ") and "\n" not in event, event
        result.append(event.removeprefix("data: "))
    assert result.pop() == "[DONE]"
    return [json.loads(data) for data in result]


def open_stream(server, body, read=1):
    """A socket with a request whose answer has begun."""
    data = json.dumps({**body, "stream": True}).encode()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.sendall(
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
    )
    if read:
        assert client.recv(12) == b"HTTP/1.1 200"
        while b"data: " not in client.recv(4096):
            pass
    return client


class Answers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-sequences", "4")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def test_banner_tells_address_model_device_and_memory(self):
        for part in ["lotse-nano", "http://127.0.0.1:", "cpu", "weights", "cache", "threads"]:
            self.assertIn(part, self.server.banner)

    def test_streams_say_what_whole_answers_say(self):
        for path, body in [
            ("/v1/chat/completions", {**QUESTION, "logprobs": True, "top_logprobs": 2}),
            ("/v1/completions", {"prompt": "17 plus 25", "max_tokens": 40, "logprobs": 2}),
            ("/v1/completions", {"prompt": "a", "echo": True, "logprobs": 1, "max_tokens": 3}),
            ("/v1/completions", {"prompt": ["a", "b"], "n": 2, "temperature": 1.5, "seed": 7}),
        ]:
            with self.subTest(body=body):
                status, whole = self.server.post(path, body)
                self.assertEqual(status, 200, whole)
                options = {"stream": True, "stream_options": {"include_usage": True}}
                _, headers, data = self.server.request("POST", path, {**body, **options})
                self.assertTrue(headers["Content-Type"].startswith("text/event-stream"))
                chunks = events(data.decode())
                usage = chunks.pop()["usage"]
                for key in ["prompt_tokens", "completion_tokens"]:
                    self.assertEqual(usage[key], whole["usage"][key])
                for choice in whole["choices"]:
                    mine = [c["choices"][0] for c in chunks]
                    mine = [c for c in mine if c["index"] == choice["index"]]
                    expected = choice.get("text", choice.get("message", {}).get("content"))
                    text = "".join(c.get("text", c.get("delta", {}).get("content", "")) for c in mine)
                    self.assertEqual(text, expected)
                    reasons = [c["finish_reason"] for c in mine if c["finish_reason"]]
                    self.assertEqual(reasons, [choice["finish_reason"]])
                    self.assertEqual(mine[-1]["finish_reason"], choice["finish_reason"])
                    if choice["logprobs"]:
                        kind = "content" if "chat" in path else "token_logprobs"
                        joined = [p for c in mine if c["logprobs"] for p in c["logprobs"][kind]]
                        self.assertEqual(joined, choice["logprobs"][kind])

    def test_the_answer_of_the_model(self):
        _, answer = self.server.post("/v1/chat/completions", QUESTION)
        self.assertEqual(answer["choices"][0]["message"]["content"], "17 + 25 = 42")
        parts = [{"role": "user", "content": [{"type": "text", "text": "What is 17 plus 25?"}]}]
        _, again = self.server.post("/v1/chat/completions", {"messages": parts, "stop": None})
        self.assertEqual(again["choices"][0]["message"]["content"], "17 + 25 = 42")

    def test_other_dialects(self):
        _, answer = self.server.post("/v1/responses", {"input": "What is 17 plus 25?"})
        self.assertEqual(answer["output"][0]["content"][0]["text"], "17 + 25 = 42")
        body = {**QUESTION, "max_tokens": 30}
        _, answer = self.server.post("/v1/messages", body)
        self.assertEqual(answer["content"], [{"type": "text", "text": "17 + 25 = 42"}])
        body["messages"] = body["messages"] + [{"role": "assistant", "content": "17 + 25 ="}]
        _, answer = self.server.post("/v1/messages", body)
        self.assertEqual(answer["content"][0]["text"], " 42")
        self.assertEqual(answer["stop_reason"], "end_turn")

    def test_seeds(self):
        body = {"prompt": "The", "temperature": 2, "max_tokens": 30, "n": 3}
        texts = lambda seed: [
            c["text"] for c in self.server.post("/v1/completions", {**body, "seed": seed})[1]["choices"]
        ]
        first = texts(1)
        self.assertEqual(first, texts(1))
        self.assertNotEqual(first, texts(2))
        self.assertEqual(len(set(first)), 3)

    def test_stop_strings_and_limits(self):
        whole = "17 + 25 = 42"
        for cut in range(1, len(whole)):
            stop = whole[cut : cut + 2]
            _, answer = self.server.post("/v1/chat/completions", {**QUESTION, "stop": [stop]})
            choice = answer["choices"][0]
            self.assertEqual(choice["message"]["content"], whole[: whole.index(stop)])
            self.assertEqual(choice["finish_reason"], "stop")
        _, answer = self.server.post("/v1/chat/completions", {**QUESTION, "max_tokens": 2})
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"]["completion_tokens"], 2)

    def test_cached_tokens_are_reported(self):
        body = {"prompt": list(range(100, 400)), "max_tokens": 1}
        self.server.post("/v1/completions", body)
        _, answer = self.server.post("/v1/completions", body)
        self.assertGreater(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0)

    def test_too_long_prompt_names_both_numbers(self):
        status, answer = self.server.post("/v1/completions", {"prompt": [5] * 3000})
        self.assertEqual(status, 400)
        self.assertIn("3000", answer["error"]["message"])
        self.assertIn("2048", answer["error"]["message"])

    @unittest.skipUnless(shutil.which("curl"), "not run: curl is not installed")
    def test_examples_of_the_documentation(self):
        root = pathlib.Path(__file__).parents[2]
        pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
        blocks = re.findall(r"```sh\n(.*?)```", "".join(p.read_text() for p in pages), re.S)
        examples = [block for block in blocks if "curl " in block]
        self.assertGreater(len(examples), 3)
        for example in examples:
            command = example.replace("localhost:8000", f"127.0.0.1:{self.server.port}")
            run = subprocess.run(
                ["bash", "-ec", command.replace("curl ", "curl --fail-with-body --noproxy '*' ")],
                capture_output=True,
                text=True,
            )
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            self.assertIn('"', run.stdout)

    def test_shapes_of_known_clients(self):
        """What vLLM's serving benchmark, guidellm and lm-evaluation-harness send, field by field."""
        stream = {"stream": True, "stream_options": {"include_usage": True}}
        parts = [{"role": "user", "content": [{"type": "text", "text": "What is 17 plus 25?"}]}]
        streamed = [
            ("/v1/completions", {"model": "lotse-nano", "prompt": "17 plus", "temperature": 0.0,
                                 "repetition_penalty": 1.0, "max_tokens": 9, "logprobs": None,
                                 "ignore_eos": True, **stream}),
            ("/v1/chat/completions", {"model": "lotse-nano", "messages": parts, "temperature": 0.0,
                                      "max_completion_tokens": 9, "ignore_eos": True, **stream}),
            ("/v1/completions", {"model": "lotse-nano", "prompt": "17 plus", "max_tokens": 9,
                                 "ignore_eos": True, "stop": None, "stream": True,
                                 "stream_options": {"include_usage": True,
                                                    "continuous_usage_stats": True}}),
        ]  # fmt: skip
        for path, body in streamed:
            status, _, data = self.server.request("POST", path, body)
            self.assertEqual(status, 200, data)
            chunks = events(data.decode())
            self.assertEqual(chunks[-1]["choices"], [])
            self.assertEqual(chunks[-1]["usage"]["completion_tokens"], 9)
            if "continuous_usage_stats" in body["stream_options"]:
                self.assertTrue(all(c["usage"]["prompt_tokens"] > 0 for c in chunks))
        tokens = self.server.post("/tokenize", {"prompt": "17 plus 25 is"})[1]["tokens"]
        status, answer = self.server.post(
            "/v1/completions",
            {"model": "lotse-nano", "prompt": [tokens, tokens[:3]], "temperature": 0, "max_tokens": 1,
             "logprobs": 1, "seed": 1234, "echo": True},
        )  # fmt: skip
        self.assertEqual(status, 200, answer)
        for choice, prompt in zip(answer["choices"], [tokens, tokens[:3]]):
            logprobs = choice["logprobs"]
            self.assertEqual(len(logprobs["token_logprobs"]), len(prompt) + 1)
            self.assertIsNone(logprobs["token_logprobs"][0])
            for logprob, top in list(zip(logprobs["token_logprobs"], logprobs["top_logprobs"]))[1:]:
                self.assertLessEqual(logprob, max(top.values()) + 1e-6)

    def test_a_scored_prompt_that_the_model_would_end_has_its_next_token(self):
        text = "<|im_start|>user\nWhat is 17 plus 25?<|im_end|>\n<|im_start|>assistant\n17 + 25 = 42"
        document = json.loads((pathlib.Path(MODEL) / "tokenizer.json").read_text())
        special = {t["content"]: t["id"] for t in document["added_tokens"]}
        tokens = []
        for part in re.split(r"(<\|im_\w+\|>)", text):
            one = self.server.post("/tokenize", {"prompt": part, "add_special_tokens": False})
            tokens += [special[part]] if part in special else one[1]["tokens"]
        body = {"prompt": tokens, "max_tokens": 1, "logprobs": 1, "echo": True}
        _, answer = self.server.post("/v1/completions", body)
        choice = answer["choices"][0]
        self.assertEqual(choice["finish_reason"], "stop")
        self.assertEqual(len(choice["logprobs"]["token_logprobs"]), len(tokens) + 1)
        self.assertEqual(choice["logprobs"]["tokens"][-1], "<|im_end|>")
        self.assertGreater(choice["logprobs"]["token_logprobs"][-1], -0.7)
        _, answer = self.server.post("/v1/completions", {**body, "logprobs": None})
        self.assertTrue(answer["choices"][0]["text"].endswith("17 + 25 = 42"))

    def test_request_ids(self):
        _, headers, _ = self.server.request("GET", "/v1/models", headers={"X-Request-Id": "abc-1"})
        self.assertEqual(headers["X-Request-Id"], "abc-1")
        _, headers, _ = self.server.request("GET", "/v1/models", headers={"X-Request-Id": "a b"})
        self.assertNotEqual(headers["X-Request-Id"], "a b")

    def test_keep_alive_head_and_pipelining(self):
        connection = self.server.connect()
        self.addCleanup(connection.close)
        for _ in range(3):
            status, _, data = self.server.request("GET", "/version", connection=connection)
            self.assertEqual(status, 200)
        status, headers, data = self.server.request("HEAD", "/version", connection=connection)
        self.assertEqual((status, data), (200, b""))
        self.assertGreater(int(headers["Content-Length"]), 0)
        got = self.server.raw(
            b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3
            + b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 4)

    def test_http_1_0_and_chunked_requests(self):
        got = self.server.raw(b"GET /version HTTP/1.0\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 200"))
        body = json.dumps(QUESTION).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[i : i + 1]) for i in range(len(body)))
        got = self.server.raw(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        self.assertIn(b"17 + 25 = 42", got)

    def test_embeddings_are_the_same_whatever_is_beside_them(self):
        texts = [f"A ship of {n} tons " * (n % 9 + 1) for n in range(200)]
        clients = [open_stream(self.server, ENDLESS) for _ in range(2)]
        _, together = self.server.post("/v1/embeddings", {"input": texts})
        for client in clients:
            client.close()
        self.assertEqual([row["index"] for row in together["data"]], list(range(200)))
        for n in range(0, 200, 23):
            _, alone = self.server.post("/v1/embeddings", {"input": texts[n]})
            self.assertEqual(alone["data"][0]["embedding"], together["data"][n]["embedding"])
            body = {"input": texts[n], "encoding_format": "base64"}
            _, encoded = self.server.post("/v1/embeddings", body)
            data = base64.b64decode(encoded["data"][0]["embedding"])
            wanted = struct.pack(f"<{len(data) // 4}f", *together["data"][n]["embedding"])
            self.assertEqual(data, wanted)
        self.assertTrue(within(5, self.server.is_idle))

    def test_embeddings_end_with_their_client(self):
        done = self.server.metric("request_prompt_tokens_count")
        body = json.dumps({"input": ["a calm harbour " * 60] * 2000}).encode()
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            client.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            until(lambda: self.server.metric("request_prompt_tokens_count") > done)
        self.assertTrue(within(5, self.server.is_idle), "texts are computed after their client went")
        self.assertLess(self.server.metric("request_prompt_tokens_count"), done + 2000)

    def test_disconnects_cancel(self):
        before = self.server.descriptors()
        clients = [open_stream(self.server, ENDLESS) for _ in range(3)]
        self.assertGreater(self.server.metric("num_requests_running"), 0)
        for client in clients:
            client.close()
        self.assertTrue(within(5, self.server.is_idle), "requests go on after their clients went")
        # One that is not streamed, one in the queue, one whose body never ends.
        data = json.dumps({**ENDLESS, "n": 6}).encode()
        head = (
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n"
        )
        for request in [head % len(data) + data, head % 100 + b"{"]:
            client = socket.create_connection(("127.0.0.1", self.server.port))
            client.sendall(request)
            time.sleep(0.2)
            client.close()
        self.assertTrue(within(5, self.server.is_idle))
        self.assertTrue(within(5, lambda: self.server.descriptors() <= before + 1))

    def test_random_disconnects_leave_nothing_behind(self):
        rng = random.Random(1)

        def one(index):
            body = {"prompt": f"Question {index}", "max_tokens": rng.randrange(1, 60)}
            client = open_stream(self.server, body, read=0)
            client.settimeout(30)
            if rng.random() < 0.3:
                time.sleep(rng.random() * 0.05)
            else:
                while b"[DONE]" not in client.recv(65536):
                    pass
            client.close()

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(one, range(200)))
        self.assertTrue(within(10, self.server.is_idle))

    def test_hostile_requests(self):
        post = (
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\n"
        )
        sized = lambda body: post + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        cases = {
            "giant header": b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
            "many headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
            "giant length": post + b"Content-Length: 99999999999\r\n\r\n",
            "overflowing length": post + b"Content-Length: 99999999999999999999999\r\n\r\n",
            "negative length": post + b"Content-Length: -1\r\n\r\n",
            "two lengths": post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "length and chunks": post
            + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "endless chunks": post
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"100000\r\n%s\r\n" % (b" " * 0x100000) * 12,
            "chunk of a negative size": post + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n",
            "bad target": b"GET nowhere HTTP/1.1\r\n\r\n",
            "space in target": b"GET /a b HTTP/1.1\r\n\r\n",
            "deep": sized(b"[" * 1_000_000),
            "deep object": sized(b'{"prompt":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}"),
            "invalid UTF-8": sized(b'{"prompt":"\xc3\x28"}'),
            "lone surrogate": sized(b'{"prompt":"\\ud800"}'),
            "zero byte": sized(b'{"prompt":"a\0"}'),
            "duplicate keys": sized(b'{"n":1,"n":2,"prompt":"a"}'),
            "huge number": sized(b'{"prompt":"a","max_tokens":1' + b"0" * 400 + b"}"),
            "nan": sized(b'{"prompt":"a","temperature":NaN}'),
            "empty": sized(b""),
            "wrong method": b"BREW /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n",
            "path above": b"GET /../../etc/passwd HTTP/1.1\r\nConnection: close\r\n\r\n",
        }
        for name, request in cases.items():
            with self.subTest(name):
                got = self.server.raw(request)
                self.assertRegex(got[:12], rb"^HTTP/1\.1 4\d\d", got[:100])
        self.assertTrue(self.server.post("/v1/chat/completions", QUESTION)[0] == 200)

    def test_random_bodies_never_fail_the_server(self):
        rng = random.Random(2)
        values = [
            None, True, False, 0, -1, 1, 3, 1.5, -0.0, 1e308, -1e308, 2**31, 2**63, -(2**63), 2**64,
            10**40, "", "a", "\u0000", "\ud83d\ude00", "x" * 2000, [], [[]], [1, 2], [-1], ["a"], {},
            {"a": 1}, {"1": 5}, [{"role": "user", "content": "a"}], [{"role": []}], [[1], "a"],
            {"type": "text"}, {"include_usage": 3},
        ]  # fmt: skip
        document = json.loads(self.server.request("GET", "/openapi.json")[2])
        statuses = {}
        for _ in range(1500):
            path = rng.choice([p for p in document["paths"] if "post" in document["paths"][p]])
            content = document["paths"][path]["post"]["requestBody"]["content"]
            schema = content["application/json"]["schema"]
            body = {"max_tokens": 3} if "max_tokens" in schema["properties"] else {}
            for name in rng.choices(list(schema["properties"]), k=rng.randrange(1, 4)):
                body[name] = rng.choice(values)
            for name in schema.get("required", []):
                if rng.random() < 0.9:
                    body.setdefault(name, {"messages": QUESTION["messages"]}.get(name, [7, 8]))
            body["max_tokens"] = body.get("max_tokens", 3)
            if isinstance(body["max_tokens"], int) and body["max_tokens"] > 3:
                body["max_tokens"] = 3
            if isinstance(body.get("max_completion_tokens"), int):
                body["max_completion_tokens"] = min(body["max_completion_tokens"], 3)
            body.pop("ignore_eos", None)
            body.pop("min_tokens", None)
            status, _, data = self.server.request("POST", path, body)
            statuses[status] = statuses.get(status, 0) + 1
            self.assertLess(status, 500, (body, data))
        self.assertGreater(statuses.get(200, 0), 20, statuses)
        self.assertGreater(statuses.get(400, 0), 200, statuses)
        self.assertTrue(within(10, self.server.is_idle))


class Operations(unittest.TestCase):
    def test_queue_full_is_429(self):
        with Server("--max-sequences", "1", "--max-queued", "1") as server:
            clients = [open_stream(server, ENDLESS)]
            self.assertTrue(within(5, lambda: server.metric("num_requests_waiting") == 0))
            clients.append(open_stream(server, ENDLESS, read=0))
            self.assertTrue(within(5, lambda: server.metric("num_requests_waiting") == 1))
            start = time.monotonic()
            status, headers, data = server.request("POST", "/v1/completions", ENDLESS)
            self.assertLess(time.monotonic() - start, 1)
            self.assertEqual(status, 429, data)
            self.assertGreater(int(headers["Retry-After"]), 0)
            self.assertEqual(json.loads(data)["error"]["type"], "rate_limit_error")
            for client in clients:
                client.close()
            self.assertTrue(within(5, server.is_idle))

    def test_a_client_that_does_not_read_is_dropped(self):
        with Server("--write-timeout", "1") as server:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(("127.0.0.1", server.port))
            body = {**ENDLESS, "n": 16, "logprobs": 20, "stream": True}
            data = json.dumps(body).encode()
            client.sendall(
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(data), data)
            )
            self.assertTrue(within(5, lambda: server.metric("num_requests_running") > 0))
            self.assertTrue(within(30, server.is_idle))
            self.assertIn('"status":499', server.errors())
            client.close()

    def test_too_many_connections(self):
        with Server("--max-connections", "3") as server:
            held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
            time.sleep(0.2)
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as beyond:
                self.assertEqual(beyond.recv(1), b"")
            for client in held:
                client.close()

            def is_served():
                try:
                    return server.request("GET", "/health")[0] == 200
                except (ConnectionError, http.client.HTTPException):
                    return False

            self.assertTrue(within(5, is_served))

    def test_sigterm_drains(self):
        with Server() as server:
            client = open_stream(server, {**ENDLESS, "max_tokens": 300})
            idle = socket.create_connection(("127.0.0.1", server.port))
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(within(5, lambda: server.request("GET", "/health")[0] == 503))
            self.assertEqual(server.post("/v1/completions", ENDLESS)[0], 503)
            received = b""
            while part := client.recv(65536):
                received += part
            self.assertIn(b'"finish_reason":"length"', received)
            self.assertIn(b"data: [DONE]", received)
            self.assertEqual(server.process.wait(10), 0)
            self.assertEqual(idle.recv(1), b"")
            client.close()
            idle.close()

    def test_sigterm_when_idle_and_a_second_signal(self):
        with Server() as server:
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(10), 0)
        with Server() as server:
            client = open_stream(server, ENDLESS)
            server.process.send_signal(signal.SIGTERM)
            self.assertTrue(within(5, lambda: '"draining"' in server.errors()))
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(5), 130)
            client.close()

    def test_keys(self):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
            keys.write("# the first\nkey-one-111\n\nkey-two-222\n")
            keys.flush()
            with Server("--host", "0.0.0.0", "--api-key-file", keys.name) as server:
                self.assertEqual(server.request("GET", "/health")[0], 200)
                for path in ["/v1/models", "/metrics", "/openapi.json", "/version", "/none"]:
                    self.assertEqual(server.request("GET", path)[0], 401)
                bearer = {"Authorization": "Bearer key-two-222"}
                self.assertEqual(server.request("GET", "/v1/models", headers=bearer)[0], 200)
                self.assertEqual(
                    server.post("/v1/chat/completions", QUESTION, headers=bearer)[0], 200
                )
                wrong = {"Authorization": "Bearer key-two-223"}
                self.assertEqual(server.request("GET", "/v1/models", headers=wrong)[0], 401)
                self.assertNotIn("key-two", server.errors())
                self.assertNotIn("17 plus", server.errors())

    def refused(self, *arguments, models=(MODEL,)):
        with Server(*arguments, models=models, wait=False) as server:
            self.assertEqual(server.process.wait(20), 1)
            return server.errors()

    def test_refusals_to_start(self):
        self.assertIn("--api-key-file", self.refused("--host", "0.0.0.0"))
        self.assertIn("IP address", self.refused("--host", "example.org", "--allow-unauthenticated"))
        self.assertIn("both", self.refused("--tls-cert", MODEL + "/config.json"))
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write("prot = 1\n")
            config.flush()
            self.assertIn('no option "prot"', self.refused("--config", config.name))

    def test_configuration_by_file_and_environment(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(f'model = "from-file={MODEL}"\nmax-queued = 7\n')
            config.write('cors-origin = ["https://a", "https://b"]\n')
            config.flush()
            with Server("--config", config.name, models=[]) as server:
                self.assertIn("from-file", server.banner)
                _, headers, _ = server.request("GET", "/version", headers={"Origin": "https://b"})
                self.assertEqual(headers["Access-Control-Allow-Origin"], "https://b")
            environment = {"LOTSE_SERVE_MODEL": f"from-environment={MODEL}"}
            with Server("--config", config.name, models=[], environment=environment) as server:
                self.assertIn("from-environment", server.banner)
            with Server(models=[f"from-flag={MODEL}"], environment=environment) as server:
                self.assertIn("from-flag", server.banner)

    def test_several_models(self):
        models = [f"{name}={MODEL}" for name in ["first", "second", "third"]]
        with Server("--pin", "second", "--idle-unload", "1", models=models) as server:
            self.assertIn("first (when asked for), second, third (when asked for)", server.banner)

            def loaded():
                listed = json.loads(server.request("GET", "/v1/models")[2])["data"]
                return [model["id"] for model in listed if model["loaded"]]

            self.assertEqual(loaded(), ["second"])
            for asked, answering in [("third", "third"), (None, "first"), ("second", "second")]:
                body = {**QUESTION, **({"model": asked} if asked else {})}
                status, answer = server.post("/v1/chat/completions", body)
                self.assertEqual((status, answer.get("model")), (200, answering), answer)
                self.assertEqual(answer["choices"][0]["message"]["content"], "17 + 25 = 42")
            self.assertEqual(server.post("/v1/chat/completions", {**QUESTION, "model": "x"})[0], 404)
            until(lambda: loaded() == ["second"])
            text = server.request("GET", "/metrics")[2].decode()
            for name in ["first", "second", "third"]:
                counted = f'lotse:request_success_total{{model_name="{name}",finished_reason="stop"}} 1'
                self.assertIn(counted, text)
            self.assertEqual(text.count("# TYPE lotse:request_success_total counter"), 1)

    def test_adapters(self):
        with tempfile.TemporaryDirectory() as directory:
            for name, gain in [("nothing", 0), ("noise", 1)]:
                write_adapter(pathlib.Path(directory) / name, gain)
            adapters = [f"--lora={name}={directory}/{name}" for name in ["nothing", "noise"]]
            with Server(*adapters, models=[f"base={MODEL}"]) as server:
                listed = json.loads(server.request("GET", "/v1/models")[2])["data"]
                self.assertEqual([m["id"] for m in listed], ["base", "nothing", "noise"])
                self.assertEqual([m.get("parent") for m in listed], [None, "base", "base"])
                answers = {}
                # The second time, a prefix of the same adapter only is found in the cache.
                for name in ["base", "nothing", "noise"] * 2:
                    status, answer = server.post("/v1/chat/completions", {**QUESTION, "model": name})
                    self.assertEqual((status, answer["model"]), (200, name))
                    text = answer["choices"][0]["message"]["content"]
                    self.assertEqual(answers.setdefault(name, text), text)
                self.assertEqual(answers["base"], "17 + 25 = 42")
                self.assertEqual(answers["nothing"], answers["base"])
                self.assertNotEqual(answers["noise"], answers["base"])
            self.assertIn("adapter_config.json", self.refused(f"--lora=x={directory}"))
            self.assertIn("ascend", self.refused(adapters[0], "--device", "ascend"))
        self.assertIn("NAME=DIRECTORY", self.refused("--lora", "x"))

    def test_a_model_that_cannot_be_loaded(self):
        with tempfile.TemporaryDirectory() as directory:
            broken = pathlib.Path(directory) / "broken"
            shutil.copytree(MODEL, broken)
            (broken / "tokenizer.json").write_text("{}")
            with Server(models=[MODEL, str(broken)]) as server:
                status, answer = server.post("/v1/chat/completions", {**QUESTION, "model": "broken"})
                self.assertEqual(status, 500, answer)
                self.assertIn("tokenizer.json", answer["error"]["message"])
                self.assertEqual(server.post("/v1/chat/completions", QUESTION)[0], 200)
            self.assertIn("tokenizer.json", self.refused("--pin", "broken", models=[MODEL, str(broken)]))
        self.assertIn("--pin", self.refused("--pin", "other"))
        self.assertIn("two models", self.refused(models=[MODEL, MODEL]))

    @unittest.skipUnless(shutil.which("openssl"), "not run: openssl is not installed")
    def test_tls(self):
        with tempfile.TemporaryDirectory() as directory:
            key, certificate = (str(pathlib.Path(directory) / f) for f in ["key.pem", "cert.pem"])
            made = subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                 "-keyout", key, "-out", certificate],
                capture_output=True,
            )  # fmt: skip
            self.assertEqual(made.returncode, 0, made.stderr)
            with Server("--tls-cert", certificate, "--tls-key", key) as server:
                self.assertIn("https://", server.banner)
                context = ssl.create_default_context(cafile=certificate)

                def connect():
                    connection = http.client.HTTPSConnection(
                        "127.0.0.1", server.port, context=context, timeout=30
                    )
                    self.addCleanup(connection.close)
                    return connection

                _, _, data = server.request(
                    "POST", "/v1/chat/completions", {**QUESTION, "stream": True}, connection=connect()
                )
                text = "".join(c["choices"][0]["delta"].get("content", "") for c in events(data.decode()))
                self.assertEqual(text, "17 + 25 = 42")
                # A client that goes in mid-stream is noticed through TLS, too.
                connection = connect()
                connection.request(
                    "POST",
                    "/v1/completions",
                    json.dumps({**ENDLESS, "stream": True}),
                    {"Content-Type": "application/json"},
                )
                response = connection.getresponse()
                response.read(100)
                response.close()
                connection.close()
                metrics = lambda: server.request("GET", "/metrics", connection=connect())[2]
                self.assertTrue(
                    within(5, lambda: re.search(rb"num_requests_running\S* 0\n", metrics()))
                )
                # The end is TLS's own (close_notify), so that no client takes it for a cut.
                for request in [b"GET /version HTTP/1.0", b"GET / HTTP/1.1\r\nConnection: close"]:
                    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
                        with context.wrap_socket(
                            raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False
                        ) as client:
                            client.sendall(request + b"\r\n\r\n")
                            while client.recv(65536):
                                pass
                # Plain HTTP and half a handshake do no harm.
                server.raw(b"GET /health HTTP/1.1\r\n\r\n", wait=2)
                self.assertIn(b"lotse:", metrics())
                # So it ends when the server does, though a connection is idle.
                with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
                    with context.wrap_socket(
                        raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False
                    ) as client:
                        server.process.send_signal(signal.SIGTERM)
                        self.assertEqual(client.recv(1), b"")
                self.assertEqual(server.process.wait(10), 0)

    def test_other_names_and_origins(self):
        def status(server, path, **headers):
            method = "GET" if path == "/version" else "POST"
            body = None if method == "GET" else {"prompt": "a", "max_tokens": 1}
            return server.request(method, path, body, headers)[0]

        with Server("--allowed-host", "nano.lan") as server:
            good = ["localhost", "LocalHost:1", "127.0.0.1", "[::1]:80", "a.localhost", "nano.lan:8"]
            for host in good:
                self.assertEqual(status(server, "/version", Host=host), 200, host)
            for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "127.evil", "x"]:
                self.assertEqual(status(server, "/version", Host=host), 403, host)
                self.assertEqual(status(server, "/v1/completions", Host=host), 403, host)
            self.assertEqual(server.request("GET", "/", headers={"Host": "evil.example"})[0], 403)
            here = f"127.0.0.1:{server.port}"
            for origin, expected in [
                (f"http://{here}", 200), ("http://evil.example", 403), ("null", 403),
                (f"http://{here}.evil.example", 403), ("http://127.0.0.1:1", 403),
            ]:  # fmt: skip
                self.assertEqual(status(server, "/v1/completions", Origin=origin), expected, origin)
            self.assertEqual(status(server, "/version", Origin="http://evil.example"), 200)
        with Server("--cors-origin", "https://app.example") as server:
            self.assertEqual(status(server, "/v1/completions", Origin="https://app.example"), 200)
            self.assertEqual(status(server, "/v1/completions", Origin="https://b.example"), 403)
        with Server("--host", "0.0.0.0", "--allow-unauthenticated") as server:
            self.assertEqual(status(server, "/version", Host="any.example"), 200)

    def test_metrics_tell_of_a_request_at_once(self):
        with Server() as server:
            connection = server.connect()
            self.addCleanup(connection.close)
            for count in range(1, 30):
                body = {"prompt": "a", "max_tokens": 2, "ignore_eos": True, "stream": count % 2 == 0}
                server.request("POST", "/v1/completions", body, connection=connection)
                text = server.request("GET", "/metrics", connection=connection)[2].decode()
                self.assertRegex(text, rf"lotse:generation_tokens_total\S* {2 * count}\n")
                self.assertRegex(text, rf"lotse:request_success_total\S*length\S* {count}\n")
                self.assertRegex(text, r"lotse:num_requests_running\S* 0\n")


class Collector:
    """A small OpenTelemetry collector: keeps the spans that it is sent."""

    def __init__(self):
        self.spans, self.resources, self.headers, self.statuses = [], [], [], []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = collector.statuses.pop(0) if collector.statuses else 200
                if status == 200 and self.path == "/v1/traces":
                    for group in body["resourceSpans"]:
                        collector.resources.append(values(group["resource"]))
                        for scope in group["scopeSpans"]:
                            collector.spans += scope["spans"]
                    collector.headers.append(self.headers)
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def values(item):
    """The attributes of a span or a resource."""
    result = {}
    for attribute in item["attributes"]:
        ((kind, value),) = attribute["value"].items()
        result[attribute["key"]] = int(value) if kind == "intValue" else value
    return result


class Traces(unittest.TestCase):
    TRACE = "0af7651916cd43dd8448eb211c80319c"
    PARENT = f"00-{TRACE}-b7ad6b7169203331-01"

    def test_the_context_is_answered_and_logged(self):
        with Server() as server:
            for path, body in [("/v1/completions", {"prompt": "a", "max_tokens": 1}), ("/none", {})]:
                _, headers, _ = server.request("POST", path, body, {"traceparent": self.PARENT})
                match = re.fullmatch(rf"00-{self.TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"])
                self.assertIsNotNone(match, headers["traceparent"])
                self.assertNotEqual(match[1], "b7ad6b7169203331")
                self.assertTrue(within(5, lambda: f'"span_id":"{match[1]}"' in server.errors()))
            _, headers, _ = server.request("POST", "/tokenize", {"prompt": "a"})
            self.assertIsNone(headers["traceparent"])
            _, headers, _ = server.request("GET", "/version", headers={"traceparent": "00-xyz"})
            self.assertIsNone(headers["traceparent"])

    def test_spans_are_exported(self):
        environment = {"OTEL_SERVICE_NAME": "pilot", "OTEL_EXPORTER_OTLP_HEADERS": "X-Secret=a%20b"}
        with Collector() as collector:
            collector.statuses = [503]  # for a while
            with Server("--otlp-endpoint", collector.url, environment=environment) as server:
                body = {"prompt": "a", "max_tokens": 7, "ignore_eos": True, "temperature": 0.5}
                for stream in [False, True]:
                    server.request("POST", "/v1/completions", {**body, "stream": stream},
                                   {"traceparent": self.PARENT})  # fmt: skip
                server.post("/v1/chat/completions", {**QUESTION, "n": 2})
                server.post("/v1/chat/completions", {"messages": []})
                server.request("POST", "/v1/completions", body, {"traceparent": self.PARENT[:-1] + "0"})
                self.assertTrue(within(10, lambda: len(collector.spans) >= 13), collector.spans)
                exported = lambda: server.request("GET", "/metrics")[2].decode()
                self.assertTrue(within(5, lambda: 'outcome="exported"} 13' in exported()), exported())
                self.assertIn('outcome="dropped"} 0', exported())
                # What is queued when the server ends is still sent.
                server.request("POST", "/v1/messages", {**QUESTION, "max_tokens": 2})
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(10), 0)
        self.assertEqual(len(collector.spans), 17)
        self.assertEqual(collector.resources[0]["service.name"], "pilot")
        self.assertEqual(collector.headers[0]["X-Secret"], "a b")
        servers = [s for s in collector.spans if s["kind"] == 2]
        self.assertEqual(len(servers), 5)
        for span in servers[:2]:
            self.assertEqual(span["traceId"], self.TRACE)
            self.assertEqual(span["parentSpanId"], "b7ad6b7169203331")
            self.assertEqual(span["name"], "POST /v1/completions")
            said = values(span)
            self.assertEqual(said["gen_ai.request.model"], "lotse-nano")
            self.assertEqual(said["gen_ai.request.max_tokens"], 7)
            self.assertEqual(said["gen_ai.request.temperature"], 0.5)
            self.assertEqual(said["gen_ai.usage.output_tokens"], 7)
            self.assertEqual(said["http.response.status_code"], 200)
            self.assertGreater(said["gen_ai.latency.time_to_first_token"], 0)
            parts = [s for s in collector.spans if s.get("parentSpanId") == span["spanId"]]
            self.assertEqual([p["name"] for p in parts], ["queue", "prefill", "decode"])
            times = [int(p[f"{k}TimeUnixNano"]) for p in parts for k in ["start", "end"]]
            self.assertEqual(times, sorted(times))
            self.assertLessEqual(int(span["startTimeUnixNano"]), times[0])
            self.assertLessEqual(times[-1], int(span["endTimeUnixNano"]))
        self.assertEqual(values(servers[2])["gen_ai.operation.name"], "chat")
        self.assertNotIn("parentSpanId", servers[2])
        self.assertEqual(values(servers[3])["http.response.status_code"], 400)

    def test_a_collector_that_is_gone_delays_nobody(self):
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with Server("--otlp-endpoint", url) as server:
                body = {"prompt": "a", "max_tokens": 1}
                for _ in range(30):
                    self.assertEqual(server.post("/v1/completions", body)[0], 200)
                start = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(server.process.wait(20), 0)
                self.assertLess(time.monotonic() - start, 9)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=1)
