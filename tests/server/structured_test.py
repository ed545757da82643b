#!/usr/bin/env python3
"""Structured output of `lotse serve`: every answer has the form that was asked for, streams too,
and a form that takes long to compile holds up nobody.

usage: structured_test.py LOTSE MODEL [unittest arguments]
"""

import concurrent.futures
import json
import re
import sys
import unittest

from serve_test import Server, events

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}


def slow_schema(number):
    """Refused, or compiled, after about half a second of work."""
    patterns = {f"p{i}": {"pattern": f"[ab]*a[ab]{{10}}{i}"} for i in range(40)}
    return {"title": str(number), "properties": patterns}


def is_person(value):
    return (
        list(value) == ["name", "age", "tags"]
        and isinstance(value["name"], str)
        and 1 <= len(value["name"]) <= 12
        and type(value["age"]) is int
        and 0 <= value["age"] <= 150
        and len(value["tags"]) <= 2
        and all(tag in ("a", "b") for tag in value["tags"])
    )


def chat(**more):
    return {"messages": [{"role": "user", "content": "Who are you?"}], **more}


def as_format(schema):
    return {"type": "json_schema", "json_schema": {"name": "it", "strict": True, "schema": schema}}


class StructuredOutput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-sequences", "4")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def choices(self, path, body):
        status, answer = self.server.post(path, body)
        self.assertEqual(status, 200, answer)
        return answer["choices"]

    def test_schemas_on_every_endpoint(self):
        for seed in range(4):
            sampling = {"temperature": 1.5, "seed": seed, "max_tokens": 200}
            body = chat(response_format=as_format(PERSON), n=2, **sampling)
            for choice in self.choices("/v1/chat/completions", body):
                self.assertEqual(choice["finish_reason"], "stop")
                self.assertTrue(is_person(json.loads(choice["message"]["content"])), choice)
            body = {"prompt": "I am", "structured_outputs": {"json": PERSON}, **sampling}
            for choice in self.choices("/v1/completions", body):
                self.assertTrue(is_person(json.loads(choice["text"])), choice)
        form = {"type": "json_schema", "name": "it", "schema": PERSON}
        status, answer = self.server.post(
            "/v1/responses", {"input": "Who?", "text": {"format": form}, "max_output_tokens": 200}
        )
        self.assertEqual(status, 200, answer)
        self.assertTrue(is_person(json.loads(answer["output"][0]["content"][0]["text"])), answer)
        status, answer = self.server.post(
            "/v1/messages", chat(guided_json=PERSON, max_tokens=200)
        )
        self.assertEqual(status, 200, answer)
        self.assertTrue(is_person(json.loads(answer["content"][0]["text"])), answer)

    def test_streams(self):
        body = chat(response_format=as_format(PERSON), stream=True, temperature=1, seed=1)
        _, _, data = self.server.request("POST", "/v1/chat/completions", body)
        chunks = events(data.decode())
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
        self.assertTrue(is_person(json.loads(text)), text)
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")

    def test_other_kinds(self):
        for seed in range(3):
            sampling = {"prompt": "The", "temperature": 1.5, "seed": seed, "max_tokens": 100}
            for form, pattern in [
                ({"regex": r"[A-F]{2}-\d{2,4}"}, r"[A-F]{2}-\d{2,4}"),
                ({"choice": ["red", "reddish", "grün"]}, "red|reddish|grün"),
                ({"grammar": 'root ::= "<" ("x" | "y"){1,3} ">"'}, "<[xy]{1,3}>"),
                ({"grammar": 'start: "<" ("x" | "y")~1..3 ">"'}, "<[xy]{1,3}>"),
            ]:
                body = {**sampling, "structured_outputs": form}
                text = self.choices("/v1/completions", body)[0]["text"]
                self.assertTrue(re.fullmatch(pattern, text), (form, text))
            body = chat(response_format={"type": "json_object"}, max_tokens=80, seed=seed)
            choice = self.choices("/v1/chat/completions", body)[0]
            if choice["finish_reason"] == "stop":
                self.assertIsInstance(json.loads(choice["message"]["content"]), dict)

    def test_limits_and_stop_strings_cut(self):
        form = {"structured_outputs": {"regex": "a{5}b{5}"}, "prompt": "The"}
        choice = self.choices("/v1/completions", {**form, "max_tokens": 1})[0]
        self.assertEqual(choice["finish_reason"], "length")
        choice = self.choices("/v1/completions", {**form, "stop": "b"})[0]
        self.assertEqual((choice["text"], choice["finish_reason"]), ("aaaaa", "stop"))

    def test_contradictions_end_clearly(self):
        body = {"prompt": "The", "structured_outputs": {"choice": ["red"]}, "allowed_token_ids": [5]}
        status, answer = self.server.post("/v1/completions", body)
        self.assertEqual((status, answer["error"]["code"]), (400, "dead_end"))
        _, _, data = self.server.request("POST", "/v1/completions", {**body, "stream": True})
        self.assertIn("dead_end", data.decode())

    def test_refusals_name_field_and_keyword(self):
        schema = {"properties": {"a": {"uniqueItems": True}}}
        status, answer = self.server.post(
            "/v1/chat/completions", chat(response_format=as_format(schema))
        )
        error = answer["error"]
        self.assertEqual((status, error["param"]), (400, "response_format.json_schema.schema"))
        self.assertIn('#/properties/a: the keyword "uniqueItems" is not supported', error["message"])

    def test_a_slow_form_holds_up_nobody(self):
        known = {"prompt": "The", "structured_outputs": {"choice": ["known"]}}
        self.choices("/v1/completions", known)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            slow = [
                pool.submit(
                    self.server.post,
                    "/v1/completions",
                    {"prompt": "a", "max_tokens": 1, "guided_json": slow_schema(number)},
                )
                for number in range(4)
            ]
            answered = 0
            while not all(future.done() for future in slow):
                self.choices("/v1/completions", known)
                self.choices("/v1/completions", {"prompt": "The", "max_tokens": 1})
                answered += 2
            for future in slow:
                self.assertIn(future.result()[0], (200, 400), future.result())
        # If each had to wait for a slow one before it, there were four.
        self.assertGreater(answered, 8)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
