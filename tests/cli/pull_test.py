#!/usr/bin/env python3
"""lotse pull against a hub on this machine that drops, lies, redirects and refuses.

pull_test.py LOTSE
"""

import hashlib
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import unittest

from hub_server import COMMIT, Hub

LOTSE = os.path.abspath(sys.argv.pop(1))
WEIGHTS = random.Random(7).randbytes(300_000)
FILES = {
    ".gitattributes": b"*.safetensors lfs\n",
    "README.md": b"# A model\n",
    "config.json": b'{"model_type": "llama"}\n',
    "tokenizer.json": b"{}\n",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"older",
}
TOKEN = "hf_secretsecret"


class PullTest(unittest.TestCase):
    def setUp(self):
        self.hub = Hub(dict(FILES))
        self.addCleanup(self.hub.close)
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.model = self.home / "models/org/model"

    def pull(self, *arguments, model="org/model", **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "LOTSE_"))}
        kept |= {"HOME": str(self.home), "LOTSE_MODELS": str(self.home / "models"),
                 "HF_ENDPOINT": self.hub.url, "no_proxy": "127.0.0.1,localhost"}
        return subprocess.run([LOTSE, "pull", model, *arguments], env=kept | environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def assert_complete(self, done):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = ["config.json", "model.safetensors", "tokenizer.json"]
        self.assertEqual(sorted(p.name for p in self.model.iterdir()), names)
        for name in names:
            self.assertEqual((self.model / name).read_bytes(), FILES[name])

    def assert_fails(self, done, *words):
        """Exit code 1 and one line on standard error with these words."""
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("lotse: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def weight_requests(self):
        return [h for path, h in self.hub.requests if path.endswith("model.safetensors")]

    def test_downloads_what_a_model_needs(self):
        self.assert_complete(self.pull())
        asked = self.hub.paths_requested()
        self.assertEqual(asked[0], "/api/models/org/model/revision/main")
        self.assertEqual(asked[-1], f"/org/model/resolve/{COMMIT}/config.json")
        self.assertFalse(any("README" in path or ".bin" in path for path in asked))

    def test_second_pull_downloads_nothing(self):
        self.pull()
        self.hub.requests.clear()
        self.assert_complete(self.pull())
        self.assertEqual(len(self.hub.requests), 1)

    def test_json(self):
        done = self.pull("--json")
        report = json.loads(done.stdout)
        self.assertEqual(report["path"], str(self.model))
        self.assertEqual(report["revision"], COMMIT)
        self.assertEqual(report["downloaded"], 3)
        self.assertEqual(report["files"][-1], "config.json")

    def test_revision_is_asked_for(self):
        self.assert_complete(self.pull("--revision", "refs/pr/1"))
        self.assertEqual(self.hub.paths_requested()[0],
                         "/api/models/org/model/revision/refs/pr/1")

    def test_dropped_connections_are_continued(self):
        self.hub.drop_after = [100_000, 50_000]
        self.assert_complete(self.pull())
        self.assertEqual([h.get("Range") for h in self.weight_requests()],
                         [None, "bytes=100000-", "bytes=150000-"])

    def test_gives_up_and_continues_in_the_next_run(self):
        self.hub.drop_after = [100_000]
        self.assert_fails(self.pull("--retries", "0"), "model.safetensors", "kept")
        self.assertFalse((self.model / "config.json").exists())
        self.assertFalse((self.model / "model.safetensors").exists())
        self.assertEqual((self.model / "model.safetensors.partial").stat().st_size, 100_000)
        self.hub.requests.clear()
        self.assert_complete(self.pull())
        self.assertEqual([h.get("Range") for h in self.weight_requests()], ["bytes=100000-"])

    def test_server_without_range_starts_over(self):
        self.hub.no_range = True
        self.hub.drop_after = [100_000]
        self.assert_complete(self.pull())

    def test_stale_beginning_is_discarded(self):
        self.model.mkdir(parents=True)
        (self.model / "model.safetensors.partial").write_bytes(b"x" * 1000)
        self.assert_complete(self.pull())

    def test_beginning_longer_than_the_file_is_discarded(self):
        self.model.mkdir(parents=True)
        (self.model / "model.safetensors.partial").write_bytes(WEIGHTS + b"more")
        self.assert_complete(self.pull())

    def test_damaged_file_is_found_and_replaced(self):
        self.pull()
        damaged = bytearray(WEIGHTS)
        damaged[1234] ^= 1
        (self.model / "model.safetensors").write_bytes(damaged)
        self.assert_complete(self.pull())

    def test_truncated_file_is_found_and_replaced(self):
        self.pull()
        (self.model / "tokenizer.json").write_bytes(b"{")
        self.assert_complete(self.pull())

    def test_wrong_hash(self):
        self.hub.listed["model.safetensors"] = {"sha256": hashlib.sha256(b"other").hexdigest()}
        self.assert_fails(self.pull(), "model.safetensors", "SHA-256", "corrupt")
        self.assertEqual(list(self.model.glob("model.safetensors*")), [])
        self.assertFalse((self.model / "config.json").exists())

    def test_longer_than_announced(self):
        self.hub.listed["model.safetensors"] = {"size": 1000}
        self.assert_fails(self.pull(), "model.safetensors", "1000 bytes")
        self.assertEqual(list(self.model.glob("model.safetensors*")), [])

    def test_shorter_than_announced(self):
        self.hub.listed["model.safetensors"] = {"size": len(WEIGHTS) + 10}
        self.assert_fails(self.pull("--retries", "1"), "model.safetensors")
        self.assertFalse((self.model / "model.safetensors").exists())

    def test_busy_server_is_asked_again(self):
        listing = "/api/models/org/model/revision/main"
        weights = f"/org/model/resolve/{COMMIT}/model.safetensors"
        self.hub.statuses = {weights: [503, 429], listing: [502]}
        self.assert_complete(self.pull())

    def test_refusals_say_what_to_do(self):
        listing = "/api/models/org/model/revision/main"
        for status, words in ((401, "HF_TOKEN"), (403, "gated"), (404, "no such model"),
                              (500, "try again")):
            self.hub.statuses = {listing: [status] * 9}
            self.assert_fails(self.pull("--retries", "0"), f"HTTP {status}", words, "org/model")
        self.assertFalse(self.model.exists())

    def test_token_is_sent_and_never_shown(self):
        self.hub.token = TOKEN
        self.assert_fails(self.pull(), "HTTP 401")
        self.assert_complete(self.pull(HF_TOKEN=TOKEN + "\n"))
        self.hub.token = "another"
        done = self.pull(HF_TOKEN=TOKEN)
        self.assert_fails(done, "HTTP 401")
        self.assertNotIn(TOKEN, done.stderr)

    def test_token_is_read_from_the_hub_home(self):
        self.hub.token = TOKEN
        (self.home / "hf").mkdir()
        (self.home / "hf/token").write_text(TOKEN + "\n")
        self.assert_complete(self.pull(HF_HOME=str(self.home / "hf")))

    def test_token_stays_with_the_endpoint(self):
        store = Hub({"model.safetensors": WEIGHTS})
        self.addCleanup(store.close)
        self.hub.token = TOKEN
        for host in ("127.0.0.1", "localhost"):
            self.hub.redirect = f"http://{host}:{store.server.server_port}"
            (self.model / "model.safetensors").unlink(missing_ok=True)
            store.requests.clear()
            self.assert_complete(self.pull(HF_TOKEN=TOKEN))
            self.assertEqual(len(store.requests), 1)
            self.assertNotIn("Authorization", store.requests[0][1])
        self.assertIn("Authorization", self.weight_requests()[-1])

    def test_names_that_leave_the_directory(self):
        for name in ("../../evil.json", "/tmp/evil.json", "a/../../evil.json", "a\\..\\evil.json",
                     "~/../evil.json", ".ssh/authorized_keys", "evil\n.json", ""):
            self.hub.listed = {"tokenizer.json": {"rfilename": name}}
            self.assert_fails(self.pull(), "refuses the file name")
        self.assertEqual([p for p in self.home.rglob("*") if p.is_file()], [])

    def test_listing_that_is_none(self):
        for listing in ("[]", "{", '{"siblings": 3}', '{"siblings": [{"rfilename": 3}]}',
                        '{"siblings": [4]}', '{"siblings": [{"rfilename": "a", "size": -1}]}'):
            self.hub.listing_text = lambda text=listing: text
            self.assert_fails(self.pull(), "/api/models/org/model")

    def test_offline(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        done = self.pull("--retries", "0", HF_ENDPOINT=f"http://127.0.0.1:{port}")
        self.assert_fails(done, "cannot reach", "HF_ENDPOINT", str(self.model))
        done = self.pull("--retries", "0", HF_ENDPOINT="http://no-such-host.invalid")
        self.assert_fails(done, "cannot reach http://no-such-host.invalid")

    def test_names_that_are_no_models(self):
        for model in ("model", "../model", "org/../model", "org/model/x", "org/", "o rg/model"):
            self.assert_fails(self.pull(model=model), "expected ORG/MODEL")
        self.assert_fails(self.pull("--revision", "../x"), "revision")
        self.assertEqual(self.hub.requests, [])

    def test_no_room(self):
        self.hub.listed["model.safetensors"] = {"size": 1 << 49}
        self.assert_fails(self.pull(), "are needed", "LOTSE_MODELS")
        self.assertEqual(self.weight_requests(), [])

    def test_include(self):
        self.hub.files |= {"a-Q4_K_M.gguf": b"four", "a-Q8_0.gguf": b"eight"}
        done = self.pull("--include", "*Q8*")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.model / "a-Q8_0.gguf").read_bytes(), b"eight")
        self.assertFalse((self.model / "model.safetensors").exists())

    def test_model_is_found_by_name(self):
        self.pull()
        done = subprocess.run(
            [LOTSE, "tokenize", "org/model"], capture_output=True, text=True, input="",
            env=os.environ | {"LOTSE_MODELS": str(self.home / "models"), "HOME": str(self.home)})
        self.assertNotIn("not found", done.stderr)


if __name__ == "__main__":
    unittest.main()
