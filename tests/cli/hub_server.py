"""A model hub on 127.0.0.1 that misbehaves as told, for pull_test.py."""

import hashlib
import http.server
import json
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves `files` of the repository org/model. Faults are attributes that a test sets.

    requests   every request: (path, headers)
    drop_after bytes after which the body of a weight file breaks off, once for each entry
    statuses   {path: [status, …]} answered first, one a request
    listed     {path: {...}} overrides fields of the listing ("size", "sha256", "rfilename")
    redirect   base URL that weight files are redirected to
    no_range   whether Range is ignored
    token      required bearer token, if any
    """

    def __init__(self, files):
        self.files = files
        self.requests = []
        self.drop_after = []
        self.statuses = {}
        self.listed = {}
        self.redirect = None
        self.no_range = False
        self.token = None
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def listing_text(self):
        siblings = []
        for path, content in self.files.items():
            entry = {"rfilename": path, "size": len(content)}
            fault = self.listed.get(path, {})
            if path.endswith((".safetensors", ".bin", ".gguf")):
                digest = fault.get("sha256", hashlib.sha256(content).hexdigest())
                size = fault.get("size", len(content))
                entry["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            entry |= {key: value for key, value in fault.items() if key in entry}
            siblings.append(entry)
        return json.dumps({"id": "org/model", "sha": COMMIT, "siblings": siblings})

    def paths_requested(self):
        return [path for path, _ in self.requests]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the test."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=(), send=None):
        """Announces `body` and sends `send` of it, then breaks off if that is not all."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        sent = body if send is None else body[:send]
        self.wfile.write(sent)
        if len(sent) < len(body):
            self.close_connection = True

    def do_GET(self):
        hub = self.hub
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        hub.requests.append((path, dict(self.headers)))
        if hub.statuses.get(path):
            return self.answer(hub.statuses[path].pop(0), b"no\n")
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.answer(401, b"Invalid username or password.")
        if path.startswith("/api/models/org/model/revision/"):
            return self.answer(200, hub.listing_text().encode())
        prefix = f"/org/model/resolve/{COMMIT}/"
        name = path.removeprefix(prefix) if path.startswith(prefix) else path.removeprefix("/blob/")
        if name not in hub.files:
            return self.answer(404, b"Not Found")
        return self.send_file(name)

    def send_file(self, name):
        hub = self.hub
        body = hub.files[name]
        is_weight = name.endswith((".safetensors", ".bin", ".gguf"))
        if is_weight and hub.redirect:
            return self.answer(302, b"", [("Location", f"{hub.redirect}/blob/{name}")])
        start = 0
        requested = self.headers.get("Range")
        if requested and not hub.no_range:
            start = int(requested.removeprefix("bytes=").split("-")[0])
            if start >= len(body):
                return self.answer(416, b"", [("Content-Range", f"bytes */{len(body)}")])
        send = hub.drop_after.pop(0) if is_weight and hub.drop_after else None
        headers = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")] if start else []
        return self.answer(206 if start else 200, body[start:], headers, send)
