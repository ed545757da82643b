#!/usr/bin/env python3
"""Records what a model computes on the machine it was trained for, for comparison on another.

    pip install torch 'transformers>=4.56' safetensors        (accelerate too, for --device-map)
    python record_activations.py MODEL_DIR --text "Good morning" -o DUMP.safetensors
    python record_activations.py MODEL_DIR --ids 1,15,7 --dtype bfloat16 --device cuda:0 -o DUMP.safetensors

The dump holds, for one sequence of T tokens, in the type the model computed them in:

    input_ids                             I64 [T]
    model.embed.output                    [T, hidden]  the residual stream before layer 0
    model.layers.<i>.self_attn.output     [T, hidden]  the output projection of attention (i counts from 0)
    model.layers.<i>.mlp.output           [T, hidden]  the feed-forward block, dense or mixture of experts
    model.layers.<i>.output               [T, hidden]  the residual stream after layer i
    model.norm.output                     [T, hidden]  after the final norm
    logits                                [T, vocab]

Norms that some families apply to a branch before adding it (Gemma, OLMo 2) come after self_attn.output and
mlp.output. The file's metadata names the model, dtype, device, attention implementation and versions.
"""

import argparse
import sys

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

BLOCK_NAMES = {"self_attn": ["self_attn", "attention"], "mlp": ["mlp", "block_sparse_moe", "feed_forward"]}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a Hugging Face model directory")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", help="text to run, encoded with the directory's tokenizer")
    source.add_argument("--text-file", help="a UTF-8 file holding that text")
    source.add_argument("--ids", help="token ids, separated by commas")
    parser.add_argument("-o", "--output", required=True, metavar="DUMP.safetensors")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"],
                        help="type of weights and activations (default: auto, the checkpoint's own)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu",
                        help="one device (default: cuda if there is one, else cpu)")
    parser.add_argument("--device-map", help="spread the model by accelerate instead, e.g. auto")
    parser.add_argument("--attention", default="eager", help="eager (default), sdpa, flash_attention_2")
    parser.add_argument("--max-tokens", type=int, default=512, help="keep this many tokens at most (default: 512)")
    return parser.parse_args()


def token_ids(arguments):
    if arguments.ids:
        ids = [int(part) for part in arguments.ids.split(",")]
    else:
        text = arguments.text if arguments.text is not None else open(arguments.text_file, encoding="utf-8").read()
        ids = AutoTokenizer.from_pretrained(arguments.model)(text)["input_ids"]
    if not ids:
        sys.exit("record_activations: the input has no tokens")
    return torch.tensor(ids[: arguments.max_tokens])


def load(arguments):
    place = {"device_map": arguments.device_map} if arguments.device_map else {}
    dtype = arguments.dtype if arguments.dtype == "auto" else getattr(torch, arguments.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        arguments.model, dtype=dtype, attn_implementation=arguments.attention, **place).eval()
    return model if place else model.to(arguments.device)


def named_modules(model):
    """The modules to record: dump name -> module."""
    decoder = model.get_decoder()
    modules = {"model.embed.output": model.get_input_embeddings(), "model.norm.output": decoder.norm}
    for index, layer in enumerate(decoder.layers):
        modules[f"model.layers.{index}.output"] = layer
        for name, candidates in BLOCK_NAMES.items():
            block = next((getattr(layer, c) for c in candidates if hasattr(layer, c)), None)
            if block is not None:  # a layer of another kind (linear attention, say) has its residual stream only
                modules[f"model.layers.{index}.{name}.output"] = block
    return modules


def record(model, ids):
    found = {"input_ids": ids}

    def keep(name):
        def hook(_module, _inputs, output):
            tensor = output[0] if isinstance(output, tuple) else output
            found[name] = tensor.detach().reshape(len(ids), -1).to("cpu", copy=True)
        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in named_modules(model).items()]
    with torch.inference_mode():
        logits = model(ids[None].to(model.device), use_cache=False).logits
    for handle in hooks:
        handle.remove()
    found["logits"] = logits[0].to("cpu", copy=True)
    return found


def write_dump(model, name, ids, path):
    """Runs `ids` (I64 [T]) through `model` and writes the dump; `name` goes into its metadata. Returns the tensors."""
    device, tensors = model.device, record(model, ids)
    metadata = {"model": name, "model_type": model.config.model_type, "dtype": str(model.dtype).removeprefix("torch."),
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
                "attention": model.config._attn_implementation, "torch": torch.__version__,
                "transformers": transformers.__version__}
    save_file(tensors, path, metadata=metadata)
    return tensors


def main():
    arguments = parse_arguments()
    tensors = write_dump(load(arguments), arguments.model, token_ids(arguments), arguments.output)
    print(f"{arguments.output}: {len(tensors)} tensors, {len(tensors['input_ids'])} tokens")


if __name__ == "__main__":
    main()
