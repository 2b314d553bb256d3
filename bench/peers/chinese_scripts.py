"""Compares the steps `simplified` and `traditional` with OpenCC: texts and speed.

    PYTHON chinese_scripts.py CORPUS.jsonl [ROUNDS]

Written against OpenCC 1.4.2, whose Python runs this; both on one thread, by turns, medians of
ROUNDS (3). Ours is `cargo build --release -p danlu-data --example filters`; FILTERS=PATH names
another.
"""
import json, os, statistics, subprocess, sys, tempfile, time

import opencc

PROGRAM = os.environ.get("FILTERS") or "target/release/examples/filters"
CONFIGS = {"simplified": "t2s", "traditional": "s2t"}


def ours(corpus, name, folder):
    sets, out = os.path.join(folder, "steps.json"), os.path.join(folder, "out.jsonl")
    json.dump({name: [name]}, open(sets, "w"))
    start = time.perf_counter()
    subprocess.run([PROGRAM, sets, corpus, out, "1"], check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return [json.loads(line).get(f"{name}_text") for line in open(out)], seconds


def main():
    corpus, *rest = sys.argv[1:]
    rows = [json.loads(line)["text"] for line in open(corpus)]
    size = sum(len(text.encode()) for text in rows) / 1e6
    for name, config in CONFIGS.items():
        converter, times = opencc.OpenCC(config), [[], []]
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(int(rest[0]) if rest else 3):
                left, seconds = ours(corpus, name, folder)
                times[0].append(seconds)
                start = time.perf_counter()
                right = [converter.convert(text) for text in rows]
                times[1].append(time.perf_counter() - start)
        changed = sum(text is not None for text in left)
        left = [text if now is None else now for text, now in zip(rows, left)]
        other = [pair for pair in zip(left, right) if pair[0] != pair[1]]
        for pair in other[:5]:
            print("differ:", *pair)
        fast, slow = (statistics.median(some) for some in times)
        print(f"{name}: {len(rows)} documents, {changed} changed, {len(other)} differ; danlu "
              f"{size / fast:.1f} MB/s (with start, reading and writing), OpenCC {size / slow:.1f}")


main()
