#!/usr/bin/env python3
"""A stand-in for `lotse serve`: the page of web/, two models, canned answers, moving metrics.

mock_server.py [PORT]       (default: 8000) serves until it is interrupted

The first word of the last message picks the answer: html, slow, think, fail, long; anything else
is repeated. As a module: Mock().url, and what was asked in Mock().chats.
"""

import http.server
import json
import math
import pathlib
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
          "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
MODELS = [{"id": "lotse-nano", "object": "model", "owned_by": "lotse", "max_model_len": 32768, "loaded": True,
           "device": "cpu"},
          {"id": "other", "object": "model", "owned_by": "lotse", "max_model_len": 4096, "loaded": True,
           "device": "ascend"}]
HTML = "<img src=x onerror=\"document.title='injected'\"><b>bold</b> & <script>alert(1)</script>"
LONG = """A pilot boards the ship before the port and knows what its master cannot: the depth of \
the channel today, the current at the pier head, where the tugs wait.

    1. Ask what draught the ship has.
    2. Compare it with the water there is.
    3. Only then give the order.

Porting a model is much the same. The shapes are known; what each operator accepts on the other \
chip is what has to be looked up."""


def tokens_of(text):
    """Pieces of a few bytes, so that characters beyond ASCII are divided among tokens."""
    pieces, data = [], text.encode()
    while data:
        end = next((i for i in range(1, len(data)) if data[i:i + 1] in b" \n"), len(data))
        end = min(end, 5)
        pieces.append(data[:end])
        data = data[end:]
    return pieces


def logprob_entry(piece, index):
    probability = [0.97, 0.71, 0.42, 0.99, 0.13, 0.88, 0.04][index % 7]
    rest = 1 - probability

    def entry(data, p):
        return {"token": data.decode(errors="replace"), "logprob": math.log(p), "bytes": list(data)}

    others = [(b" harbour", rest * 0.6), (b"\n", rest * 0.25), (b" ship", rest * 0.1)]
    top = sorted([(piece, probability), *others], key=lambda pair: -pair[1])
    return entry(piece, probability) | {"top_logprobs": [entry(*pair) for pair in top]}


class Mock:
    """Attributes a test may set: key (the API key asked for), is_loading, speed (of the metrics'
    time). Attributes it may read: chats (bodies asked), disconnects (streams left early)."""

    def __init__(self, port=0):
        self.key = None
        self.is_loading = False
        self.speed = 1
        self.chats = []
        self.disconnects = 0
        self.begin = time.monotonic()
        handler = type("Handler", (Handler,), {"mock": self})
        self.server = Server(("127.0.0.1", port), handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def metrics(self):
        """A server whose load rises and falls, as a function of time."""
        t = (time.monotonic() - self.begin) * self.speed
        load = 6 + 5 * math.sin(t / 23) + 2 * math.sin(t / 7)
        done = 40 * (6 * t + 115 * (1 - math.cos(t / 23)) + 14 * (1 - math.cos(t / 7)))
        lines = ["# TYPE lotse:num_requests_running gauge"]

        def value(name, number):
            lines.append(f'lotse:{name}{{model_name="lotse-nano"}} {number}')

        def histogram(name, bounds, middle):
            for bound in bounds:
                share = 1 / (1 + (middle / bound) ** 4)
                lines.append(f'lotse:{name}_bucket{{model_name="lotse-nano",le="{bound}"}} '
                             f'{int(t * 5 * share)}')
            lines.append(f'lotse:{name}_bucket{{model_name="lotse-nano",le="+Inf"}} {int(t * 5)}')

        value("num_requests_running", max(0, min(8, round(load))))
        value("num_requests_waiting", max(0, round(load) - 8))
        value("kv_cache_usage_perc", min(1, max(0, load / 14)))
        value("prompt_tokens_total", int(done / 3))
        value("generation_tokens_total", int(done))
        value("prefix_cache_queries_total", int(done / 3))
        value("prefix_cache_hits_total", int(done / 5))
        histogram("time_to_first_token_seconds", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1], 0.08)
        histogram("inter_token_latency_seconds", [0.005, 0.01, 0.02, 0.05, 0.1], 0.015)
        return "\n".join(lines) + "\n"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the test."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    mock: Mock

    def log_message(self, *_):
        pass

    def answer(self, status, content_type, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, status, value):
        self.answer(status, "application/json", json.dumps(value).encode())

    def refuse(self, status, message):
        self.answer_json(status, {"error": {"message": message, "type": "invalid_request_error",
                                            "param": None, "code": None}})

    def is_refused(self):
        if self.mock.key and self.headers.get("Authorization") != f"Bearer {self.mock.key}":
            self.refuse(401, "this server asks for an API key")
        else:
            return False
        return True

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/tests/"):
            return self.serve_file(ROOT / "tests/web" / path.removeprefix("/tests/"))
        file = WEB / ("index.html" if path == "/" else path[1:])
        if file.parent == WEB and file.is_file():
            return self.serve_file(file)
        if self.is_refused():
            return None
        if path == "/v1/models":
            return self.answer_json(200, {"object": "list",
                                          "data": [] if self.mock.is_loading else MODELS})
        if path == "/metrics":
            return self.answer(200, "text/plain; version=0.0.4", self.mock.metrics().encode())
        return self.refuse(404, "not found")

    def serve_file(self, file):
        self.answer(200, TYPES[file.suffix], file.read_bytes(), Content_Security_Policy=POLICY,
                    Cache_Control="no-cache", X_Content_Type_Options="nosniff",
                    Referrer_Policy="no-referrer")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.is_refused():
            return
        self.mock.chats.append(body)
        if "response_format" in body:
            self.refuse(400, "response_format: not what this server likes")
            return
        try:
            self.stream(body)
        except OSError:
            self.mock.disconnects += 1

    def stream(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.asked = body
        prompt = body["messages"][-1]["content"]
        kind = prompt.split()[0]
        pause = 0.03 if kind == "slow" else 0.002
        text = {"html": HTML, "slow": "word " * 1000, "long": LONG,
                "fail": "It began well"}.get(kind, f"You said: {prompt}")
        self.send_chunk({"role": "assistant", "content": ""})
        if kind == "think":
            for piece in ["First, ", "I weigh ", "the words."]:
                self.send_chunk({"reasoning": piece})
        count = self.send_text(text, pause)
        if kind == "fail":
            self.send_event({"error": {"message": "the device was lost"}}, "event: error\n")
        else:
            self.send_chunk({}, finish_reason="stop")
            words = sum(len(message["content"].split()) for message in body["messages"])
            self.send_event({"choices": [], "usage": {
                "prompt_tokens": words, "completion_tokens": count, "total_tokens": words + count,
                "prompt_tokens_details": {"cached_tokens": words // 2}}})
        self.wfile.write(b"data: [DONE]\n\n")

    def send_text(self, text, pause):
        pending = b""
        pieces = tokens_of(text)
        for index, piece in enumerate(pieces):
            pending += piece
            try:
                content, pending = pending.decode(), b""
            except UnicodeDecodeError:
                content = ""
            logprobs = None
            if self.asked.get("logprobs"):
                logprobs = {"content": [logprob_entry(piece, index)]}
            self.send_chunk({"content": content}, logprobs)
            time.sleep(pause)
        return len(pieces)

    def send_chunk(self, delta, logprobs=None, finish_reason=None):
        self.send_event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
                         "model": self.asked["model"],
                         "choices": [{"index": 0, "delta": delta, "logprobs": logprobs,
                                      "finish_reason": finish_reason}]})

    def send_event(self, value, head=""):
        self.wfile.write(f"{head}data: {json.dumps(value)}\n\n".encode())


if __name__ == "__main__":
    mock = Mock(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print(mock.url, flush=True)
    try:
        mock.thread.join()
    except KeyboardInterrupt:
        pass
