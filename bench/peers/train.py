#!/usr/bin/env python3
"""One training run of a PyTorch peer on the CPU; prints one JSON line.

    python bench/peers/train.py --shape w1 --precision bf16 --compile --threads 2

The models are written plainly, as a PyTorch user would: `scaled_dot_product_attention`, the
library's own norms, cross entropy on the logits, fused AdamW. The batch is random and the same
every step, as in `danlu bench train`, so the loss starts near ln(vocabulary) and falls.
tokens_per_s is from the median step after the warm-up; the warm-up (three steps, with compilation)
is not timed.

peak_bytes is the largest resident size of the whole process, steps_peak_bytes that of the timed
steps alone (the kernel's mark is reset after the warm-up, so compilation does not count in it), and
import_bytes what the process held once the library was loaded.
"""

import argparse
import json
import os
import resource
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

WARM_UP_STEPS = 3
LEAST_STEPS = 3
SHAPES = {
    "w1": {"family": "llama", "vocab": 8192, "width": 384, "layers": 6, "heads": 6,
           "ffn": 1024, "batch": 8, "tokens": 256},
    "w2": {"family": "gpt2", "vocab": 50257, "width": 768, "layers": 12, "heads": 12,
           "ffn": 3072, "batch": 4, "tokens": 256, "positions": 1024},
    "w3": {"family": "llama", "vocab": 8192, "width": 384, "layers": 6, "heads": 6,
           "ffn": 1024, "batch": 2, "tokens": 2048},
}


def split_heads(x, heads):
    """[B, T, H * Dh] -> [B, H, T, Dh]"""
    batch, tokens, width = x.shape
    return x.view(batch, tokens, heads, width // heads).transpose(1, 2)


def attend(query, key, value):
    """Causal attention of [B, H, T, Dh] -> [B, T, H * Dh]"""
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return mixed.transpose(1, 2).flatten(2)


class LlamaBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, ffn = shape["width"], shape["ffn"]
        self.heads = shape["heads"]
        self.attention_norm = nn.RMSNorm(width, eps=1e-5)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=1e-5)
        self.gate_proj = nn.Linear(width, ffn, bias=False)
        self.up_proj = nn.Linear(width, ffn, bias=False)
        self.down_proj = nn.Linear(ffn, width, bias=False)

    @staticmethod
    def rotate(x, cosine, sine):
        first, second = x.chunk(2, dim=-1)
        return x * cosine + torch.cat((-second, first), dim=-1) * sine

    def forward(self, x, cosine, sine):
        h = self.attention_norm(x)
        query = self.rotate(split_heads(self.q_proj(h), self.heads), cosine, sine)
        key = self.rotate(split_heads(self.k_proj(h), self.heads), cosine, sine)
        value = split_heads(self.v_proj(h), self.heads)
        x = x + self.o_proj(attend(query, key, value))
        h = self.ffn_norm(x)
        return x + self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


class Llama(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width = shape["width"]
        self.embedding = nn.Embedding(shape["vocab"], width)
        self.layers = nn.ModuleList(LlamaBlock(shape) for _ in range(shape["layers"]))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.lm_head = nn.Linear(width, shape["vocab"], bias=False)
        head_dim = width // shape["heads"]
        frequency = 10000.0 ** (-torch.arange(0, head_dim, 2).float() / head_dim)
        angle = torch.outer(torch.arange(shape["tokens"]).float(), frequency).repeat(1, 2)
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, ids):
        x = self.embedding(ids)
        # In the compute type, as the reference library does: rope must not lift bf16 to f32.
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        cosine, sine = self.cosine.to(dtype), self.sine.to(dtype)
        for layer in self.layers:
            x = layer(x, cosine, sine)
        return self.lm_head(self.norm(x))


class Gpt2Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, ffn = shape["width"], shape["ffn"]
        self.heads = shape["heads"]
        self.ln_1 = nn.LayerNorm(width, eps=1e-5)
        self.c_attn = nn.Linear(width, 3 * width)
        self.attn_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width, eps=1e-5)
        self.c_fc = nn.Linear(width, ffn)
        self.mlp_proj = nn.Linear(ffn, width)

    def forward(self, x):
        query, key, value = self.c_attn(self.ln_1(x)).chunk(3, dim=-1)
        mixed = attend(*(split_heads(part, self.heads) for part in (query, key, value)))
        x = x + self.attn_proj(mixed)
        return x + self.mlp_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.wte = nn.Embedding(shape["vocab"], shape["width"])
        self.wpe = nn.Embedding(shape["positions"], shape["width"])
        self.layers = nn.ModuleList(Gpt2Block(shape) for _ in range(shape["layers"]))
        self.ln_f = nn.LayerNorm(shape["width"], eps=1e-5)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return F.linear(self.ln_f(x), self.wte.weight)


FAMILIES = {"llama": Llama, "gpt2": Gpt2}


def step_flops(shape):
    """Multiplications and additions of a step: matrix products and causal attention, times three
    for the backward pass. Norms, activations and the optimiser are not counted."""
    width, tokens = shape["width"], shape["batch"] * shape["tokens"]
    projections = 3 if shape["family"] == "llama" else 2
    layer = 4 * width * width + projections * width * shape["ffn"]
    weights = shape["layers"] * layer + width * shape["vocab"]
    attention = 2 * tokens * shape["tokens"] * width * shape["layers"]
    return 6 * weights * tokens + 3 * attention


def status_bytes(field):
    """A `/proc/self/status` line such as VmHWM or VmRSS, in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def reset_peak():
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def raise_priority():
    """Real-time priority for every thread, so that other jobs do not blur the times."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))


def build(options, shape):
    """The model, its optimiser, and loss(ids, targets) in the asked precision."""
    torch.manual_seed(options.seed)
    model = FAMILIES[shape["family"]](shape)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8,
                                  weight_decay=0.1, fused=True)

    def loss_of(ids, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())

    if options.compile:
        loss_of = torch.compile(loss_of, dynamic=False, mode=options.compile_mode)
    return model, optimizer, loss_of


def run(options):
    shape = SHAPES[options.shape]
    import_bytes = status_bytes("VmRSS")
    torch.set_num_threads(options.threads)
    model, optimizer, loss_of = build(options, shape)
    stream = torch.randint(0, shape["vocab"], (shape["batch"], shape["tokens"] + 1))
    ids, targets = stream[:, :-1].contiguous(), stream[:, 1:].contiguous()

    def step():
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(ids, targets)
        loss.backward()
        if options.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), options.clip)
        optimizer.step()
        return loss.item(), time.perf_counter() - start

    warm_up = [step() for _ in range(WARM_UP_STEPS)]
    if options.realtime:
        raise_priority()
    reset_peak()
    timed, end = [], time.perf_counter() + options.seconds
    while len(timed) < LEAST_STEPS or time.perf_counter() < end:
        timed.append(step())
    seconds = statistics.median(duration for _, duration in timed)
    return {
        "engine": "pytorch",
        "shape": options.shape,
        "precision": options.precision,
        "compile": options.compile,
        "compile_mode": options.compile_mode if options.compile else None,
        "tokens_per_s": shape["batch"] * shape["tokens"] / seconds,
        "gflops": step_flops(shape) / seconds / 1e9,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "steps_peak_bytes": status_bytes("VmHWM"),
        "import_bytes": import_bytes,
        "loss_first": warm_up[0][0],
        "loss_last": timed[-1][0],
        "steps": len(timed),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "threads": torch.get_num_threads(),
        "clip": options.clip,
        "tunables": os.environ.get("GLIBC_TUNABLES", ""),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--compile-mode", default="default",
                        choices=["default", "max-autotune-no-cudagraphs"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="timed part, at least 3 steps")
    parser.add_argument("--clip", type=float, help="clip the gradient to this norm (default: off)")
    parser.add_argument("--realtime", action="store_true", help="SCHED_RR once warmed up")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
