"""Writes a model folder of LLaMA-2 7B's shape with random weights, in shards as PyTorch saves them.

What memory a model needs depends on its shape, not on its values: this stands in for published
derivatives of LLaMA 2 (BioMedGPT-LM-7B has this layout). 13 GB; at most one shard in memory.

    python3 bench/peers/random_llama.py FOLDER VOCABULARY_FOLDER [--layers 32] [--shard-gb 2]

The vocabulary (tokenizer.json and what lies beside it) is copied; it may have fewer than 32,000
tokens. Made with torch 2.15.0.
"""

import argparse
import json
import pathlib
import shutil

import torch

HIDDEN, FFN, VOCAB, HEADS = 4096, 11008, 32000, 32


def tensors(layers):
    """Names and shapes in the published order."""
    yield "model.embed_tokens.weight", (VOCAB, HIDDEN)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name in "qkvo":
            yield f"{at}self_attn.{name}_proj.weight", (HIDDEN, HIDDEN)
        yield at + "mlp.gate_proj.weight", (FFN, HIDDEN)
        yield at + "mlp.up_proj.weight", (FFN, HIDDEN)
        yield at + "mlp.down_proj.weight", (HIDDEN, FFN)
        yield at + "input_layernorm.weight", (HIDDEN,)
        yield at + "post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCAB, HIDDEN)


def shards(layers, size):
    """Lists of tensors that fit a file together."""
    shard, total = [], 0
    for name, shape in tensors(layers):
        bytes_ = 2 * torch.Size(shape).numel()
        if shard and total + bytes_ > size:
            yield shard
            shard, total = [], 0
        shard.append((name, shape))
        total += bytes_
    yield shard


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("vocabulary", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--shard-gb", type=float, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    # Random numbers are slow to make, so all matrices are pieces of one long row of them.
    torch.manual_seed(1)
    row = (torch.randn(1 << 25) * 0.02).half()
    files = list(shards(options.layers, options.shard_gb * 1e9))
    weight_map = {}
    for number, shard in enumerate(files):
        file = f"pytorch_model-{number + 1:05}-of-{len(files):05}.bin"
        state = {}
        for name, shape in shard:
            if len(shape) == 1:
                state[name] = torch.ones(shape, dtype=torch.half)
            else:
                start = 4099 * len(weight_map) % (1 << 24)
                piece = row[start : start + (1 << 24)]
                count = torch.Size(shape).numel()
                repeats = -(-count // len(piece))
                state[name] = piece.repeat(repeats)[:count].clone().reshape(shape)
            weight_map[name] = file
        torch.save(state, options.folder / file)
        print(file, flush=True)
    size = sum(2 * torch.Size(shape).numel() for _, shape in tensors(options.layers))
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (options.folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": options.layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "vocab_size": VOCAB,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
    }
    (options.folder / "config.json").write_text(json.dumps(config, indent=1))
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]:
        if (options.vocabulary / name).is_file():
            shutil.copy(options.vocabulary / name, options.folder / name)


if __name__ == "__main__":
    main()
