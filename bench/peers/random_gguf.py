#!/usr/bin/env python3
"""GGUF files of the shape of LLaMA models with random weights, to measure speed with.

    python3 bench/peers/random_gguf.py 1.1b Q4_K_M m1b-q4_k_m.gguf
    python3 bench/peers/random_gguf.py 7b Q4_K_M m7b-q4_k_m.gguf

Needs the `gguf` package (0.19.0) and numpy. Quantised blocks hold random bits under fixed scales
that keep activations finite; the vocabulary is a dummy. Q4_K_M has the mixture that is published:
the head in Q6_K, values and down projections in Q6_K in the first and last eighth of the layers and
in every third between, the rest in Q4_K.
"""

import argparse

import gguf
import numpy as np

# width, layers, heads, key/value heads, feed-forward width
SHAPES = {"1.1b": (2048, 22, 32, 4, 5632), "7b": (4096, 32, 32, 32, 11008)}
VOCABULARY = 32000
TYPES = {"Q8_0": 7, "Q4_0": 2, "Q4_K_M": 15, "BF16": 32, "F16": 1}  # with GGUF's number of the mix
STD = 0.02
Q = gguf.GGMLQuantizationType


def half(value):
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def blocks(kind, rows, cols, random):
    """Random weights [rows, cols] of about STD as the bytes of their blocks."""
    if kind == Q.BF16:
        values = random.standard_normal((rows, cols), np.float32) * np.float32(STD)
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    if kind == Q.F16:
        return (random.standard_normal((rows, cols), np.float32) * STD).astype(np.float16)
    size, length = gguf.GGML_QUANT_SIZES[kind]
    data = random.integers(0, 256, (rows * cols // size, length), np.uint8)
    if kind == Q.Q8_0:
        data[:, 0:2] = half(STD / 74)
    elif kind == Q.Q4_0:
        data[:, 0:2] = half(STD / 4.6)
    elif kind == Q.Q4_K:  # scales of 6 bits, then minima: on average the middle of a block is zero
        data[:, 0:2], data[:, 2:4] = half(STD / 4.6 / 32), half(STD / 4.6 / 32 * 7.5)
    elif kind == Q.Q6_K:  # the scale lies at the end, those of groups of 16 before it
        data[:, -18:-2] = random.integers(20, 44, (len(data), 16), np.uint8)
        data[:, -2:] = half(STD / 18.5 / 32)
    return data.reshape(rows, cols // size * length)


def kinds(mix, layers):
    """The type of a tensor by its name."""
    if mix != "Q4_K_M":
        return lambda _name, _layer: Q[mix]

    def kind(name, layer):
        eighth = layers // 8
        high = layer < eighth or layer >= layers - eighth or (layer - eighth) % 3 == 2
        more = name == "output" or (name in ("attn_v", "ffn_down") and high)
        return Q.Q6_K if more else Q.Q4_K

    return kind


def metadata(out, mix, shape):
    width, layers, heads, kv_heads, ffn = shape
    out.add_name("random")
    out.add_file_type(TYPES[mix])
    out.add_context_length(2048)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(ffn)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_rope_dimension_count(width // heads)
    out.add_rope_freq_base(10000.0)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(VOCABULARY)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"\u2581w{index}" for index in range(len(tokens), VOCABULARY)]
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * 259 + [-float(index) for index in range(VOCABULARY - 259)])
    out.add_token_types([2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259))
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out")
    args = parser.parse_args()
    shape = width, layers, heads, kv_heads, ffn = SHAPES[args.shape]
    kv = width // heads * kv_heads
    out = gguf.GGUFWriter(args.out, "llama", use_temp_file=True)
    metadata(out, args.type, shape)
    random, kind = np.random.default_rng(1), kinds(args.type, layers)

    def add(name, rows, cols, layer=None):
        place = name if layer is None else f"blk.{layer}.{name}"
        chosen = kind(name, layer if layer is not None else 0)
        out.add_tensor(f"{place}.weight", blocks(chosen, rows, cols, random), raw_dtype=chosen)

    def norm(name):
        out.add_tensor(f"{name}.weight", np.ones(width, np.float32))

    add("token_embd", VOCABULARY, width)
    for layer in range(layers):
        norm(f"blk.{layer}.attn_norm")
        add("attn_q", width, width, layer)
        add("attn_k", kv, width, layer)
        add("attn_v", kv, width, layer)
        add("attn_output", width, width, layer)
        norm(f"blk.{layer}.ffn_norm")
        add("ffn_gate", ffn, width, layer)
        add("ffn_up", ffn, width, layer)
        add("ffn_down", width, ffn, layer)
    norm("output_norm")
    add("output", VOCABULARY, width)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
