#!/usr/bin/env python3
"""Golden values for the model families, made by the reference library.

    python golden/models/make.py            # rewrites every folder beside this file
    python golden/models/make.py qwen2      # rewrites this one

Needs the packages of bench/peers/requirements.txt; the versions used stand in each golden.json.

Each folder holds a small random model exactly as `save_pretrained` writes it (`config.json`,
`model.safetensors`) and what the reference library computes with it:

`golden.safetensors` (f32, ids i64; B rows, T tokens, D width, V vocabulary)
    ids [B, T], targets [B, T]          targets are already shifted; -100 is ignored
    segments, positions [B, T]          packed documents only: attention stays inside a segment
    logits [B, T, V]
    activation.embedding                [B, T, D], what enters the first layer
    activation.layer.N                  [B, T, D], what leaves layer N
    activation.final_norm               [B, T, D], what enters the head
    gradient.NAME                       d loss / d NAME, the loss below, not clipped
    final.NAME                          NAME after the ten optimiser steps (LLaMA and GPT-2)
`golden.json`
    loss                                mean cross entropy over the targets that are not -100
    bf16_gradient_cosine                how far the reference's gradients under bf16 autocast point
                                        the way of its f32 gradients
    optimizer                           the settings and rules of the ten steps
    step_losses, step_gradient_norms    ten each: the loss before the step, the norm before clipping
                                        (LLaMA and GPT-2)

`llama-packed` has no weights of its own: `golden.json` names the folder whose model it uses.
Tied weights have one gradient and one final value, under the name of the embedding.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
import transformers
from families import FAMILIES, published
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
IGNORE = -100
BATCH, TOKENS, STEPS = 2, 24, 10
OPTIMIZER = {
    "kind": "adamw",
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.95,
    "epsilon": 1e-8,
    "weight_decay": 0.1,
    "weight_decay_rule": "decoupled; on parameters with two dimensions, embeddings included; "
    "none on parameters with one (norms, biases)",
    "gradient_clip_norm": 1.0,
    "gradient_clip_rule": "all gradients times min(1, clip / (norm + 1e-6)), one global L2 norm",
    "steps": STEPS,
    "batch": "the same batch every step",
}


def llama(**settings):
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        num_hidden_layers=2,
        head_dim=16,
        max_position_embeddings=64,
        rope_theta=10000.0,
        rms_norm_eps=1e-5,
        attention_dropout=0.0,
        **settings,
    )
    config._attn_implementation = "eager"
    return transformers.LlamaForCausalLM(config)


def gpt2():
    config = transformers.GPT2Config(
        vocab_size=64,
        n_positions=32,
        n_embd=32,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    config._attn_implementation = "eager"
    return transformers.GPT2LMHeadModel(config)


def grouped():
    """Four query heads over two key/value heads, untied head, heads wider than the model."""
    return llama(
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        tie_word_embeddings=False,
    )


def tied():
    """As many key/value heads as query heads, the head tied to the embedding."""
    return llama(
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=80,
        tie_word_embeddings=True,
    )


# folder, model, seed, folder of the weights (None: its own), lengths of the packed documents
TRAINED = [
    ("llama-gqa", grouped, 11, None, None),
    ("llama-tied", tied, 12, None, None),
    ("llama-packed", grouped, 11, "llama-gqa", [[10, 14], [17, 7]]),
    ("gpt2", gpt2, 13, None, None),
]
CASES = TRAINED + [(*case, None, None) for case in FAMILIES]


def randomise(model, seed):
    """Values large enough that a forgotten bias, scale or gain shows in every output."""
    random = torch.Generator().manual_seed(seed)
    # Gemma's gains are stored as what they differ from one.
    offset_gains = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.ndim >= 2:
                parameter.copy_(0.2 * noise)
            elif name.endswith("bias") or offset_gains:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(1.0 + 0.1 * noise)


def make_batch(vocabulary, seed, lengths):
    """ids and targets [B, T]; three ignored targets a row, or the last of each document."""
    random = torch.Generator().manual_seed(1000 + seed)
    stream = torch.randint(0, vocabulary, (BATCH, TOKENS + 1), generator=random)
    batch = {"ids": stream[:, :-1].contiguous(), "targets": stream[:, 1:].clone()}
    if lengths is None:
        batch["targets"][0, 5:8] = IGNORE
        batch["targets"][1, [0, 11, TOKENS - 1]] = IGNORE
        return batch
    for name in ("segments", "positions"):
        batch[name] = torch.empty(BATCH, TOKENS, dtype=torch.int64)
    for row, row_lengths in enumerate(lengths):
        assert sum(row_lengths) == TOKENS, row_lengths
        start = 0
        for index, length in enumerate(row_lengths):
            batch["segments"][row, start : start + length] = index
            batch["positions"][row, start : start + length] = torch.arange(length)
            start += length
            batch["targets"][row, start - 1] = IGNORE
    return batch


def forward(model, batch):
    """logits [B, T, V]; with segments, a causal mask that is also block-diagonal."""
    if "segments" not in batch:
        return model(input_ids=batch["ids"], use_cache=False).logits
    segments = batch["segments"]
    causal = torch.ones(TOKENS, TOKENS).tril().bool()
    visible = causal & (segments[:, :, None] == segments[:, None, :])
    mask = torch.zeros(BATCH, 1, TOKENS, TOKENS)
    mask.masked_fill_(~visible[:, None], torch.finfo(torch.float32).min)
    return model(
        input_ids=batch["ids"],
        attention_mask=mask,
        position_ids=batch["positions"],
        use_cache=False,
    ).logits


def loss_of(model, batch):
    logits = forward(model, batch)
    return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)


def activations_and_logits(model, batch):
    """Named activations by hooks on the reference's own modules, and the logits."""
    body = model.base_model
    layers = body.h if hasattr(body, "h") else body.layers
    final_norms = [getattr(body, name, None) for name in ("norm", "ln_f", "final_layer_norm")]
    places = {"final_norm": next(norm for norm in final_norms if norm is not None)}
    places |= {f"layer.{index}": layer for index, layer in enumerate(layers)}
    found, hooks = {}, []
    for name, module in places.items():

        def keep(_module, _inputs, output, name=name):
            value = output[0] if isinstance(output, tuple) else output
            found[f"activation.{name}"] = value.detach().clone()

        hooks.append(module.register_forward_hook(keep))

    def keep_input(_module, inputs, keywords):
        value = inputs[0] if inputs else keywords["hidden_states"]
        found["activation.embedding"] = value.detach().clone()

    hooks.append(layers[0].register_forward_pre_hook(keep_input, with_kwargs=True))
    with torch.no_grad():
        logits = forward(model, batch)
    for hook in hooks:
        hook.remove()
    return found | {"logits": logits}


def check_packing(model, batch, logits):
    """The mask's meaning, proved: a packed document's logits are those it has alone."""
    for row in range(BATCH):
        for segment in batch["segments"][row].unique():
            inside = batch["segments"][row] == segment
            with torch.no_grad():
                alone = model(input_ids=batch["ids"][row, inside][None], use_cache=False).logits[0]
            difference = (alone - logits[row, inside]).abs().max().item()
            assert difference < 1e-4, (row, segment, difference)


def gradients(model, batch, bf16):
    """All gradients as one vector; with bf16, products of matrices are rounded to it."""
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        loss_of(model, batch).backward()
    return torch.cat([parameter.grad.flatten().double() for parameter in model.parameters()])


def bf16_gradient_cosine(model, batch):
    exact, rounded = (gradients(model, batch, bf16) for bf16 in (False, True))
    model.zero_grad(set_to_none=True)
    return F.cosine_similarity(exact, rounded, dim=0).item()


def train(model, batch):
    """Ten AdamW steps; their losses and gradient norms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model, batch)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms


def make(folder, build, seed, weights, lengths):
    torch.manual_seed(seed)
    model = build().float().eval()
    randomise(model, seed)
    out = HERE / folder
    out.mkdir(exist_ok=True)
    if weights is None:
        model.save_pretrained(out)
        (out / "generation_config.json").unlink(missing_ok=True)

    batch = make_batch(model.config.vocab_size, seed, lengths)
    arrays = dict(batch) | activations_and_logits(model, batch)
    if lengths is not None:
        check_packing(model, batch, arrays["logits"])
    cosine = bf16_gradient_cosine(model, batch)
    loss = loss_of(model, batch)
    loss.backward()
    for name, parameter in model.named_parameters():
        for name, gradient in published(model.config.model_type, name, parameter.grad):
            arrays[f"gradient.{name}"] = gradient.detach().clone()
    trained = {}
    if folder in [case[0] for case in TRAINED]:
        step_losses, step_norms = train(model, batch)
        trained = {
            "optimizer": OPTIMIZER,
            "step_losses": step_losses,
            "step_gradient_norms": step_norms,
        }
    if trained and weights is None:
        for name, parameter in model.named_parameters():
            arrays[f"final.{name}"] = parameter.detach().clone()
    save_file({name: value.contiguous() for name, value in arrays.items()},
              out / "golden.safetensors")
    scalars = {
        "made_by": "golden/models/make.py",
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "weights": weights or folder,
        "loss": loss.item(),
        "bf16_gradient_cosine": cosine,
    } | trained
    (out / "golden.json").write_text(json.dumps(scalars, indent=2) + "\n")
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{folder}: loss {loss.item():.6f}, {size / 1000:.0f} kB")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for case in CASES:
        if not sys.argv[1:] or case[0] in sys.argv[1:]:
            make(*case)


if __name__ == "__main__":
    main()
