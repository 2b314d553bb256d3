"""Small random models of the families that came after LLaMA and GPT-2, for make.py.

Each shows what is special about its family: windows shorter than the text, heads that share keys,
a rotation that is stretched, partial or of two kinds, experts of which some are chosen.
"""

import re

import transformers

# Sizes that all of them share; 24 tokens are longer than the windows.
COMMON = {
    "vocab_size": 48,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "attention_dropout": 0.0,
}
WINDOW = 7


def of(config_class, model_class, **settings):
    config = getattr(transformers, config_class)(**(COMMON | settings))
    config._attn_implementation = "eager"
    return getattr(transformers, model_class)(config)


def llama3():
    """LLaMA 3.1: the stretched rotation; biases, as some models of this family have."""
    return of(
        "LlamaConfig",
        "LlamaForCausalLM",
        num_key_value_heads=2,
        intermediate_size=40,
        attention_bias=True,
        mlp_bias=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    )


def mistral():
    return of(
        "MistralConfig",
        "MistralForCausalLM",
        num_key_value_heads=2,
        head_dim=12,
        intermediate_size=40,
        sliding_window=WINDOW,
    )


def qwen2():
    """The upper block has a window; the context is stretched by YaRN."""
    return of(
        "Qwen2Config",
        "Qwen2ForCausalLM",
        num_key_value_heads=2,
        intermediate_size=40,
        use_sliding_window=True,
        sliding_window=WINDOW,
        max_window_layers=1,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    )


def qwen3():
    return of(
        "Qwen3Config",
        "Qwen3ForCausalLM",
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=40,
        rope_parameters={"rope_type": "linear", "rope_theta": 1000000.0, "factor": 2.0},
    )


def gemma2():
    """Windows in every other block; a cap that the scores reach."""
    return of(
        "Gemma2Config",
        "Gemma2ForCausalLM",
        hidden_size=24,
        num_key_value_heads=2,
        head_dim=12,
        intermediate_size=40,
        sliding_window=WINDOW,
        query_pre_attn_scalar=24,
        attn_logit_softcapping=2.0,
        final_logit_softcapping=3.0,
    )


def gemma3():
    """Windows in five blocks of six; two rotations, the one of the full blocks stretched."""
    return of(
        "Gemma3TextConfig",
        "Gemma3ForCausalLM",
        hidden_size=16,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=24,
        sliding_window=WINDOW,
        query_pre_attn_scalar=24,
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
        },
    )


def phi3():
    """Fused matrices, a window, three quarters of a head rotated, each pair by its own factor."""
    return of(
        "Phi3Config",
        "Phi3ForCausalLM",
        num_key_value_heads=2,
        intermediate_size=40,
        sliding_window=WINDOW,
        original_max_position_embeddings=32,
        pad_token_id=0,
        eos_token_id=1,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.75,
            "original_max_position_embeddings": 32,
            "short_factor": [1.0, 1.1, 1.3],
            "long_factor": [1.0, 2.0, 4.0],
        },
    )


def gpt_neox():
    """Both parts read the same input; a quarter of a head is rotated."""
    return of("GPTNeoXConfig", "GPTNeoXForCausalLM", intermediate_size=48, hidden_dropout=0.0)


def gpt_neox_serial():
    return of(
        "GPTNeoXConfig",
        "GPTNeoXForCausalLM",
        intermediate_size=48,
        hidden_dropout=0.0,
        use_parallel_residual=False,
    )


def qwen3_moe():
    """Two of four experts, their shares made to add to one; the first block has no experts."""
    return of(
        "Qwen3MoeConfig",
        "Qwen3MoeForCausalLM",
        hidden_size=24,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=40,
        moe_intermediate_size=12,
        num_experts=4,
        num_experts_per_tok=2,
        norm_topk_prob=True,
        mlp_only_layers=[0],
    )


def mixtral():
    return of(
        "MixtralConfig",
        "MixtralForCausalLM",
        hidden_size=24,
        num_key_value_heads=2,
        intermediate_size=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=None,
    )


# folder, model, seed
FAMILIES = [
    ("llama3", llama3, 21),
    ("mistral", mistral, 22),
    ("qwen2", qwen2, 23),
    ("qwen3", qwen3, 24),
    ("gemma2", gemma2, 25),
    ("gemma3", gemma3, 26),
    ("phi3", phi3, 27),
    ("gpt-neox", gpt_neox, 28),
    ("gpt-neox-serial", gpt_neox_serial, 29),
    ("qwen3-moe", qwen3_moe, 30),
    ("mixtral", mixtral, 31),
]

# The reference holds all experts of a block in one tensor; published files name each.
EXPERT_NAMES = {"qwen3_moe": ("gate_proj", "up_proj", "down_proj"), "mixtral": ("w1", "w3", "w2")}


def published(model_type, name, value):
    """A tensor of the reference under its published names: (name, tensor), or one an expert."""
    match = re.fullmatch(r"(.*mlp)\.experts\.(gate_up_proj|down_proj)", name)
    if model_type == "gpt_neox" and name == "lm_head.weight":
        name = "embed_out.weight"
    if model_type == "mixtral":
        name = name.replace(".mlp.", ".block_sparse_moe.")
    if not match:
        yield name, value
        return
    gate, up, down = EXPERT_NAMES[model_type]
    place = name.rsplit(".", 1)[0]
    for expert, matrix in enumerate(value):
        if match[2] == "down_proj":
            yield f"{place}.{expert}.{down}.weight", matrix
        else:
            for part, half in zip((gate, up), matrix.chunk(2)):
                yield f"{place}.{expert}.{part}.weight", half
