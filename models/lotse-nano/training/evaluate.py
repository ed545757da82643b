"""Scores the demo model on task.jsonl and eval.txt.

    python evaluate.py [--model DIR] [--w8a8] [--show N]

The answer counts if, decoded greedily and stripped, it equals the expected one. With --w8a8 every
linear layer inside the decoder is simulated with int8 weights (one scale per output channel) and
int8 activations (one scale per token); the embedding, which is also the head, stays bf16.
"""

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers import Qwen3ForCausalLM

MODEL_DIR = Path(__file__).resolve().parent.parent
BATCH = 64
WINDOW = 256


def quantise_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric int8, one scale for each row: returns the integers (as floats) and the scales."""
    scale = x.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / 127
    return (x / scale).round().clamp(-127, 127), scale


class W8A8Linear(nn.Module):
    """Integers multiplied and summed exactly (in float64), then scaled and rounded to bf16."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, self.weight_scale = quantise_rows(linear.weight.detach().float())
        self.weight = weight.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        integers, scale = quantise_rows(x.float())
        product = (integers.double() @ self.weight.T).float()
        return (product * scale * self.weight_scale.T).to(x.dtype)


def quantise(model: Qwen3ForCausalLM) -> None:
    for layer in model.model.layers:
        for parent in (layer.self_attn, layer.mlp):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(parent, name, W8A8Linear(child))


def answer(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: list[str]
) -> list[str]:
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    inputs = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**inputs, do_sample=False, max_new_tokens=64)
    answers = output[:, inputs["input_ids"].shape[1]:]
    return tokenizer.batch_decode(answers, skip_special_tokens=True)


def score_task(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path, show: int
) -> None:
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    entries.sort(key=lambda entry: len(entry["prompt"]))
    right, total = defaultdict(int), defaultdict(int)
    for start in range(0, len(entries), BATCH):
        group = entries[start:start + BATCH]
        answers = answer(model, tokenizer, [entry["prompt"] for entry in group])
        for entry, text in zip(group, answers, strict=True):
            matches = text.strip() == entry["answer"]
            total[entry["category"]] += 1
            right[entry["category"]] += matches
            if not matches and show > 0:
                show -= 1
                print(f"  {entry['prompt']!r}: {text.strip()!r}, expected {entry['answer']!r}")
    for category in total:
        print(f"{category:15} {right[category]:4} of {total[category]:4}")
    share = sum(right.values()) / sum(total.values())
    print(f"{'all':15} {sum(right.values()):4} of {sum(total.values()):4}  {share:.2%}")


def perplexity(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path) -> float:
    """Over windows of 256 tokens, each predicted from its second token on."""
    ids = tokenizer(path.read_text(encoding="utf-8"), return_tensors="pt")["input_ids"][0]
    loss, count = 0.0, 0
    for window in ids.split(WINDOW):
        if len(window) < 2:
            continue
        logits = model(window[None]).logits[0, :-1].float()
        loss += functional.cross_entropy(logits, window[1:], reduction="sum").item()
        count += len(window) - 1
    return math.exp(loss / count)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--task", type=Path, default=MODEL_DIR / "task.jsonl")
    parser.add_argument("--text", type=Path, default=MODEL_DIR / "eval.txt")
    parser.add_argument("--w8a8", action="store_true")
    parser.add_argument("--show", type=int, default=0, help="print the first N wrong answers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).eval()
    if options.w8a8:
        quantise(model)
    score_task(model, tokenizer, options.task, options.show)
    print(f"perplexity {perplexity(model, tokenizer, options.text):.4f}")


if __name__ == "__main__":
    main()
