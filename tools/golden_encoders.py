"""The golden encoders in tests/golden/encoders: tiny random BERT and RoBERTa checkpoints with PyTorch's hidden states.

golden.safetensors has, for each text i, `tokens.<i>` (I64 [n]) and `hidden.<i>` (F32 [n, hidden]), each computed
by itself: encoders attend to the whole text, so there is no batch that could be padded wrongly.
"""

import json

import safetensors.torch
import torch
import transformers

GAIN = 1.4  # of a random matrix: output rms over input rms
LENGTHS = (1, 2, 7, 49, 64, 130)

BASE = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 48,
    "intermediate_size": 100,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 130,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 97,
}

# The architecture decides the tensors' names: MaskedLM puts the encoder behind a prefix.
CASES = {
    "bert": {**BASE, "model_type": "bert", "architectures": ["BertModel"], "position_embedding_type": "absolute"},
    "bert_masked": {**BASE, "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_act": "gelu_new"},
    "roberta": {**BASE, "model_type": "roberta", "architectures": ["RobertaModel"], "pad_token_id": 1,
                "layer_norm_eps": 1e-5, "max_position_embeddings": 132, "type_vocab_size": 1},
}


def randomise(model, generator):
    """Parameters in which a mistake anywhere shows: token types and positions as strong as words."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "LayerNorm.weight" in name:
            value = 1.0 + 0.3 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif "embeddings" in name:
            value = noise
        else:
            value = GAIN * noise / parameter.shape[-1] ** 0.5
        parameter.data.copy_(value)


def texts(config, generator):
    first = 3  # no padding token: RoBERTa's positions skip it
    return [torch.randint(first, config["vocab_size"], (n,), generator=generator) for n in LENGTHS]


def compute(directory, tokens):
    model = transformers.AutoModel.from_pretrained(directory, dtype=torch.float32,
                                                   attn_implementation="eager").eval()
    tensors = {}
    with torch.no_grad():
        for i, ids in enumerate(tokens):
            tensors[f"tokens.{i}"] = ids
            tensors[f"hidden.{i}"] = model(ids[None]).last_hidden_state[0].contiguous()
    return tensors


def make(root):
    for name, config in CASES.items():
        directory = root / "encoders" / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        generator = torch.Generator().manual_seed(7)
        model_class = getattr(transformers, config["architectures"][0])
        model = model_class(transformers.AutoConfig.from_pretrained(directory))
        randomise(model, generator)
        model.save_pretrained(directory)
        (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (directory / "generation_config.json").unlink(missing_ok=True)
        safetensors.torch.save_file(compute(directory, texts(config, generator)), directory / "golden.safetensors")
        print(f"encoders/{name}: texts of {', '.join(map(str, LENGTHS))} tokens", flush=True)


def check(root):
    """The names of the cases that PyTorch computes differently now."""
    wrong = []
    for name in CASES:
        stored = safetensors.torch.load_file(root / "encoders" / name / "golden.safetensors")
        tokens = [stored[f"tokens.{i}"] for i in range(len(LENGTHS))]
        found = compute(root / "encoders" / name, tokens)
        if any((found[key] - value).abs().max() > 1e-5 for key, value in stored.items()):
            wrong.append(f"encoders/{name}")
    return wrong
