#!/usr/bin/env python3
"""Clients from PyPI, unmodified, against `lotse serve`; run by hand, since they are large.

usage: clients_test.py LOTSE MODEL VENV [unittest arguments]
VENV is what make_venv.sh made. Needs no network.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

LOTSE, MODEL, VENV = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3])
QUESTIONS = 60
ENVIRONMENT = {
    **os.environ,
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OPENAI_API_KEY": "any",
    "NO_PROXY": "127.0.0.1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen(
            [LOTSE, "serve", MODEL, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        cls.url = re.search(r"http://\S+:\d+", cls.server.stdout.readline())[0]

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.communicate(timeout=20)

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def run_client(self, name, *arguments, timeout=900):
        program = VENV / "bin" / name
        if not program.exists():
            self.skipTest(f"not run: {name} is not installed in {VENV}")
        run = subprocess.run(
            [program, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            cwd=self.path,
            timeout=timeout,
        )
        self.assertEqual(run.returncode, 0, run.stdout[-3000:] + run.stderr[-3000:])
        return run.stdout + run.stderr

    def has(self, *modules):
        program = "; ".join(f"import {module}" for module in modules)
        run = subprocess.run([VENV / "bin/python", "-c", program], capture_output=True)
        return run.returncode == 0

    def test_openai_python(self):
        if not self.has("openai"):
            self.skipTest(f"not run: openai is not installed in {VENV}")
        program = f"""
import openai
client = openai.OpenAI(base_url="{self.url}/v1")
ask = dict(model="{MODEL.name}", messages=[dict(role="user", content="What is 17 plus 25?")])
print(client.chat.completions.create(**ask).choices[0].message.content)
stream = client.chat.completions.create(**ask, stream=True)
print("".join(c.choices[0].delta.content or "" for c in stream if c.choices))
print(client.responses.create(model=ask["model"], input="What is 17 plus 25?").output_text)
print([m.id for m in client.models.list()])
try:
    client.chat.completions.create(**ask, temperature=-1)
except openai.BadRequestError as error:
    print(error.param)
"""
        lines = self.run_client("python", "-c", program).splitlines()
        self.assertEqual(lines, ["17 + 25 = 42"] * 3 + [f"['{MODEL.name}']", "temperature"])

    def test_guidellm(self):
        for path in ["/v1/completions", "/v1/chat/completions"]:
            report = self.path / "report.json"
            self.run_client(
                "guidellm", "run",
                "--backend", f"kind=openai_http,target={self.url},request_format={path}",
                "--profile", "kind=concurrent,streams=2",
                "--constraint", "kind=max_requests,count=12",
                "--tokenizer", f"kind=huggingface_auto,model={MODEL}",
                "--data", "kind=synthetic_text,prompt_tokens=32,output_tokens=8",
                "--output", f"kind=json,path={report}", "--disable-console",
            )  # fmt: skip
            (benchmark,) = json.loads(report.read_text())["benchmarks"]
            totals = benchmark["metrics"]["request_totals"]
            self.assertGreaterEqual(totals["successful"], 12)
            self.assertEqual(totals["errored"], 0)
            tokens = benchmark["metrics"]["output_token_count"]["successful"]
            self.assertEqual(tokens["mean"], 8)
            first = benchmark["metrics"]["time_to_first_token_ms"]["successful"]
            self.assertGreater(first["median"], 0)
            print(f"guidellm {path}: {totals['successful']} answered, none failed, "
                  f"TTFT median {first['median']:.1f} ms")  # fmt: skip

    def tasks(self):
        """A task of choices and one of answers, of the model's own questions."""
        rows = [json.loads(line) for line in (MODEL / "task.jsonl").read_text().splitlines()]
        rows = rows[:: len(rows) // QUESTIONS][:QUESTIONS]
        with open(self.path / "questions.jsonl", "w") as out:
            for i, row in enumerate(rows):
                others = [rows[(i + k) % len(rows)]["answer"] for k in (7, 19, 31)]
                question = f"<|im_start|>user\n{row['prompt']}<|im_end|>\n<|im_start|>assistant\n"
                out.write(json.dumps({**row, "question": question, "choices": [row["answer"], *others]}))
                out.write("\n")
        (self.path / "tasks").mkdir()
        common = f"""
dataset_path: json
dataset_kwargs:
  data_files: {{test: {self.path}/questions.jsonl}}
test_split: test
doc_to_text: "{{{{question}}}}"
"""
        (self.path / "tasks/choices.yaml").write_text(
            "task: choices\noutput_type: multiple_choice\ntarget_delimiter: ''" + common
            + "doc_to_choice: choices\ndoc_to_target: 0\nmetric_list: [{metric: acc}]\n"
        )  # fmt: skip
        (self.path / "tasks/answers.yaml").write_text(
            "task: answers\noutput_type: generate_until" + common
            + "doc_to_target: answer\ngeneration_kwargs: {until: ['<|im_end|>'], max_gen_toks: 40}\n"
            + "metric_list: [{metric: exact_match}]\n"
        )  # fmt: skip

    def evaluate(self, *arguments):
        out = self.path / "-".join(arguments[:2]).replace("/", "_")
        self.run_client("lm_eval", *arguments, "--tasks", "choices,answers", "--include_path",
                        self.path / "tasks", "--output_path", out)  # fmt: skip
        (result,) = out.rglob("results_*.json")
        results = json.loads(result.read_text())["results"]
        return results["choices"]["acc,none"], results["answers"]["exact_match,none"]

    def test_lm_evaluation_harness(self):
        self.tasks()
        served = self.evaluate(
            "--model", "local-completions", "--model_args",
            f"model={MODEL.name},base_url={self.url}/v1/completions,tokenizer={MODEL},num_concurrent=4,"
            "max_length=2048",
        )  # fmt: skip
        print(f"lm_eval local-completions: choices {served[0]:.3f}, answers {served[1]:.3f}")
        self.assertGreater(served[0], 0.9)
        # The same by PyTorch, where that is at hand.
        if not self.has("torch", "transformers", "accelerate"):
            self.skipTest("not run: no PyTorch to compare with")
        torch = self.evaluate("--model", "hf", "--model_args", f"pretrained={MODEL},dtype=float32",
                              "--device", "cpu", "--batch_size", "1")  # fmt: skip
        print(f"lm_eval hf (PyTorch): choices {torch[0]:.3f}, answers {torch[1]:.3f}")
        self.assertEqual(served, torch)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
