"""The model configurations behind tests/golden: one row of data a case.

`config` is what a real checkpoint of that family carries in config.json. Cases with `modern=True` are
written back by transformers itself (`dtype`, `rope_parameters`, `layer_types`); the others stay in the
older style (`torch_dtype`, `rope_theta`, `rope_scaling`) that most published checkpoints still have.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """One golden checkpoint. `facts` go into golden.json as they are."""

    name: str
    config: dict
    about: str
    modern: bool = False
    dtype: str = "float32"
    prompt_length: int = 24
    facts: dict = field(default_factory=dict)


def base(model_type, architecture, **fields):
    """The keys every decoder configuration has, overridden by `fields`; a value of ... removes the key."""
    config = {
        "architectures": [architecture],
        "model_type": model_type,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": 128,
    }
    config.update(fields)
    return {key: value for key, value in config.items() if value is not ...}


LLAMA3_SCALING = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_type": "llama3",
}


def llama_cases():
    def llama(**fields):
        return base("llama", "LlamaForCausalLM", **fields)

    llama3 = llama(hidden_size=48, num_attention_heads=6, head_dim=16, intermediate_size=80, rope_theta=500000.0,
                   rope_scaling=LLAMA3_SCALING, tie_word_embeddings=True, attention_bias=False, mlp_bias=False)
    return [
        Case("llama", llama(hidden_size=48, num_attention_heads=3, num_key_value_heads=3, intermediate_size=80, rope_theta=...,
                            pad_token_id=0, pretraining_tp=1),
             "Llama 2: multi-head attention, untied, no rope_theta in config.json (10000)"),
        Case("llama3", llama3, "Llama 3.1: grouped queries, llama3 rope scaling, tied"),
        Case("llama3_bf16", llama3 | {"torch_dtype": "bfloat16"}, "llama3 with a checkpoint file in BF16",
             dtype="bfloat16"),
        Case("llama_bias", llama(hidden_size=40, head_dim=16, num_key_value_heads=1, attention_bias=True,
                                 mlp_bias=True, vocab_size=131),
             "biases on all projections, head_dim 16 though hidden/heads is 10, one kv head, odd vocabulary",
             modern=True),
        Case("llama_linear", llama(rope_scaling={"type": "linear", "factor": 4.0}, rms_norm_eps=0.01),
             "linear rope scaling; an epsilon large enough to show"),
        Case("llama_dynamic", llama(rope_scaling={"type": "dynamic", "factor": 2.0}),
             "dynamic rope scaling with every length below max_position_embeddings, where it must change nothing"),
        Case("llama_yarn", llama(rope_scaling={"rope_type": "yarn", "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0,
                                               "attention_factor": 1.3, "truncate": False,
                                               "original_max_position_embeddings": 64}, head_dim=16),
             "yarn with explicit betas and attention factor, correction range not truncated", modern=True),
    ]


def mistral_cases():
    def mistral(**fields):
        return base("mistral", "MistralForCausalLM", **fields)

    return [
        Case("mistral", mistral(hidden_size=48, sliding_window=32),
             "Mistral 0.1: a window of 32 on every layer; head_dim not given (12)", prompt_length=40),
        Case("mistral_nemo", mistral(head_dim=16, sliding_window=None, rope_theta=1000000.0),
             "Mistral Nemo: no window, head_dim 16 though hidden/heads is 8", modern=True),
    ]


def qwen2_cases():
    def qwen2(**fields):
        return base("qwen2", "Qwen2ForCausalLM", rms_norm_eps=1e-6, **fields)

    return [
        Case("qwen2", qwen2(tie_word_embeddings=True, use_sliding_window=False, sliding_window=128,
                            max_window_layers=2, rope_theta=1000000.0, vocab_size=150),
             "Qwen 2.5: bias on q, k and v only, tied, sliding_window present but not used", modern=True),
        Case("qwen2_swa", qwen2(num_hidden_layers=3, use_sliding_window=True, sliding_window=32, max_window_layers=1),
             "layers 1 and 2 (index >= max_window_layers) have a window of 32, layer 0 has none", prompt_length=40),
        Case("qwen2_yarn", qwen2(rope_scaling={"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
                                 use_sliding_window=False, sliding_window=512, max_window_layers=2, hidden_size=64),
             "Qwen 2.5 long context: yarn with every option left to its default"),
    ]


def qwen3_cases():
    def qwen3(**fields):
        return base("qwen3", "Qwen3ForCausalLM", rms_norm_eps=1e-6, attention_bias=False, max_window_layers=2,
                    sliding_window=None, use_sliding_window=False, rope_theta=1000000, **fields)

    def moe(**fields):
        return base("qwen3_moe", "Qwen3MoeForCausalLM", rms_norm_eps=1e-6, attention_bias=False, head_dim=16,
                    num_experts_per_tok=3, sliding_window=None, use_sliding_window=False,
                    router_aux_loss_coef=0.001, output_router_logits=False, **fields)

    return [
        Case("qwen3", qwen3(head_dim=32, hidden_size=64, tie_word_embeddings=True),
             "Qwen 3: rms norm per head on q and k, head_dim 32 though hidden/heads is 16, tied"),
        Case("qwen3_moe", moe(num_experts=8, moe_intermediate_size=24, norm_topk_prob=True, decoder_sparse_step=1,
                              mlp_only_layers=[]),
             "every layer sparse, 3 of 8 experts, weights normalised over the chosen", modern=True),
        Case("qwen3_moe_mixed", moe(num_experts=6, moe_intermediate_size=20, norm_topk_prob=False,
                                    decoder_sparse_step=2, mlp_only_layers=[3], num_hidden_layers=4),
             "layer 1 alone is sparse ((i+1) % 2 == 0 and not in mlp_only_layers); weights not normalised"),
    ]


def phi3_cases():
    def phi3(**fields):
        return base("phi3", "Phi3ForCausalLM", pad_token_id=0, sliding_window=None, attention_dropout=0.0,
                    resid_pdrop=0.0, embd_pdrop=0.0, **fields)

    def longrope(pairs):
        return {"type": "longrope",
                "short_factor": [round(1.0 + 0.05 * i, 2) for i in range(pairs)],
                "long_factor": [round(1.5 + 1.25 * i, 2) for i in range(pairs)]}

    return [
        Case("phi3", phi3(), "Phi 3 4k: fused qkv and gate_up, plain rope"),
        Case("phi3_short", phi3(original_max_position_embeddings=300, max_position_embeddings=2400,
                                rope_scaling=longrope(4)),
             "longrope; no sequence here reaches 300, so the short factors hold throughout",
             facts={"longrope_factors": "short"}),
        Case("phi3_long", phi3(original_max_position_embeddings=16, max_position_embeddings=512,
                               rope_scaling=longrope(4)),
             "longrope; the prompt alone exceeds 16, so the long factors hold throughout",
             facts={"longrope_factors": "long"}),
        Case("phi3_partial", phi3(original_max_position_embeddings=16, max_position_embeddings=512, hidden_size=64,
                                  partial_rotary_factor=0.5, rope_scaling=longrope(4), tie_word_embeddings=True),
             "Phi 4 mini: as phi3_long, with rope on the first half of each head only; tied", modern=True,
             facts={"longrope_factors": "long"}),
    ]


def gemma_cases():
    def gemma(model_type, architecture, **fields):
        return base(model_type, architecture, hidden_act=..., hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6,
                    pad_token_id=0, bos_token_id=2, eos_token_id=1, attention_bias=False, attention_dropout=0.0,
                    head_dim=16, sliding_window=32, tie_word_embeddings=..., **fields)

    def gemma3(**fields):
        return gemma("gemma3_text", "Gemma3ForCausalLM", query_pre_attn_scalar=16, **fields)

    both_bases = {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                  "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
    return [
        Case("gemma2", gemma("gemma2", "Gemma2ForCausalLM", hidden_size=48, num_hidden_layers=4, intermediate_size=56,
                             query_pre_attn_scalar=24, attn_logit_softcapping=3.0, final_logit_softcapping=5.0,
                             cache_implementation="hybrid"),
             "soft-caps low enough to bite, layers 0 and 2 with a window of 32, query scale not head_dim; "
             "tied by default", prompt_length=40),
        Case("gemma3", gemma3(num_hidden_layers=3, rope_theta=..., rope_scaling=..., rope_parameters=both_bases,
                              layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
             "layer_types and a rope per layer type (full: base 1e6 and linear factor 8; sliding: base 1e4)",
             modern=True, prompt_length=40),
        Case("gemma3_old", gemma3(num_hidden_layers=3, sliding_window_pattern=2, rope_theta=1000000.0,
                                  rope_local_base_freq=10000.0, cache_implementation="hybrid"),
             "the same family in the older style: every second layer full (layer 1), rope_local_base_freq", prompt_length=40),
    ]


def other_cases():
    return [
        Case("olmo2", base("olmo2", "Olmo2ForCausalLM", hidden_size=48, rope_theta=500000.0, rms_norm_eps=1e-6,
                           attention_bias=False, attention_dropout=0.0, pad_token_id=1, num_hidden_layers=3),
             "norms after attention and mlp, q and k normed over their full width, grouped queries", modern=True),
        Case("mixtral", base("mixtral", "MixtralForCausalLM", intermediate_size=40, num_experts_per_tok=2,
                             num_local_experts=4, sliding_window=None, rope_theta=1000000.0,
                             output_router_logits=False, router_aux_loss_coef=0.02, attention_dropout=0.0),
             "2 of 4 experts, weights normalised over the chosen"),
    ]


CASES = (llama_cases() + mistral_cases() + qwen2_cases() + qwen3_cases() + phi3_cases() + gemma_cases() + other_cases())
