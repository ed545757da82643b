#!/usr/bin/env python3
"""Requests made from the server's own /openapi.json, valid and hostile ones: none fails the server.

usage: openapi_test.py LOTSE MODEL [COUNT [SEED]]

Each request is made from one seed, so that it can be made again: openapi_test.py LOTSE MODEL 1 SEED.
"""

import collections
import concurrent.futures
import json
import random
import sys

from serve_test import Server, within

COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 300
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
CLIENTS = 8
TEXTS = ["", "a", "Hello", "\u0000", "\ud7ff\U0010ffff", "﷽" * 40, "\u202e", "<|im_end|>", "{}", "null",
         "%s%n", "../../etc/passwd", "a\r\nb: c", "' OR 1=1 --", "𝕳𝖎", "x" * 5000]
NUMBERS = [0, -1, 1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30]
SCHEMAS = [
    {"type": "object"}, {"type": "array", "items": {"type": "integer"}, "maxItems": 3}, True, False, {},
    {"enum": []}, {"enum": [1, "a", None]}, {"not": {}}, {"$ref": "#"}, {"$ref": "#/none"}, {"type": "x"},
    {"type": "string", "pattern": "("}, {"type": "string", "pattern": "^a{1,3}$", "maxLength": 1},
    {"type": "integer", "minimum": 10**30}, {"allOf": [{"type": "null"}, {"type": "string"}]},
    {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, {"minItems": 10**18, "type": "array"},
    {"oneOf": [{}, {}]}, {"propertyNames": {"pattern": ".*(a|b){50}"}},
]
PATTERNS = ["a", "[a-c]{2}", "(", "a{99999}", "(a*)*b", "\\p{L}+", "(?=a)", "[", "\\", "(a|b)*c{1000}", "^$", ""]
GRAMMARS = ['root ::= "a"', "root ::= root", 'root ::= "a" root?', "start: /a+/", "root ::=", "", "%", "x ::= y"]
# Of these a request may have one.
FORMS = ("response_format", "text", "structured_outputs", "guided_json", "guided_regex", "guided_choice",
         "guided_grammar", "guided_json_object")


def nested(depth, leaf=1):
    value = leaf
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


class Maker:
    """One request: an endpoint's path, and a body from its schema."""

    def __init__(self, seed, document):
        self.random = random.Random(seed)
        self.paths = [
            (path, item["post"]["requestBody"]["content"]["application/json"]["schema"])
            for path, item in document["paths"].items()
            if "post" in item
        ]
        self.hostility = self.random.choice([0, 0, 0.1, 0.3, 1])

    def pick(self, *values):
        return self.random.choice(values)

    def request(self):
        path, schema = self.pick(*self.paths)
        density = self.pick(0.02, 0.1, 0.4)
        names = [
            name
            for name, field in schema["properties"].items()
            if self.random.random() < density
            and (self.random.random() < self.hostility or not field.get("deprecated"))
        ]
        if self.random.random() > self.hostility / 4:
            names += schema.get("required", [])
        if self.random.random() > self.hostility:
            names = self.without_contradictions(names)
        body = {name: self.value(name, schema["properties"][name]) for name in dict.fromkeys(names)}
        if self.random.random() < self.hostility:
            body[self.pick("unknown", "", "ключ", "a" * 300)] = self.anything()
        # Most answers are short, so that there can be many.
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
            if name in schema["properties"] and self.random.random() > self.hostility / 8:
                body[name] = self.random.randint(1, 8)
        text = json.dumps(body, ensure_ascii=self.random.random() < 0.5)
        if self.random.random() < self.hostility / 10:
            text = self.damaged(text)
        return path, text.encode("utf-8", "surrogatepass")

    def without_contradictions(self, names):
        """Of names that exclude each other one is kept."""
        self.random.shuffle(names)
        for group in FORMS, ("prompt", "messages"):
            present = [name for name in names if name in group]
            names = [name for name in names if name not in present[1:]]
        if "logprobs" not in names:
            names = [name for name in names if name != "top_logprobs"]
        if "stream" not in names:
            names = [name for name in names if name != "stream_options"]
        return names

    def damaged(self, text):
        at = self.random.randint(0, len(text))
        return self.pick(text[:at], text[:at] + self.pick("\\", '"', "}", "\x00") + text[at:], "[" * 100_000,
                         text + text, "\ufeff" + text, text.replace(":", ",", 1))

    def value(self, name, schema):
        if self.random.random() < self.hostility:
            return self.anything()
        known = getattr(self, f"make_{name}", None)
        return known() if known else self.of_type(schema)

    def of_type(self, schema):
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self.pick(*kind)
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        if kind == "boolean":
            return self.pick(True, False)
        if kind == "integer":
            return int(self.pick(low, high, self.random.randint(int(low), int(min(high, low + 50)))))
        if kind == "number":
            return self.pick(low, high, self.random.uniform(low, min(high, 2)))
        if kind == "string":
            return self.pick(*TEXTS)[: schema.get("maxLength", 10**6)]
        if kind == "array":
            items = schema.get("items", {"type": "string"})
            return [self.of_type(items) for _ in range(self.pick(0, 1, 3))]
        if kind == "object":
            return self.pick({}, {"a": self.anything()})
        return self.anything()

    def anything(self):
        return self.pick(
            None, True, False, self.pick(*NUMBERS), self.pick(*TEXTS), [], {}, nested(60), nested(300),
            [self.pick(*NUMBERS)] * 5, {self.pick(*TEXTS): self.pick(*NUMBERS)}, [None] * 2000,
            self.pick(*SCHEMAS), [self.pick(*TEXTS)], {"type": self.pick("text", "json_schema", 1)},
        )

    # Fields whose values have a form that the document does not tell.

    def make_model(self):
        return "lotse-nano"

    def make_prompt(self):
        return self.pick("Hello", ["a", "b"], [1, 2, 3], [[4], [5, 6]], *TEXTS)

    def make_logprobs(self):
        return self.pick(True, 1)  # a chat's, a completion's

    def make_tokens(self):
        return [self.random.randint(0, 2047) for _ in range(self.pick(0, 1, 20))]

    def message(self):
        message = {"role": self.pick("system", "user", "assistant", "user", "tool", "developer")}
        message["content"] = self.pick("Hello", [{"type": "text", "text": "Hi"}], None, *TEXTS)
        if self.random.random() < self.hostility:
            message[self.pick("content", "role", "tool_calls", "name", "type")] = self.anything()
        return message

    def make_messages(self):
        return [self.message() for _ in range(self.pick(1, 1, 2, 3))]

    def make_input(self):
        return self.pick("Hello", self.make_messages(), [])

    def make_system(self):
        return self.pick("Be brief.", [{"type": "text", "text": "Be brief."}])

    def make_logit_bias(self):
        return {str(self.random.randint(-5, 2060)): self.pick(-100, 0, 3.5, 100) for _ in range(3)}

    def make_stream_options(self):
        return {"include_usage": self.pick(True, False, None, 1)}

    def make_response_format(self):
        schema = self.pick(*SCHEMAS)
        return self.pick(
            {"type": "text"}, {"type": "json_object"}, {"type": "json_object", "schema": schema},
            {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}},
            {"type": "json_schema"}, {"type": self.anything()},
        )

    def make_text(self):
        return {"format": {"type": self.pick("text", "json_schema"), "name": "a", "schema": self.pick(*SCHEMAS)}}

    def make_structured_outputs(self):
        return self.pick(
            {"json": self.pick(*SCHEMAS)}, {"regex": self.pick(*PATTERNS)}, {"grammar": self.pick(*GRAMMARS)},
            {"choice": [self.pick(*TEXTS), "b"]}, {"json_object": True}, {"regex": "a", "json": {}},
        )

    def make_guided_json(self):
        return self.pick(*SCHEMAS, json.dumps(self.pick(*SCHEMAS)))

    def make_guided_regex(self):
        return self.pick(*PATTERNS)

    def make_guided_grammar(self):
        return self.pick(*GRAMMARS)

    def tool(self):
        function = {"name": self.pick("get", "a.b", ""), "parameters": self.pick(*SCHEMAS)}
        return self.pick({"type": "function", "function": function}, {"type": "function", **function},
                         {"name": "get", "input_schema": self.pick(*SCHEMAS)}, self.anything())

    def make_tools(self):
        return [self.tool() for _ in range(self.pick(0, 1, 2))]

    def make_tool_choice(self):
        named = {"type": "function", "function": {"name": self.pick("get", "none")}}
        return self.pick("none", "auto", "required", named, {"type": "any"}, {"type": "tool", "name": "get"})


def check(server, document, seed):
    """What is wrong with the answer to the request of a seed, or its status."""
    path, body = Maker(seed, document).request()
    status, headers, data = server.request("POST", path, body)
    shown = f"seed {seed}: {path} {body[:400]!r}: {status} {data[:300]!r}"
    if status >= 500 and status != 503:
        return shown
    if status == 503 and b"overloaded" not in data:
        return shown
    kind = headers["Content-Type"]
    if kind.startswith("text/event-stream"):
        return status if status == 200 else shown
    answer = json.loads(data)
    if status != 200:
        error = answer["error"]
        if not error["message"] or len(error["message"]) > 2000:
            return shown
    return status


def main():
    with Server("--max-sequences", "4", "--context", "512") as server:
        document = json.loads(server.request("GET", "/openapi.json")[2])
        seeds = range(SEED, SEED + COUNT)
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            results = list(pool.map(lambda seed: check(server, document, seed), seeds))
        wrong = [result for result in results if isinstance(result, str)]
        counts = collections.Counter(result for result in results if isinstance(result, int))
        print(f"{COUNT} requests: {dict(sorted(counts.items()))}, {len(wrong)} wrong")
        for line in wrong[:20]:
            print(line)
        assert not wrong
        assert server.process.poll() is None, server.errors()
        assert server.request("GET", "/health")[0] == 200
        assert within(20, server.is_idle), "something was left behind"
        status, answer = server.post("/v1/completions", {"prompt": "Hello", "max_tokens": 3})
        assert status == 200, answer
        # A generator whose every request is refused would prove nothing.
        assert counts[200] > COUNT / 10 and counts[400] > COUNT / 10, counts


if __name__ == "__main__":
    main()
