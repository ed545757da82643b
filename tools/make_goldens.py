#!/usr/bin/env python3
"""Makes (or checks) the golden data in tests/golden: tiny random checkpoints and what PyTorch computes from them.

    pip install torch 'transformers>=5' safetensors gguf accelerate
    OMP_NUM_THREADS=1 python tools/make_goldens.py                 # every case and the GGUF fixtures
    OMP_NUM_THREADS=1 python tools/make_goldens.py llama qwen3     # some cases
    OMP_NUM_THREADS=1 python tools/make_goldens.py --check         # reload everything, recompute, compare

Each tests/golden/<case>/ is an ordinary Hugging Face directory without a tokenizer, plus golden.safetensors
and golden.json; tests/golden/README.md describes them. The configurations stand in golden_cases.py.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import safetensors.torch
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import golden_encoders
import golden_gguf
import record_activations
from golden_cases import CASES

GREEDY_TOKENS = 256
LOGIT_TOKENS = 40  # greedy tokens that follow the prompt in `logits`
GAIN = 1.4  # of a random matrix: output rms over input rms
MIN_MARGIN = 1e-3
MIN_ROUTER_GAP = 5e-4
MIN_DISTINCT = 20
# Copies of one case's weights in another file layout, with no golden data of their own.
LAYOUTS = {"llama_sharded": "llama", "llama_bin": "llama"}


def write_config(case, directory):
    """Writes config.json; a modern case goes through transformers, which rewrites it in its current style."""
    path = directory / "config.json"
    path.write_text(json.dumps(case.config, indent=2) + "\n")
    if case.modern:
        config = AutoConfig.from_pretrained(directory)
        config.dtype = getattr(torch, case.dtype)
        config.save_pretrained(directory)


def load(directory, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager", experts_implementation="eager").eval()


def randomise(model, case, generator):
    """Fills every parameter so that a mistake anywhere shows: norm weights around their neutral value, biases
    well away from zero, matrices that amplify a little, so that tokens and positions keep apart.
    Gemma ties its embedding and norms each branch, so it would repeat its input token for ever: its final
    norm, of weight 1 + w, gets random signs."""
    gemma = case.config["model_type"].startswith("gemma")
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if gemma and name == "model.norm.weight":
            value = noise - 1.0
        elif name.endswith("norm.weight"):
            value = 0.3 * noise + (0.0 if gemma else 1.0)
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embed_tokens" in name and not model.config.tie_word_embeddings:
            value = noise
        else:
            value = GAIN * noise / parameter.shape[-1] ** 0.5
        parameter.data.copy_(value)


def write_checkpoint(case, directory, seed):
    """Writes config.json and model.safetensors; returns the prompt of this seed."""
    write_config(case, directory)
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(directory), dtype=torch.float32)
    randomise(model, case, generator)
    model.to(getattr(torch, case.dtype)).save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    write_config(case, directory)
    return torch.randint(0, case.config["vocab_size"], (case.prompt_length,), generator=generator)


def greedy(model, prompt):
    """The continuation by argmax with a key-value cache; returns tokens and the logits each was chosen from."""
    tokens, rows, past, feed = [], [], None, prompt[None]
    for _ in range(GREEDY_TOKENS):
        output = model(feed, past_key_values=past, use_cache=True)
        past = output.past_key_values
        rows.append(output.logits[0, -1])
        feed = rows[-1].argmax().view(1, 1)
        tokens.append(feed.item())
    return torch.tensor(tokens), torch.stack(rows)


def router_gaps(model, ids):
    """For each sparse layer, the smallest lead of the last chosen expert over the best one left out (logits)."""
    gaps = []

    def hook(router, _, output):
        ranked = output[0].sort(dim=-1, descending=True).values
        gaps.append((ranked[:, router.top_k - 1] - ranked[:, router.top_k]).min().item())

    hooks = [m.register_forward_hook(hook) for m in model.modules() if type(m).__name__.endswith("TopKRouter")]
    model(ids[None], use_cache=False)
    for handle in hooks:
        handle.remove()
    return gaps


def layer_outputs(model, prompt):
    """The residual stream around each layer for the prompt: embedding, hidden.<i> after layer i, final norm."""
    found = {}

    def keep(name):
        def hook(_module, _inputs, output):
            found[name] = (output[0] if isinstance(output, tuple) else output)[0].contiguous()
        return hook

    modules = {"embedding": model.model.embed_tokens, "norm": model.model.norm}
    modules |= {f"hidden.{i}": layer for i, layer in enumerate(model.model.layers)}
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    model(prompt[None], use_cache=False)
    for handle in hooks:
        handle.remove()
    return found


def compute(directory, prompt):
    """Everything stored for a case: tensors for golden.safetensors, measures for golden.json."""
    model = load(directory)
    tokens, chosen_from = greedy(model, prompt)
    everything = torch.cat([prompt, tokens])
    full = model(everything[None, :-1], use_cache=False).logits[0]
    scored = full[len(prompt) - 1:]
    best = scored.topk(2, dim=-1).values
    shown = everything[: len(prompt) + LOGIT_TOKENS]
    logits = model(shown[None], use_cache=False).logits[0]
    logits_bf16 = load(directory, torch.bfloat16)(shown[None], use_cache=False).logits[0].float()
    rms = logits.square().mean().sqrt().item()
    tensors = {"prompt": prompt, "greedy": tokens, "logits": logits, "logits_bf16": logits_bf16}
    tensors |= layer_outputs(model, prompt)
    measures = {
        "logits_rms": rms,
        "min_margin": (best[:, 0] - best[:, 1]).min().item(),
        "distinct_greedy_tokens": tokens.unique().numel(),
        "decode_vs_prefill_max_abs": (scored - chosen_from).abs().max().item(),
        "bf16_max_abs": (logits_bf16 - logits).abs().max().item(),
        "bf16_rms": (logits_bf16 - logits).square().mean().sqrt().item(),
    }
    gaps = router_gaps(model, everything)
    if gaps:
        measures["min_router_gap"] = min(gaps)
    if not torch.equal(scored.argmax(-1), tokens):
        measures["min_margin"] = 0.0  # one pass and cached decoding disagree: the seed is no use
    return tensors, measures


def good(measures):
    return (measures["min_margin"] > MIN_MARGIN * max(1.0, measures["logits_rms"])
            and measures["distinct_greedy_tokens"] >= MIN_DISTINCT
            and measures.get("min_router_gap", 1.0) > MIN_ROUTER_GAP)


def make_case(case, root):
    """Tries seeds until no decision of the greedy run is close; writes the directory."""
    directory = root / case.name
    for seed in range(200):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        prompt = write_checkpoint(case, directory, seed)
        tensors, measures = compute(directory, prompt)
        if good(measures):
            break
    else:
        sys.exit(f"{case.name}: no seed below 200 gives clear margins and varied tokens")
    safetensors.torch.save_file(tensors, directory / "golden.safetensors")
    record = {"case": case.name, "about": case.about, "seed": seed, "torch": torch.__version__,
              "transformers": transformers.__version__, "checkpoint_dtype": case.dtype,
              "config_style": "rope_parameters" if case.modern else "rope_scaling", **case.facts, **measures}
    write_json(directory / "golden.json", record)
    print(f"{case.name}: seed {seed}, " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()), flush=True)


def write_json(path, record):
    path.write_text(json.dumps(record, indent=2) + "\n")


def make_activations(root):
    """What record_activations.py writes for the prompt of qwen3, for readers of such a dump."""
    directory = root / "qwen3"
    prompt = safetensors.torch.load_file(directory / "golden.safetensors")["prompt"]
    record_activations.write_dump(load(directory), "qwen3", prompt, directory / "activations.safetensors")


def make_layouts(root):
    """The llama weights again, in two shards with an index and as a PyTorch zip."""
    model = load(root / "llama")
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    half = sum(t.nbytes for t in state.values()) * 6 // 10
    for name, source in LAYOUTS.items():
        directory = root / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        if name == "llama_sharded":
            model.save_pretrained(directory, max_shard_size=half)
            (directory / "generation_config.json").unlink()
        else:
            torch.save(state, directory / "pytorch_model.bin")
        shutil.copy(root / source / "config.json", directory)
        write_json(directory / "golden.json", {"case": name, "same_weights_as": source})


def deviation(name, actual, expected, tolerance):
    """Complains (returns 1) where two tensors differ by more than `tolerance` times the rms of the expected one."""
    limit = tolerance * expected.float().square().mean().sqrt().item() if expected.is_floating_point() else 0
    worst = (actual - expected).abs().max().item()
    if worst <= limit:
        return 0
    print(f"  {name}: off by {worst:.3g}, allowed {limit:.3g}")
    return 1


def check_case(case, root):
    directory = root / case.name
    stored = safetensors.torch.load_file(directory / "golden.safetensors")
    tensors, measures = compute(directory, stored["prompt"])
    failures = 0 if good(measures) else 1
    failures += int(tensors.keys() != stored.keys())
    for name, tensor in tensors.items():
        failures += deviation(f"{case.name} {name}", tensor, stored[name], 0.1 if name == "logits_bf16" else 1e-4)
    return failures


def check_layouts(root):
    failures = 0
    for name, source in LAYOUTS.items():
        expected, actual = load(root / source).state_dict(), load(root / name).state_dict()
        same = expected.keys() == actual.keys() and all(torch.equal(expected[k], actual[k]) for k in expected)
        failures += 0 if same else 1
    return failures


def check_activations(root):
    """The dump for qwen3 against the golden tensors of the same places."""
    golden = safetensors.torch.load_file(root / "qwen3" / "golden.safetensors")
    dump = safetensors.torch.load_file(root / "qwen3" / "activations.safetensors")
    places = {"input_ids": "prompt", "model.embed.output": "embedding", "model.norm.output": "norm"}
    places |= {f"model.layers.{name[7:]}.output": name for name in golden if name.startswith("hidden.")}
    failures = sum(deviation(name, dump[name], golden[place], 1e-4) for name, place in places.items())
    return failures + deviation("logits", dump["logits"], golden["logits"][: len(golden["prompt"])], 1e-4)


def check(cases, root):
    failures = {case.name: check_case(case, root) for case in cases}
    failures["layouts"] = check_layouts(root)
    failures["activations"] = check_activations(root)
    failures["gguf"] = golden_gguf.check(root)
    failures["encoders"] = len(golden_encoders.check(root))
    for name, count in failures.items():
        print(f"{name}: {'ok' if count == 0 else f'{count} FAILED'}")
    return sum(failures.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="make or check these cases only (default: all)")
    parser.add_argument("--check", action="store_true", help="compare what is stored with a fresh computation")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent / "tests" / "golden")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    cases = [case for case in CASES if not arguments.cases or case.name in arguments.cases]
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if arguments.check:
        sys.exit(1 if check(cases, arguments.root) else 0)
    for case in cases:
        make_case(case, arguments.root)
    made = {case.name for case in cases}
    if "llama" in made:
        make_layouts(arguments.root)
    if "qwen3" in made:
        make_activations(arguments.root)
    if not arguments.cases:
        golden_gguf.make(arguments.root)
        golden_encoders.make(arguments.root)


if __name__ == "__main__":
    main()
