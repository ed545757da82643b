#!/usr/bin/env python3
"""OpenAI's and Anthropic's Python clients against `lotse serve`: chats, streams, tools, structured
output, reasoning, errors.

usage: openai_client_test.py LOTSE MODEL [unittest arguments]

The clients are looked for in this interpreter, then in the one that LOTSE_TEST_CLIENTS names (the
`python` of a virtual environment: pip install openai anthropic).
"""

import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.append(str(pathlib.Path(__file__).parent.parent / "web"))
import not_run

try:
    import openai
except ImportError:
    python = os.environ.get("LOTSE_TEST_CLIENTS")
    if python is None or sys.executable == python:
        sys.exit(not_run.report("server_openai_client", "Python's openai is not installed"))
    os.execv(python, [python, *sys.argv])

try:
    import anthropic
except ImportError:
    anthropic = None

from serve_test import MODEL, Server

# Calls in the manner of Hermes, and reasoning where it is asked for.
TEMPLATE = """\
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking %}<think>
{% elif enable_thinking is defined %}<think></think>
{% endif %}{% endif %}"""

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Kiel", "Bonn"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
CLOCK = {
    "type": "object",
    "properties": {"zone": {"enum": ["UTC", "CET"]}},
    "required": ["zone"],
    "additionalProperties": False,
}
SCHEMAS = {"weather": WEATHER, "clock": CLOCK}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]
QUESTION = [{"role": "user", "content": "Will it rain in Kiel?"}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"enum": [1, 2]}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def model_with_template(folder):
    """A copy of the model, of links, with the template above."""
    for file in pathlib.Path(MODEL).resolve().iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return str(folder)


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = pathlib.Path(cls.folder.name) / "nano"
        path.mkdir()
        cls.server = Server(models=(model_with_template(path),))
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.client = openai.OpenAI(base_url=cls.url + "/v1", api_key="any", max_retries=0)
        cls.model = cls.client.models.list().data[0].id

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.folder.cleanup()

    def chat(self, **more):
        settings = {"model": self.model, "messages": QUESTION, "max_tokens": 200, "temperature": 0}
        return self.client.chat.completions.create(**{**settings, **more})

    def check_call(self, name, arguments):
        arguments = json.loads(arguments)
        self.assertEqual(list(arguments), SCHEMAS[name]["required"])
        for key, schema in SCHEMAS[name]["properties"].items():
            if "enum" in schema:
                self.assertIn(arguments[key], schema["enum"])
            else:
                self.assertIn(arguments[key], range(1, 10))

    def test_models(self):
        self.assertEqual(self.client.models.retrieve(self.model).id, self.model)

    def test_chat(self):
        answer = self.chat(max_tokens=8, logprobs=True, top_logprobs=2, n=2, seed=3, temperature=1)
        self.assertEqual(len(answer.choices), 2)
        choice = answer.choices[0]
        self.assertEqual(len(choice.logprobs.content[0].top_logprobs), 2)
        self.assertIn(choice.finish_reason, ["stop", "length"])
        used = answer.usage
        self.assertEqual(used.total_tokens, used.prompt_tokens + used.completion_tokens)

    def test_chat_stream(self):
        whole = self.chat(max_tokens=20).choices[0].message.content
        text, usage = "", None
        options = {"include_usage": True}
        for chunk in self.chat(max_tokens=20, stream=True, stream_options=options):
            usage = chunk.usage or usage
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
        self.assertEqual(text, whole)
        self.assertIsNotNone(usage.prompt_tokens_details.cached_tokens)

    def test_completions(self):
        settings = {"model": self.model, "prompt": ["17 plus", "One"], "max_tokens": 6}
        whole = self.client.completions.create(**settings)
        texts = ["", ""]
        for chunk in self.client.completions.create(**settings, stream=True):
            texts[chunk.choices[0].index] += chunk.choices[0].text
        self.assertEqual(texts, [choice.text for choice in whole.choices])

    def test_tools(self):
        for choice in ["required", {"type": "function", "function": {"name": "clock"}}]:
            answer = self.chat(tools=TOOLS, tool_choice=choice).choices[0]
            self.assertEqual(answer.finish_reason, "tool_calls")
            self.assertIsNone(answer.message.content)
            (call,) = answer.message.tool_calls
            if choice != "required":
                self.assertEqual(call.function.name, "clock")
            self.check_call(call.function.name, call.function.arguments)
            # The conversation goes on with the tool's result.
            result = {"role": "tool", "tool_call_id": call.id, "content": "wet"}
            more = self.chat(messages=[*QUESTION, answer.message, result], tools=TOOLS, max_tokens=5)
            self.assertEqual(more.object, "chat.completion")

    def test_tools_stream(self):
        whole = self.chat(tools=TOOLS, tool_choice="required").choices[0].message.tool_calls[0]
        with self.client.chat.completions.stream(
            model=self.model,
            messages=QUESTION,
            tools=[{**tool, "function": {**tool["function"], "strict": True}} for tool in TOOLS],
            tool_choice="required",
            temperature=0,
        ) as stream:
            final = stream.get_final_completion().choices[0]
        (call,) = final.message.tool_calls
        self.assertEqual(call.function.name, whole.function.name)
        self.assertEqual(call.function.arguments, whole.function.arguments)
        self.assertEqual(final.finish_reason, "tool_calls")
        named = [
            chunk.choices[0].delta.tool_calls[0]
            for chunk in self.chat(tools=TOOLS, tool_choice="required", stream=True)
            if chunk.choices[0].delta.tool_calls
        ]
        self.assertIsNotNone(named[0].id)
        for later in named[1:]:
            self.assertIsNone(later.id)
            self.assertIsNone(later.function.name)

    def test_tools_left_to_the_model(self):
        answer = self.chat(tools=TOOLS, max_tokens=10).choices[0]
        self.assertIn(answer.finish_reason, ["stop", "length"])

    def test_reasoning(self):
        answer = self.chat(reasoning_effort="low", max_tokens=12)
        self.assertEqual(answer.choices[0].message.content, "")
        self.assertTrue(answer.choices[0].message.reasoning)
        details = answer.usage.completion_tokens_details
        self.assertEqual(details.reasoning_tokens, answer.usage.completion_tokens)
        self.assertIsNone(getattr(self.chat(max_tokens=5).choices[0].message, "reasoning", None))

    def test_structured_output(self):
        form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
        value = json.loads(self.chat(response_format=form).choices[0].message.content)
        self.assertEqual(list(value), ["name", "age"])
        self.assertIn(value["age"], [1, 2])

    def test_responses(self):
        tools = [{"type": "function", "name": name, "parameters": schema, "strict": True}
                 for name, schema in SCHEMAS.items()]  # fmt: skip
        settings = {"model": self.model, "input": QUESTION, "temperature": 0}
        text = self.client.responses.create(**settings, max_output_tokens=16)
        self.assertTrue(text.output_text)
        answer = self.client.responses.create(**settings, tools=tools, tool_choice="required")
        (call,) = answer.output
        self.assertEqual(call.type, "function_call")
        self.check_call(call.name, call.arguments)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "wet"}
        with self.client.responses.stream(
            model=self.model, input=[*QUESTION, call, result], max_output_tokens=16
        ) as stream:
            for event in stream:
                pass
            self.assertTrue(stream.get_final_response().output_text)
        with self.client.responses.stream(
            **settings, tools=tools, tool_choice="required"
        ) as stream:
            streamed = stream.get_final_response().output[0]
        self.assertEqual(streamed.arguments, call.arguments)

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError) as missing:
            self.chat(model="other")
        self.assertEqual(missing.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as bad:
            self.chat(temperature=-1)
        self.assertEqual(bad.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as bad:
            self.chat(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "no"}})
        self.assertEqual(bad.exception.param, "tool_choice")

    @unittest.skipIf(anthropic is None, "not run: Python's anthropic is not installed")
    def test_messages(self):
        client = anthropic.Anthropic(base_url=self.url, api_key="any", max_retries=0)
        tools = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]
        settings = {"model": self.model, "max_tokens": 200, "messages": QUESTION}
        plain = client.messages.create(**{**settings, "max_tokens": 8})
        self.assertEqual(plain.content[0].type, "text")
        forced = {"tools": tools, "tool_choice": {"type": "any"}}
        forced["extra_body"] = {"temperature": 0}
        answer = client.messages.create(**settings, **forced)
        self.assertEqual(answer.stop_reason, "tool_use")
        (use,) = answer.content
        self.check_call(use.name, json.dumps(use.input))
        with client.messages.stream(**settings, **forced) as stream:
            streamed = stream.get_final_message()
        self.assertEqual(streamed.content[0].input, use.input)
        self.assertEqual(streamed.stop_reason, "tool_use")
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "wet"}
        turns = [
            *QUESTION,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result]},
        ]
        more = client.messages.create(model=self.model, max_tokens=5, messages=turns, tools=tools)
        self.assertEqual(more.role, "assistant")
        thinking = {"type": "enabled", "budget_tokens": 1024}
        thought = client.messages.create(
            **{**settings, "max_tokens": 2000}, thinking=thinking, stop_sequences=["e"]
        )
        self.assertEqual(thought.content[0].type, "thinking")
        with self.assertRaises(anthropic.BadRequestError):
            client.messages.create(model=self.model, max_tokens=5, messages=[])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
