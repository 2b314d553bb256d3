#!/usr/bin/env python3
"""A vocabulary of a corpus far larger than memory: the cap is kept, and changes nothing.

    cargo build --release -p danlu
    python3 bench/peers/tokenize_memory.py TEXTS [--gigabytes 10] [--memory 1GiB] [--folder DIR]

TEXTS has an object with `text` on each line. The corpus is these texts again and again; each time
one in 64 has its letters exchanged at random, so that new words come up as long as it goes on, as
in text from the web. It is trained on with the cap and with none; the exit status is 1 when more
memory was used than given, or when the vocabularies differ.
"""

import argparse
import json
import os
import pathlib
import random
import string
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DANLU = ROOT / "target/release/danlu"
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
CHANGED = 64


def record(text):
    return json.dumps({"text": text.decode()}).encode() + b"\n"


def generate(texts, path, size):
    """Writes `size` bytes of documents."""
    chance = random.Random(20261128)
    lines = [record(text) for text in texts]
    written = 0
    with open(path, "wb") as out:
        while written < size:
            letters = list(string.ascii_lowercase)
            chance.shuffle(letters)
            small = "".join(letters)
            table = bytes.maketrans((string.ascii_letters).encode(),
                                    (small + small.upper()).encode())
            changed = chance.randrange(CHANGED)
            for index, line in enumerate(lines):
                if index % CHANGED == changed:
                    line = record(texts[index].translate(table))
                written += out.write(line)


def train(path, folder, size, memory):
    command = [DANLU, "tokenizer", "train", path, "--vocab-size", size, "--out", folder, "--json"]
    if memory:
        command += ["--memory", memory]
    started = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started, json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("texts")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--vocab-size", type=int, default=32000)
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    with open(args.texts, encoding="utf-8") as file:
        texts = [json.loads(line)["text"].encode() for line in file]
    cap = int(args.memory[:-3]) * UNITS[args.memory[-3:]]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = os.path.join(folder, "corpus.jsonl")
        generate(texts, path, int(args.gigabytes * 1e9))
        print(f"{os.path.getsize(path) / 1e9:.2f} GB of JSON lines\n")
        print("| memory given | peak resident MiB | seconds | sha256 |\n|---|---|---|---|")
        hashes, kept = set(), True
        for memory in (args.memory, None):
            seconds, said = train(path, os.path.join(folder, "words"), args.vocab_size, memory)
            hashes.add(said["hash"])
            kept &= memory is None or said["peak_bytes"] <= cap
            print(f"| {memory or 'any'} | {said['peak_bytes'] / 2**20:.0f} | {seconds:.1f} | "
                  f"{said['hash'][:16]} |", flush=True)
    return 0 if kept and len(hashes) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
