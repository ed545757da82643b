"""GGUF fixtures in tests/golden/gguf, made and checked by make_goldens.py with the `gguf` package.

`blocks.gguf` holds one tensor per block type: random bytes, so that every bit pattern of a block occurs, with
finite scales; `blocks.safetensors` holds what the package dequantises them to. `llama.gguf` and `qwen3.gguf`
are the golden cases of those names in F32, under llama.cpp's names, metadata and order of rows.
"""

import json

import gguf
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from gguf import GGMLQuantizationType as Type
from transformers import AutoModelForCausalLM

ROWS, COLUMNS = 4, 512
# Byte offsets of the half-precision scales (and minima) within a block.
SCALES = {Type.Q8_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2],
          Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
FLOATS = [Type.F32, Type.F16, Type.BF16]
MODELS = {"llama": gguf.MODEL_ARCH.LLAMA, "qwen3": gguf.MODEL_ARCH.QWEN3}
WORDS = ["th", "he", "in", "er", "an", "re", "on", "at", "en", "nd", "ti", "es", "or", "te", "of", "ed", "is", "it",
         "al", "ar", "st", "to", "nt", "ng", "se", "ha", "as", "ou", "io", "le", "ve", "co", "me", "de", "hi"]


def random_blocks(kind, random):
    """ROWS x COLUMNS values of a block type as bytes; some scales are negative, zero or subnormal."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (ROWS * COLUMNS // block, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        scales = random.normal(0.0, 0.05, len(data)).astype(np.float16)
        scales[:2] = [0.0, 3e-7]
        data[:, offset:offset + 2] = scales.view(np.uint8).reshape(-1, 2)
    return data.reshape(ROWS, -1)


def random_floats(kind, random):
    values = random.normal(0.0, 1.0, (ROWS, COLUMNS)).astype(np.float32)
    values[0, :6] = [0.0, -0.0, 1e-7, -6e-8, 65504.0, -65504.0]
    return gguf.quants.quantize(values, kind)


def make_blocks(folder):
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(folder / "blocks.gguf", "test")
    writer.add_custom_alignment(64)
    add_every_value_type(writer)
    expected = {}
    for kind in [*FLOATS, *SCALES]:
        data = random_floats(kind, random) if kind in FLOATS else random_blocks(kind, random)
        writer.add_tensor(kind.name, data, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)
        expected[kind.name] = gguf.quants.dequantize(data, kind).reshape(ROWS, COLUMNS)
    finish(writer)
    safetensors.numpy.save_file(expected, folder / "blocks.safetensors")


def add_every_value_type(writer):
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60000)
    writer.add_int16("test.int16", -30000)
    writer.add_uint32("test.uint32", 4000000000)
    writer.add_int32("test.int32", -2000000000)
    writer.add_uint64("test.uint64", 2**63 + 1)
    writer.add_int64("test.int64", -(2**62))
    writer.add_float32("test.float32", 0.5)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "größer als 0")
    writer.add_array("test.strings", ["a", "", "b c"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.25, -1.5])
    writer.add_array("test.bools", [True, False])


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleave_rope_rows(weight, heads):
    """llama.cpp rotates neighbouring rows (2i, 2i+1) of a head where Hugging Face rotates (i, i + half)."""
    return weight.reshape(heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def make_model(root, name):
    config = json.loads((root / name / "config.json").read_text())
    writer = gguf.GGUFWriter(root / "gguf" / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[MODELS[name]])
    add_metadata(writer, name, config)
    if name == "llama":
        add_unigram_tokenizer(writer, config)
    else:
        add_bpe_tokenizer(writer, config)
    names = gguf.get_tensor_name_map(MODELS[name], config["num_hidden_layers"])
    for key, weight in safetensors.numpy.load_file(root / name / "model.safetensors").items():
        if name == "llama" and "q_proj" in key:
            weight = interleave_rope_rows(weight, config["num_attention_heads"])
        if name == "llama" and "k_proj" in key:
            weight = interleave_rope_rows(weight, config["num_key_value_heads"])
        writer.add_tensor(names.get_name(key, try_suffixes=(".weight",)), weight)
    finish(writer)


def add_metadata(writer, name, config):
    head_dim = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(f"golden {name}")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    if name == "llama":
        writer.add_rope_dimension_count(head_dim)
    else:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def vocabulary(special, space, config):
    """Special tokens, a space, the printable ASCII characters, then pairs of letters up to the vocabulary's size."""
    tokens = special + [space] + [chr(c) for c in range(ord("!"), ord("~") + 1)]
    return tokens + WORDS[: config["vocab_size"] - len(tokens)]


def add_unigram_tokenizer(writer, config):
    special = ["<unk>", "<s>", "</s>"]
    tokens = vocabulary(special, "\u2581", config)
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 3 + [-float(rank) for rank in range(len(tokens) - 3)])
    writer.add_token_types(kinds + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def add_bpe_tokenizer(writer, config):
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = vocabulary(special, "\u0120", config)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges([f"{token[0]} {token[1]}" for token in tokens[3:] if len(token) == 2])
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)


def make(root):
    folder = root / "gguf"
    folder.mkdir(exist_ok=True)
    make_blocks(folder)
    for name in MODELS:
        make_model(root, name)


def check_blocks(folder):
    expected = safetensors.numpy.load_file(folder / "blocks.safetensors")
    tensors = {t.name: t for t in gguf.GGUFReader(folder / "blocks.gguf").tensors}
    if tensors.keys() != expected.keys():
        return 1
    return sum(not np.array_equal(gguf.quants.dequantize(t.data, t.tensor_type).reshape(ROWS, COLUMNS), expected[name])
               for name, t in tensors.items())


def check_model(root, name):
    """transformers' own GGUF reader must arrive at the weights and logits of the case (it overlooks attention.key_length)."""
    override = {"head_dim": json.loads((root / name / "config.json").read_text())["head_dim"]} if name == "qwen3" else {}
    golden = safetensors.torch.load_file(root / name / "golden.safetensors")
    model = AutoModelForCausalLM.from_pretrained(
        root / "gguf", gguf_file=f"{name}.gguf", dtype=torch.float32, attn_implementation="eager", **override).eval()
    state = model.state_dict()
    weights = safetensors.torch.load_file(root / name / "model.safetensors")
    logits = model(golden["prompt"][None], use_cache=False).logits[0]
    return (sum(not torch.equal(state[key], weight) for key, weight in weights.items())
            + int(not torch.allclose(logits, golden["logits"][: len(logits)], atol=1e-4)))


def check(root):
    return check_blocks(root / "gguf") + sum(check_model(root, name) for name in MODELS)
