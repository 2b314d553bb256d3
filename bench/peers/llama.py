#!/usr/bin/env python3
"""Danlu beside llama.cpp and ik_llama.cpp on the same GGUF files: interleaved rounds, medians.

    LLAMA_BENCH=.../llama-bench IK_LLAMA_BENCH=.../llama-bench \
        python3 bench/peers/llama.py --realtime model.gguf [more.gguf ...]

Takes prebuilt binaries; one that is not named is left out, and the table says so. In a round every
engine runs once, one after the other (A B C A B C ...), so that a machine whose speed drifts slows
them alike. A ratio is taken within a round; the table shows medians over the rounds, and the range
of the ratio. ik_llama.cpp runs with flash attention, with and without run-time repacking, and its
faster setting of a round counts. `read` is a read-only stream of memory in the same round.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

# name, variable that names its llama-bench, settings tried
PEERS = [
    ("llama.cpp", "LLAMA_BENCH", [[]]),
    ("ik_llama.cpp", "IK_LLAMA_BENCH", [["-fa", "1"], ["-fa", "1", "-rtr", "1"]]),
]
REALTIME = ["chrt", "-r", "1"]


def run(command, realtime):
    """What a command prints, as JSON. Exits with its errors when it fails."""
    command = (REALTIME if realtime else []) + [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr.strip()}")
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        sys.exit(f"{' '.join(command)}: not JSON ({error}): {done.stdout[:200]!r}")


def peer_speed(binary, settings, model, work, args):
    """Tokens a second of the fastest setting."""
    tokens = getattr(args, work)
    lengths = ["-p", tokens, "-n", 0] if work == "prefill" else ["-p", 0, "-n", tokens]
    speeds = []
    for setting in settings:
        command = [binary, "-m", model, "-t", args.threads, *lengths, "-r", args.samples]
        rows = run([*command, "-o", "json", *setting], args.realtime)
        speeds.append(rows[0]["avg_ts"])
    return max(speeds)


def own_run(model, work, args):
    tokens = getattr(args, work)
    command = [args.danlu, "bench", work, model, "--tokens", tokens]
    return run([*command, "--threads", args.threads, "--json"], args.realtime)


def round_of(model, work, peers, args):
    """One run of every engine: name -> tokens/s, and what our own run reports."""
    speeds = {name: peer_speed(binary, settings, model, work, args)
              for name, binary, settings in peers}
    own = own_run(model, work, args)
    speeds["Danlu"] = own["tokens_per_s"]
    bandwidth = [args.danlu, "bench", "bandwidth", "--threads", args.threads, "--json"]
    return speeds, own, run(bandwidth, args.realtime)["gb_per_s"] * 1e9


def row(model, work, names, rounds):
    """A line of the table."""
    cells = [f"{model.stem} {work}"]
    for name in [*names, "Danlu"]:
        cells.append(f"{statistics.median(speeds[name] for speeds, _, _ in rounds):.1f}")
    for name in names:
        ratios = [speeds["Danlu"] / speeds[name] for speeds, _, _ in rounds]
        median = statistics.median(ratios)
        cells.append(f"{median:.2f} [{min(ratios):.2f}-{max(ratios):.2f}]")
    shares = [own["bytes_per_s"] / read for _, own, read in rounds]
    cells.append(f"{statistics.median(shares):.0%}" if work == "decode" else "")
    peak = max(own["peak_bytes"] for _, own, _ in rounds)
    cells.append(f"{peak / 2**20:.0f}")
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=pathlib.Path, help="GGUF files")
    parser.add_argument("--danlu", default="target/release/danlu", help="our binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2, help="runs of a peer in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--decode", type=int, default=64, help="tokens written")
    parser.add_argument("--prefill", type=int, default=512, help="tokens read")
    parser.add_argument("--realtime", action="store_true", help="run under chrt -r 1")
    args = parser.parse_args()
    peers = [(name, os.environ[variable], settings)
             for name, variable, settings in PEERS if variable in os.environ]
    for name, variable, _ in PEERS:
        if variable not in os.environ:
            print(f"{name} is left out: {variable} does not name its llama-bench")
    names = [name for name, _, _ in peers]
    titles = ["tokens/s", *names, "Danlu", *(f"ratio to {name}" for name in names)]
    print("| " + " | ".join([*titles, "of read", "MiB"]) + " |")
    print("|" + " --- |" * (len(titles) + 2))
    for model in args.models:
        for work in ("decode", "prefill"):
            rounds = [round_of(model, work, peers, args) for _ in range(args.rounds)]
            print(row(model, work, names, rounds), flush=True)


if __name__ == "__main__":
    main()
