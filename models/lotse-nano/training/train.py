"""Trains the demo model on generated dialogues and exports it for Hugging Face transformers.

    python train.py --work DIR --steps N

DIR holds the checkpoint and the exported model; a later call with a larger N resumes from it.
The learning rate stays constant after the warm-up and a running mean of the weights is exported,
so training may end at any step. Every batch is a function of its step and the seed alone.
"""

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

import generate

TOKENS_PER_BATCH = 4096
PACKED_SHARE = 0.12  # of the dialogues stand in rows of several
PACKED_LENGTH = 256
QUESTION_WEIGHT = 0.1  # of a loss outside the assistant's answers
MATRIX_RATE, OTHER_RATE = 0.015, 0.002
WARM_UP = 100
AVERAGE = 0.99  # decay a step of the running mean of the weights, which is what gets exported

Row = tuple[list[int], list[float]]
Batch = tuple[torch.Tensor, torch.Tensor]


def make_config(tokenizer: Tokenizer) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=generate.MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(generate.END),
        pad_token_id=tokenizer.token_to_id(generate.SEPARATOR),
    )


def answer_weights(ids: list[int], start: int, end: int, assistant: int) -> list[float]:
    """1 for each token of an assistant's turn, its end included, and a little elsewhere."""
    weights, inside = [], False
    for position, token in enumerate(ids):
        weights.append(1.0 if inside else QUESTION_WEIGHT)
        if token == end:
            inside = False
        elif position >= 2 and ids[position - 2] == start and ids[position - 1] == assistant:
            inside = True
    return weights


def batches(tokenizer: Tokenizer, first_step: int) -> Iterator[Batch]:
    """Batches of rows of like length; each pool of dialogues depends on its index alone."""
    index, step = 0, 0
    while True:
        # A pool's number of batches is not known beforehand, so a resumed run replays them.
        for batch in pool_batches(tokenizer, index):
            if step >= first_step:
                yield batch
            step += 1
        index += 1


def pool_batches(tokenizer: Tokenizer, index: int) -> list[Batch]:
    rng = Random(f"{generate.SEED}/{index}")
    texts = [generate.render(turns) + generate.SEPARATOR for turns in generate.training_pool(rng)]
    special = list(map(tokenizer.token_to_id, (generate.START, generate.END, "assistant")))
    rows: list[Row] = []
    packed: Row = ([], [])
    for encoding in tokenizer.encode_batch_fast(texts):
        ids, weights = encoding.ids, answer_weights(encoding.ids, *special)
        if rng.random() >= PACKED_SHARE:
            rows.append((ids, weights))
            continue
        if len(packed[0]) + len(ids) > PACKED_LENGTH:
            rows.append(packed)
            packed = ([], [])
        packed = (packed[0] + ids, packed[1] + weights)
    rows.sort(key=lambda row: len(row[0]))
    result: list[Batch] = []
    while rows:
        count = max(1, TOKENS_PER_BATCH // len(rows[-1][0]))
        result.append(stack(rows[-count:], tokenizer.token_to_id(generate.SEPARATOR)))
        del rows[-count:]
    rng.shuffle(result)
    return result


def stack(rows: list[Row], pad: int) -> Batch:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in rows])
    weights = torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows])
    return ids, weights


def loss_of(model: Qwen3ForCausalLM, batch: Batch) -> torch.Tensor:
    """Padding stands at the right, so the causal mask alone keeps it out of every answer."""
    ids, weights = batch
    # On a CPU the fused attention kernel is the slower one for rows this short.
    with torch.autocast("cpu", dtype=torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(),
                                      reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def make_optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05),
        torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def export(model: Qwen3ForCausalLM, average: list[torch.Tensor], directory: Path) -> None:
    copy = Qwen3ForCausalLM(model.config).to(torch.bfloat16)
    with torch.no_grad():
        for parameter, mean in zip(copy.parameters(), average, strict=True):
            parameter.copy_(mean)
    copy.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=128,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(directory)


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(generate.SEED)
    tokenizer = Tokenizer.from_file(str(generate.MODEL_DIR / "tokenizer.json"))
    model = Qwen3ForCausalLM(make_config(tokenizer))
    optimizers = make_optimizers(model)
    parameters = [parameter.data for parameter in model.parameters()]
    average = [value.clone() for value in parameters]
    checkpoint = options.work / "checkpoint.pt"
    step, tokens, seconds = 0, 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, tokens, seconds = state["step"], state["tokens"], state["seconds"]
        average = state["average"]

    def save() -> None:
        state = {"model": model.state_dict(), "step": step, "tokens": tokens, "seconds": seconds,
                 "average": average,
                 "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
        torch.save(state, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").rename(checkpoint)
        export(model, average, options.work / "export")

    recent = 0.0
    model.train()
    for batch in islice(batches(tokenizer, step), options.steps - step):
        began = time.monotonic()
        factor = min(1.0, (step + 1) / WARM_UP)
        for optimizer, peak in zip(optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            optimizer.param_groups[0]["lr"] = peak * factor
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(average, parameters, 1 - AVERAGE)
        step += 1
        tokens += batch[0].numel()
        seconds += time.monotonic() - began
        recent = loss.item() if recent == 0.0 else 0.95 * recent + 0.05 * loss.item()
        if step % 50 == 0:
            report = f"step {step}  loss {recent:.4f}  tokens {tokens}  seconds {seconds:.0f}"
            print(report, flush=True)
        if step % 100 == 0 or step == options.steps:
            save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    train(options)


if __name__ == "__main__":
    main()
