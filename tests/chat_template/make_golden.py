#!/usr/bin/env python3
"""Makes the goldens of the chat templates with Jinja2 itself, in Hugging Face's environment.

  make_golden.py own                  renders templates.json (our own small templates) into
                                      templates_golden.json: the text, or the class of the error
  make_golden.py models DATA_DIR      renders the models' templates below DATA_DIR (chat-templates/*.jinja
                                      and every tokenizer_config.json) with contexts.json into
                                      models_golden.json: template -> context -> SHA-256 of the
                                      UTF-8 text, or "error"

Needs the Python package jinja2 (3.1.6). The environment is written after transformers' documented
one: an immutable sandbox with trim_blocks, lstrip_blocks, loop controls, tojson without HTML
escapes, raise_exception, strftime_now (here at a fixed time) and the generation tag.
"""

import datetime
import hashlib
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2026, 3, 7, 15, 4, 5)  # the time that golden_test.cc sets too


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("show"), [], [], body).set_lineno(line)

    def show(self, caller):
        return caller()


class TemplateNamespace(jinja2.utils.Namespace):
    """Refuses private attributes, as transformers' does."""

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            check_name(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        check_name(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def check_name(name):
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(name)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.strftime(form)
    env.globals["namespace"] = TemplateNamespace
    return env


def render(source, context):
    """The text and None, or None and the class of the error."""
    try:
        return environment().from_string(source).render(**context), None
    except Exception as error:  # whatever Python raises is an error of the template
        return None, type(error).__name__


def write(path, golden):
    text = json.dumps(golden, ensure_ascii=False, indent=0)
    (HERE / path).write_text(text + "\n", encoding="utf-8")


def make_own():
    golden = {}
    for case in json.loads((HERE / "templates.json").read_text(encoding="utf-8")):
        text, error = render(case["template"], case.get("context", {}))
        if case["name"] in golden:
            sys.exit(f"two cases are named {case['name']}")
        golden[case["name"]] = {"error": error} if text is None else {"text": text}
    write("templates_golden.json", golden)
    errors = sum("error" in g for g in golden.values())
    print(f"{len(golden)} cases, {errors} of them errors")


def model_templates(data):
    """Name -> source of every template below `data`."""
    sources = {}
    for path in sorted(data.glob("chat-templates/*.jinja")):
        sources[path.relative_to(data).as_posix()] = path.read_text(encoding="utf-8")
    for path in sorted(data.rglob("tokenizer_config.json")):
        name = path.relative_to(data).as_posix()
        template = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
        if isinstance(template, str):
            sources[name] = template
        for entry in template if isinstance(template, list) else []:
            sources[f"{name}#{entry['name']}"] = entry["template"]
    return sources


def make_models(data):
    contexts = json.loads((HERE / "contexts.json").read_text(encoding="utf-8"))
    golden = {}
    errors = 0
    for name, source in model_templates(data).items():
        golden[name] = {}
        for key, context in contexts.items():
            text, error = render(source, context)
            errors += text is None
            digest = "error" if text is None else hashlib.sha256(text.encode()).hexdigest()
            golden[name][key] = digest
            if len(sys.argv) > 3 and text is not None:  # the texts themselves, to look into
                out = pathlib.Path(sys.argv[3]) / (name.replace("/", "__") + "@" + key)
                out.write_text(text, encoding="utf-8")
    write("models_golden.json", golden)
    print(f"{len(golden)} templates x {len(contexts)} contexts, {errors} errors")


if __name__ == "__main__":
    if len(sys.argv) >= 3 and sys.argv[1] == "models":
        make_models(pathlib.Path(sys.argv[2]))
    elif sys.argv[1:] == ["own"]:
        make_own()
    else:
        sys.exit(__doc__)
