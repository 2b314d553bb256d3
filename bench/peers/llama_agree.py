#!/usr/bin/env python3
"""Whether Danlu and llama.cpp read the same GGUF files alike: greedy text and log-probabilities.

    pip install xllamacpp==2026.10.11549
    python3 bench/peers/llama_agree.py model.gguf [more.gguf ...]

Both continue the same prompts greedily. Up to the first token that differs both have read the same
tokens, so their log-probabilities of the tokens that both list can be compared. Where the texts
part, `gap` is how much likelier llama.cpp finds its token than its second: both round activations
to 8 bits in products with quantised weights, each in its own way, so texts may part at a near tie.
The exit status is 1 when they part anywhere else, or when log-probabilities are further apart than
is said for the type of the weights. llama.cpp's server reports the pieces of a character of several
tokens as one: such answers are compared by their text alone, and have no gap.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import xllamacpp

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "The three laws of thermodynamics say that",
    "Q: How many days are there in a week?\nA:",
    "中国的首都是",
    "床前明月光，",
    "水是由",
]
TOP = 10
# Furthest apart on average (nats), and the largest gap at which texts may part.
LIMITS = {"exact": (0.02, 0.1), "rounded": (0.15, 0.5)}


def peer_answers(model, prompts, tokens):
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.warmup = 1024, 1, False
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    answers = []
    for prompt in prompts:
        request = {"prompt": prompt, "temperature": 0, "max_tokens": tokens, "logprobs": TOP,
                   "cache_prompt": False}
        answer = server.handle_completions(request)
        choice = answer["choices"][0]
        steps = choice["logprobs"]["content"]
        whole = len(steps) == answer["usage"]["completion_tokens"]
        answers.append((choice["text"], whole, [
            (step["id"], {top["id"]: top["logprob"] for top in step["top_logprobs"]})
            for step in steps
        ]))
    return answers


def own_answers(danlu, model, prompts, tokens):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for prompt in prompts:
            file.write(json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n")
        file.flush()
        command = [danlu, "generate", model, "--prompts", file.name, "--slots", 1,
                   "--temperature", 0, "--max-new-tokens", tokens, "--logprobs", TOP, "--json"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                              check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        (answer["text"], [(step["id"], {top["id"]: top["log_prob"] for top in step["top"]})
                          for step in answer["log_probs"]])
        for answer in answers
    ]


def compare(own, peer):
    """Same text, tokens in common, how far log-probabilities differ, the gap where texts part."""
    (our_text, own), (their_text, whole, peer) = own, peer
    # Either may hold back the beginning of a character at the end.
    same = our_text.rstrip("\ufffd").startswith(their_text.rstrip("\ufffd"))
    differences = []
    if not whole:
        return same, 0, differences, None
    for index, ((ours, our_top), (theirs, their_top)) in enumerate(zip(own, peer)):
        common = our_top.keys() & their_top.keys()
        differences += [abs(our_top[token] - their_top[token]) for token in common]
        if ours != theirs:
            best = sorted(their_top.values(), reverse=True)
            return same, index, differences, best[0] - best[1]
    return same, min(len(own), len(peer)), differences, None


def row(danlu, model, tokens):
    own = own_answers(danlu, model, PROMPTS, tokens)
    peer = peer_answers(model, PROMPTS, tokens)
    results = [compare(*pair) for pair in zip(own, peer)]
    equal = sum(same for same, _, _, _ in results)
    gaps = [gap for _, _, _, gap in results if gap is not None]
    differences = [value for _, _, found, _ in results for value in found]
    mean = statistics.fmean(differences)
    exact = any(name in model.stem.lower() for name in ("f16", "f32", "bf16"))
    mean_limit, gap_limit = LIMITS["exact" if exact else "rounded"]
    fine = mean <= mean_limit and max(gaps, default=0) <= gap_limit
    cells = [model.stem, f"{equal} of {len(results)}",
             str(sum(count for _, count, _, _ in results)),
             ", ".join(f"{gap:.3f}" for gap in gaps) or "-",
             f"{mean:.4f}", f"{max(differences):.3f}", "yes" if fine else "NO"]
    print("| " + " | ".join(cells) + " |", flush=True)
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, help="GGUF files")
    parser.add_argument("--danlu", default="target/release/danlu", help="our binary")
    parser.add_argument("--tokens", type=int, default=32, help="tokens written for each prompt")
    args = parser.parse_args()
    titles = ["file", "same text", "tokens in common", "gaps where texts part",
              "log-probabilities apart, mean", "most", "within limits"]
    print("| " + " | ".join(titles) + " |")
    print("|" + " --- |" * len(titles))
    fine = [row(args.danlu, model, args.tokens) for model in args.models]
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
