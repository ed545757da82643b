#!/usr/bin/env python3
"""Makes tests/golden/adapters: LoRA adapters of golden models, saved by PEFT, and the logits that PEFT computes.

    pip install torch 'transformers>=5' safetensors peft
    OMP_NUM_THREADS=1 python tools/golden_adapters.py

Each adapters/<base>-<name>/ is a PEFT directory with golden.safetensors beside it: `tokens` and, of every token,
`logits` in fp32. The base models are those of make_goldens.py.
"""

import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import safetensors.torch
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
TOKENS = 24
ADAPTERS = {
    "qwen3-small": LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "qwen3-mixed": LoraConfig(
        r=8, lora_alpha=6, use_rslora=True, target_modules=["k_proj", "o_proj", "up_proj", "down_proj"],
        rank_pattern={"down_proj": 3}, alpha_pattern={"down_proj": 12, "layers.1.self_attn.k_proj": 2}),
    "phi3-fused": LoraConfig(r=5, lora_alpha=10, target_modules=["qkv_proj", "gate_up_proj", "down_proj"]),
}  # fmt: skip


def make(name, config):
    base = name.split("-")[0]
    torch.manual_seed(len(name))
    config.task_type = "CAUSAL_LM"
    model = AutoModelForCausalLM.from_pretrained(
        GOLDEN / base, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(3, model.config.vocab_size, (1, TOKENS))
    plain = model(tokens).logits.detach().clone()
    model = get_peft_model(model, config).eval()
    for key, parameter in model.named_parameters():
        if ".lora_" in key:
            parameter.data = torch.randn(parameter.shape) / parameter.shape[-1] ** 0.5
    logits = model(tokens).logits.detach()
    change = (logits - plain).square().mean().sqrt() / plain.square().mean().sqrt()
    assert 0.2 < change < 5, f"{name}: the adapter changes the logits by {change} of their size"
    directory = GOLDEN / "adapters" / name
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "README.md").unlink(missing_ok=True)
    settings = directory / "adapter_config.json"
    settings.write_text(settings.read_text().replace(str(GOLDEN / base), base))
    safetensors.torch.save_file(
        {"tokens": tokens[0].contiguous(), "logits": logits[0].contiguous()}, directory / "golden.safetensors")
    print(f"{name}: change {change:.2f}")


for adapter, settings in ADAPTERS.items():
    make(adapter, settings)
