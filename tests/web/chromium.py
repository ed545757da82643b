"""Headless Chromium by the DevTools protocol over a pair of pipes, with the standard library."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

LIMIT_SECONDS = 30
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowRight": (39, ""),
        "ArrowLeft": (37, "")}


def find():
    """The browser's path, or None."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    return next((path for path in map(shutil.which, names) if path), None)


class Chromium:
    def __init__(self, path):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        # The sandbox wants a user other than root, and more rights than a container has.
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
                     "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}"]
        shell = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        self.process = subprocess.Popen(["bash", "-c", shell, path, *arguments],
                                        pass_fds=(their_in, their_out), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(their_in)
        os.close(their_out)
        self.input, self.output = our_in, our_out
        self.buffer = b""
        self.last_id = 0
        self.answers = {}
        self.events = []  # (session, method, parameters), in the order they came

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(timeout=10)
        except (TimeoutError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.input)
        os.close(self.output)
        self.profile.cleanup()

    def call(self, method, session=None, **parameters):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        end = time.monotonic() + LIMIT_SECONDS
        while self.last_id not in self.answers:
            if time.monotonic() > end:
                raise TimeoutError(f"{method}: no answer from Chromium")
            self.receive(0.1)
        answer = self.answers.pop(self.last_id)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def receive(self, seconds):
        """Takes in what comes within some time, returning as soon as something did."""
        if not select.select([self.input], [], [], seconds)[0]:
            return
        data = os.read(self.input, 1 << 20)
        if not data:
            raise OSError("Chromium ended")
        *messages, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append((message.get("sessionId"), message["method"], message["params"]))


class Page:
    """A tab with storage of its own."""

    def __init__(self, browser, width=1280, height=800, scheme="light"):
        self.browser = browser
        self.context = browser.call("Target.createBrowserContext")["browserContextId"]
        self.target = browser.call("Target.createTarget", url="about:blank",
                                   browserContextId=self.context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target,
                                    flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(width, height)
        self.prefer(scheme)

    def close(self):
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)

    def prefer(self, scheme):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait_for(self, expression, seconds=15):
        """Waits until an expression is true, and returns its value."""
        end = time.monotonic() + seconds
        while True:
            value = self.evaluate(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {expression}")
            time.sleep(0.03)

    def click(self, selector):
        where = self.evaluate(f"""(() => {{
            const node = document.querySelector({json.dumps(selector)});
            node.scrollIntoView({{block: "nearest"}});
            const box = node.getClientRects()[0];
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left",
                      clickCount=1)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, shift=False):
        code, text = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code,
                  "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self, path):
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def mine(self, method):
        return [data for session, name, data in self.browser.events
                if session == self.session and name == method]

    def complaints(self):
        """Console errors and warnings, uncaught exceptions and violations of the policy."""
        self.evaluate("0")  # events that are under way come before this answer
        found = [data["exceptionDetails"]["text"] for data in self.mine("Runtime.exceptionThrown")]
        found += [f"{entry['source']}: {entry['text']}" for entry in
                  (data["entry"] for data in self.mine("Log.entryAdded"))
                  if entry["level"] in ("error", "warning")]
        found += [str(data["args"]) for data in self.mine("Runtime.consoleAPICalled")
                  if data["type"] in ("error", "warning", "assert")]
        return found

    def requests(self):
        return [data["request"]["url"] for data in self.mine("Network.requestWillBeSent")]
