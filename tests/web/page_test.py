#!/usr/bin/env python3
"""The page in headless Chromium, against a server with canned answers (mock_server.py), and as
`lotse serve` has it.

page_test.py LOTSE MODEL [--screenshots FOLDER] [unittest's arguments]

Without Chromium it says so and ends with exit code 77.
"""

import json
import pathlib
import re
import subprocess
import sys
import time
import unittest

import chromium
import not_run
from mock_server import HTML, LONG, Mock

SHOTS = None
if "--screenshots" in sys.argv:
    at = sys.argv.index("--screenshots")
    SHOTS = pathlib.Path(sys.argv[at + 1])
    SHOTS.mkdir(parents=True, exist_ok=True)
    del sys.argv[at:at + 2]

LOTSE, MODEL = sys.argv[1:3]
del sys.argv[1:3]

ANSWER = "document.querySelector('article.assistant:last-child')"
DONE = f"{ANSWER}?.ariaBusy === 'false'"
FIELD = "document.querySelector('[name=schema]')"
PAIRS = [("text", "ground"), ("text", "surface"), ("text", "raised"), ("muted", "ground"),
         ("muted", "surface"), ("accent", "ground"), ("accent", "surface"), ("accent", "raised"),
         ("on-accent", "accent"), ("error", "ground"), ("error", "surface"),
         ("text", "unlikely")]


def luminance(colour):
    """Of "#rrggbb" (WCAG 2.2, relative luminance)."""
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class BrowserTest(unittest.TestCase):
    """Tests of a page at `url`."""

    @classmethod
    def setUpClass(cls):
        cls.browser = chromium.Chromium(BROWSER)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def page(self, ready="document.querySelector('#model').value", **options):
        page = chromium.Page(self.browser, **options)
        self.addCleanup(page.close)
        page.open(self.url)
        if ready:
            page.wait_for(ready)
        return page

    def ask(self, page, text):
        page.evaluate("document.querySelector('#prompt').focus()")
        page.type(text)
        page.press("Enter")

    def answer(self, page, text):
        """Asks, and returns the text of the whole answer."""
        self.ask(page, text)
        page.wait_for(f"document.querySelector('article.user:nth-last-child(2) .text')"
                      f"?.textContent === {json.dumps(text)} && {DONE}")
        return page.evaluate(f"{ANSWER}.querySelector(':scope > .text').textContent")

    def assert_clean(self, page, but=None):
        complaints = [text for text in page.complaints() if not (but and but in text)]
        self.assertEqual(complaints, [])
        own = (self.url, "data:", "about:")
        self.assertEqual([url for url in page.requests() if not url.startswith(own)], [])

    def shot(self, page, name):
        if SHOTS:
            page.screenshot(SHOTS / f"{name}.png")


class PageTest(BrowserTest):
    def setUp(self):
        self.mock = Mock()
        self.addCleanup(self.mock.close)
        self.url = self.mock.url

    def test_parsers(self):
        page = self.page()
        result = page.evaluate("import('/tests/parsers_test.js').then(({run}) => run())")
        self.assertEqual(result["failures"], [])
        self.assertGreater(result["count"], 5)

    def test_answers_are_streamed_with_usage(self):
        page = self.page()
        self.ask(page, "slow answer")
        early = page.wait_for(f"{ANSWER}?.querySelector('.text').textContent.length")
        page.wait_for(f"{ANSWER}.querySelector('.text').textContent.length > {early + 5}")
        page.press("Escape")
        page.wait_for(DONE)
        self.assertEqual(self.answer(page, "Grüße 🚢"), "You said: Grüße 🚢")
        facts = page.evaluate(f"{ANSWER}.querySelector('.facts').textContent")
        self.assertRegex(facts, r"\d+ prompt tokens \(\d+ cached\) · \d+ answer tokens · "
                                r"first after \d+\.\d\d s · [\d.]+ tokens/s")
        body = self.mock.chats[-1]
        self.assertEqual(body["model"], "lotse-nano")
        self.assertEqual(body["stream_options"], {"include_usage": True})
        self.assertNotIn("temperature", body)
        self.assertEqual([m["role"] for m in body["messages"]], ["user", "assistant", "user"])
        said = page.evaluate("document.querySelector('#announcement').textContent")
        self.assertEqual(said, "You said: Grüße 🚢")
        self.assert_clean(page)

    def test_stop_by_button_and_by_key(self):
        page = self.page()
        stops = [lambda: page.click("#stop"), lambda: page.press("Escape")]
        for count, stop in enumerate(stops, 1):
            self.ask(page, "slow answer")
            page.wait_for(f"{ANSWER}?.ariaBusy === 'true' && "
                          f"{ANSWER}.querySelector('.text').textContent.length > 10")
            stop()
            page.wait_for(DONE)
            self.assertIn("stopped", page.evaluate(f"{ANSWER}.querySelector('.facts').textContent"))
            self.assertTrue(page.evaluate("document.querySelector('#stop').hidden"))
            end = time.monotonic() + 5
            while self.mock.disconnects < count and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(self.mock.disconnects, count)
        self.assert_clean(page)

    def test_enter_sends_and_shift_enter_begins_a_line(self):
        page = self.page()
        page.evaluate("document.querySelector('#prompt').focus()")
        page.type("one")
        page.press("Enter", shift=True)
        page.type("two")
        self.assertEqual(self.mock.chats, [])
        page.press("Enter")
        page.wait_for(DONE)
        self.assertEqual(self.mock.chats[0]["messages"][0]["content"], "one\ntwo")

    def test_edit_and_try_again(self):
        page = self.page()
        self.answer(page, "first")
        self.answer(page, "second")
        page.click("article.user .actions button")  # Edit, of the first message
        self.assertEqual(page.evaluate("document.activeElement.value"), "first")
        page.evaluate("document.activeElement.select()")
        page.type("changed")
        page.press("Enter")
        page.wait_for(f"document.querySelectorAll('article').length === 2 && {DONE} && "
                      f"{ANSWER}.querySelector('.text').textContent === 'You said: changed'")
        self.assertEqual(self.mock.chats[-1]["messages"], [{"role": "user", "content": "changed"}])
        count = len(self.mock.chats)
        page.click("article.assistant .actions button")  # Try again
        page.wait_for(f"{DONE} && document.querySelectorAll('article').length === 2")
        self.assertEqual(self.mock.chats[count]["messages"], self.mock.chats[count - 1]["messages"])
        self.assert_clean(page)

    def test_an_edit_stops_an_answer_under_way(self):
        page = self.page()
        self.ask(page, "slow answer")
        page.wait_for(f"{ANSWER}?.querySelector('.text').textContent.length > 10")
        page.click("article.user .actions button")
        page.evaluate("document.activeElement.select()")
        page.type("quick")
        page.press("Enter")
        page.wait_for(f"{DONE} && {ANSWER}.querySelector('.text').textContent === 'You said: quick'")
        self.assertFalse(page.evaluate("document.querySelector('#send').hidden"))
        self.assertEqual(page.evaluate("document.querySelectorAll('article').length"), 2)
        self.assert_clean(page)

    def test_text_is_never_html(self):
        page = self.page()
        for with_tokens in (False, True):
            if with_tokens:
                page.click("input[name=logprobs]")
            self.assertEqual(self.answer(page, f"html {HTML}"), HTML)
            self.assertEqual(page.evaluate("document.querySelectorAll('#log img, #log b').length"), 0)
            self.assertEqual(page.evaluate("document.title"), "Lotse")
        self.assert_clean(page)

    def test_the_policy_holds_and_violations_are_seen(self):
        page = self.page()
        page.evaluate("""(() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'ran'";
            document.body.append(script);
        })()""")
        self.assertEqual(page.evaluate("document.title"), "Lotse")
        self.assertRegex(" ".join(page.complaints()), "Content Security Policy")

    def test_settings_are_sent(self):
        page = self.page()
        values = {"temperature": "0.7", "top_p": "0.9", "top_k": "40", "min_p": "0.05",
                  "max_tokens": "64", "seed": "7"}
        for name, value in (values | {"system": "Be brief."}).items():
            page.evaluate(f"document.querySelector('[name={name}]').focus()")
            page.type(value)
        self.answer(page, "hello")
        body = self.mock.chats[-1]
        self.assertEqual({name: body[name] for name in values},
                         {name: float(value) for name, value in values.items()})
        self.assertEqual(body["messages"][0], {"role": "system", "content": "Be brief."})
        page.evaluate("document.querySelector('[name=top_p]').focus()")
        page.type("7")  # 0.97, and then 0.97e9
        page.type("e9")
        self.ask(page, "refused")
        self.assertEqual(page.evaluate("document.activeElement.name"), "top_p")
        self.assertEqual(len(self.mock.chats), 1)

    def test_json_schema_shows_what_the_server_says(self):
        page = self.page()
        page.click("input[name=use_schema]")
        self.answer(page, "hello")
        self.assertIn("response_format", self.mock.chats[-1])
        error = page.evaluate(f"{ANSWER}.querySelector('.error').textContent")
        self.assertEqual(error, "response_format: not what this server likes")
        page.evaluate("document.querySelector('[name=schema]').focus()")
        page.type("{")
        self.assertIn("no JSON", page.evaluate("document.querySelector('#schema-error').textContent"))
        self.ask(page, "again")
        self.assertEqual(len(self.mock.chats), 1)
        self.assert_clean(page, but="status of 400")

    def test_token_probabilities(self):
        page = self.page()
        page.click("input[name=logprobs]")
        self.assertEqual(self.answer(page, "Grüße 🚢"), "You said: Grüße 🚢")
        page.click(".token:nth-child(3)")
        shown = page.evaluate("document.querySelector('#token').innerText")
        self.assertIn("42.0 %", shown)
        self.assertIn("harbour", shown)
        page.evaluate("document.querySelector('.tokens').focus()")
        page.press("ArrowRight")
        page.press("ArrowRight")
        self.assertRegex(page.evaluate("document.querySelector('#announcement').textContent"), "%$")
        self.assertFalse(page.evaluate("document.querySelector('#token').hidden"))
        self.assert_clean(page)

    def test_reasoning_is_folded(self):
        page = self.page()
        self.assertEqual(self.answer(page, "think hard"), "You said: think hard")
        box = page.evaluate("(({open, textContent}) => ({open, textContent}))"
                            "(document.querySelector('details'))")
        self.assertEqual(box, {"open": False, "textContent": "ReasoningFirst, I weigh the words."})
        self.answer(page, "next")
        self.assertNotIn("weigh", json.dumps(self.mock.chats[-1]))

    def test_failure_in_mid_stream(self):
        page = self.page()
        self.assertEqual(self.answer(page, "fail now"), "It began well")
        error = page.evaluate(f"{ANSWER}.querySelector('.error').textContent")
        self.assertEqual(error, "the device was lost")
        self.assertEqual(self.answer(page, "hello"), "You said: hello")
        self.assert_clean(page)

    def test_key_is_kept_for_the_tab_alone(self):
        self.mock.key = "secret-key"
        page = self.page(ready="document.activeElement.id === 'key'")
        page.type("secret-key")
        page.press("Tab")
        page.wait_for("document.querySelector('#model').value")
        self.assertEqual(self.answer(page, "hello"), "You said: hello")
        stored = page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
        self.assertNotIn("secret-key", stored)
        self.assertIn("secret-key", page.evaluate("JSON.stringify({...sessionStorage})"))
        self.assert_clean(page, but="status of 401")

    def test_waits_while_the_model_is_loaded(self):
        self.mock.is_loading = True
        facts = "document.querySelector('#model-facts').textContent"
        page = self.page(ready=f"{facts} === 'loading…'")
        self.mock.is_loading = False
        self.assertEqual(page.wait_for(f"{facts} !== 'loading…' && {facts}"), "cpu · 32,768 tokens")

    def test_plots(self):
        self.mock.speed = 20
        page = self.page()
        page.click("nav a[href='#plots']")
        shown = "[...document.querySelectorAll('figure output')].map((node) => node.value)"
        page.wait_for(f"{shown}.filter((text) => text !== '–').length === 10")
        self.assertEqual(page.evaluate("document.querySelectorAll('figure').length"), 6)
        values = page.evaluate(shown)
        self.assertRegex(values[2], r"^[\d.]+k? /s$")
        self.assertRegex(values[4], r"^[\d.]+ %$")
        self.assertRegex(values[5], r"^\d+(\.\d+)? ms$")
        self.assertRegex(values[7], r"^\d+(\.\d+)? ms$")
        label = page.evaluate("document.querySelector('figure svg[role=img]').ariaLabel")
        self.assertRegex(label, r"^Requests: running \d+, waiting \d+; scale 0 to \d+$")
        self.mock.key = "secret"
        page.wait_for("document.querySelector('#plots-status').textContent.includes('API key')")
        self.assert_clean(page, but="status of 401")

    def test_colours_can_be_chosen(self):
        page = self.page(scheme="light")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.click("#theme")
        dark = page.evaluate(ground)
        self.assertNotEqual(dark, light)
        page.open(self.url)
        self.assertEqual(page.evaluate(ground), dark)
        page.prefer("dark")
        page.click("#theme")
        self.assertEqual(page.evaluate(ground), light)
        self.assert_clean(page)

    def test_contrast(self):
        for scheme in ("light", "dark"):
            page = self.page(scheme=scheme)
            for front, back in PAIRS:
                colours = [page.evaluate("getComputedStyle(document.documentElement)"
                                         f".getPropertyValue('--{name}').trim()")
                           for name in (front, back)]
                high, low = sorted(map(luminance, colours), reverse=True)
                self.assertGreaterEqual((high + 0.05) / (low + 0.05), 4.5, (scheme, front, back))

    def test_every_control_has_a_name(self):
        page = self.page()
        self.answer(page, "hello")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        controls = {"button", "textbox", "spinbutton", "combobox", "checkbox", "link"}
        found = [node for node in nodes if node.get("role", {}).get("value") in controls]
        self.assertGreater(len(found), 15)
        self.assertEqual([n for n in found if not n.get("name", {}).get("value")], [])

    def test_phone_and_desktop_in_both_schemes(self):
        for name, width, height in [("phone", 360, 720), ("desktop", 1280, 800)]:
            for scheme in ("light", "dark"):
                page = self.page(width=width, height=height, scheme=scheme)
                self.shot(page, f"{name}-{scheme}-empty")
                self.answer(page, "think of Hamburg")
                page.evaluate("document.querySelector('[name=logprobs]').click()")
                self.assertEqual(self.answer(page, "long answer"), LONG)
                self.check_fits(page, width)
                page.click(".token:nth-child(5)")
                self.shot(page, f"{name}-{scheme}-chat")
                page.evaluate("location.hash = '#plots'")
                page.wait_for("document.querySelectorAll('figure .line').length > 10")
                self.check_fits(page, width)
                time.sleep(12 if SHOTS else 0)
                self.shot(page, f"{name}-{scheme}-plots")
                page.evaluate("location.hash = '#chat'")
                page.evaluate("document.querySelector('#settings').hidden && "
                              "document.querySelector('#settings-toggle').click()")
                self.check_fits(page, width)
                self.shot(page, f"{name}-{scheme}-settings")
                self.assert_clean(page)

    def check_fits(self, page, width):
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
        beyond = page.evaluate(f"""[...document.querySelectorAll("button, input, select, a, figure")]
            .filter((node) => node.offsetParent && node.getBoundingClientRect().right > {width} + 0.5)
            .map((node) => node.outerHTML)""")
        self.assertEqual(beyond, [])


class ServedTest(BrowserTest):
    """The page and the server together."""

    def setUp(self):
        self.process = subprocess.Popen([LOTSE, "serve", MODEL, "--port", "0", "--threads", "1"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.terminate)
        announced = re.search(r" on (http://\S+):", self.process.stdout.readline())
        self.url = announced[1] + "/"

    def test_chat_and_plots(self):
        page = self.page()
        facts = page.evaluate("document.querySelector('#model-facts').textContent")
        self.assertRegex(facts, r"^cpu · [\d,]+ tokens$")
        page.click("input[name=logprobs]")
        plain = self.answer(page, "What is 17 plus 25?")
        self.assertIn("42", plain)
        self.assertGreater(page.evaluate("document.querySelectorAll('.token').length"), 1)
        page.click(".token")
        self.assertIn("%", page.evaluate("document.querySelector('#token').innerText"))
        self.assertRegex(page.evaluate(f"{ANSWER}.querySelector('.facts').textContent"),
                         r"\d+ prompt tokens.* · \d+ answer tokens")
        self.shot(page, "served-chat")
        page.click("nav a[href='#plots']")
        page.wait_for("document.querySelector('figure svg[role=img]').ariaLabel")
        labels = page.evaluate("[...document.querySelectorAll('figure svg[role=img]')]"
                               ".map((node) => node.ariaLabel)")
        self.assertRegex(labels[0], "^Requests: running 0, waiting 0")
        self.assertRegex(labels[2], r"^KV cache in use: used [\d.]+ %")
        self.assert_clean(page)

    def test_json_schema_is_followed(self):
        page = self.page()
        page.click("input[name=use_schema]")
        schema = {
            "type": "object",
            "properties": {"answer": {"type": "integer"}, "sure": {"type": "boolean"}},
            "required": ["answer", "sure"],
            "additionalProperties": False,
        }
        page.evaluate(f"{FIELD}.value = {json.dumps(json.dumps(schema))}")
        page.evaluate(f"{FIELD}.dispatchEvent(new Event('input', {{bubbles: true}}))")
        answer = json.loads(self.answer(page, "What is 17 plus 25?"))
        self.assertEqual(list(answer), ["answer", "sure"])
        self.assertIs(type(answer["answer"]), int)
        self.assert_clean(page)

    def test_json_schema_that_is_not_supported_is_refused_by_keyword(self):
        page = self.page()
        page.click("input[name=use_schema]")
        page.evaluate(f"{FIELD}.value = {json.dumps(json.dumps({'uniqueItems': True}))}")
        self.answer(page, "What is 17 plus 25?")
        error = page.evaluate(f"{ANSWER}.querySelector('.error').textContent")
        self.assertIn('"uniqueItems"', error)
        self.assert_clean(page, but="status of 400")


if __name__ == "__main__":
    BROWSER = chromium.find()
    if BROWSER is None:
        sys.exit(not_run.report("web_page", "no Chromium here (Debian: chromium)"))
    unittest.main()
