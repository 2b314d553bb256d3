#!/usr/bin/env python3
"""A corpus larger than memory: the cap of `data.memory` is kept and changes no byte.

    cargo build --release -p danlu-data --example dedup
    python3 bench/data_memory.py --gigabytes 10 TEXTS.jsonl [TEXTS.jsonl ..]

Makes a corpus of so many gigabytes out of the documents of the given files: most are the first part
of one and the last of another, a tenth are repeated, a fifth have a word more. Builds it (steps,
exact and near duplicates) without a cap worth the name, under the cap, and under the cap with a
kill -9 now and then, and compares what comes out. Peaks are the largest resident sizes that the
kernel reports when a process ends. About four times the corpus is needed on the disk of --folder,
which is empty again at the end.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
OURS = ROOT / "target/release/examples/dedup"
SETTINGS = [
    'steps=["nfc", "control", "whitespace", "length"]', "exact_duplicates=true",
    "near_duplicates={}", "heldout_per_mille=10",
]
NO_CAP = "64GiB"
BAR = 1.1
OUTPUTS = ("clean.jsonl", "heldout.jsonl", "dropped.jsonl", "report.json")


def documents(texts, size, seed):
    """Texts of `size` bytes together, each with its number."""
    generator, made, number, last = random.Random(seed), 0, 0, texts[0]
    while made < size:
        chance = generator.random()
        if chance < 0.1:
            text = last
        elif chance < 0.3:
            at = last.find(" ", generator.randrange(len(last))) + 1
            text = f"{last[:at]}word {last[at:]}"
        else:
            head, tail = generator.choice(texts), generator.choice(texts)
            text = head[: generator.randint(1, len(head))] + tail[generator.randrange(len(tail)) :]
        if generator.random() < 0.2:
            last = text
        made += len(text.encode())
        yield number, text
        number += 1


def generate(sources, path, size, seed):
    """Writes the corpus; gives how many documents."""
    texts = [json.loads(line)["text"] for file in sources for line in open(file, encoding="utf-8")]
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for count, text in documents(texts, size, seed):
            file.write(json.dumps({"id": f"d{count}", "text": text}, ensure_ascii=False) + "\n")
    return count + 1


def run(options, corpus, out, memory, kill_after=None):
    """Builds once; gives seconds and peak bytes, or None where it was killed."""
    command = [str(options.dedup), str(corpus), str(out), f'memory="{memory}"']
    command += [f"workers={options.workers}", *SETTINGS]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if kill_after is not None:
        try:
            child.wait(kill_after)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return None
        return time.perf_counter() - start, 0
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command}: exit {child.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def digests(out):
    """sha256 of each output, which is removed."""
    found = {}
    for name in OUTPUTS:
        with open(out / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.rmtree(out)
    return found


def killed(options, corpus, out, seconds):
    """Builds under the cap with kills; gives how many, and the outputs' digests."""
    generator, kills = random.Random(7), 0
    while run(options, corpus, out, options.memory, seconds * generator.uniform(0.2, 0.6)) is None:
        kills += 1
        if kills > 20:
            raise RuntimeError("it never ends: what was finished is redone")
    return kills, digests(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="files of JSON lines with text")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dedup", default=OURS, help="our program")
    parser.add_argument("--folder", help="where to work; the system's temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        corpus, size = folder / "corpus.jsonl", int(options.gigabytes * 1e9)
        count = generate(options.sources, corpus, size, options.seed)
        print(f"{count} documents, {corpus.stat().st_size / 1e9:.2f} GB", flush=True)
        rows, seen = [], []
        for name, memory in [("no cap", NO_CAP), (options.memory, options.memory)]:
            seconds, peak = run(options, corpus, folder / "out", memory)
            rows.append((name, seconds, peak))
            seen.append(digests(folder / "out"))
        kills, after_kills = killed(options, corpus, folder / "out", rows[1][1])
    print("| memory | s | documents/s | MB/s | peak MiB |\n|---|---|---|---|---|")
    for name, seconds, peak in rows:
        print(f"| {name} | {seconds:.1f} | {count / seconds:.0f} | {size / 1e6 / seconds:.1f} "
              f"| {peak / 2**20:.0f} |")
    unit = {"MiB": 2**20, "GiB": 2**30}[options.memory.strip()[-3:]]
    held = rows[1][2] <= BAR * float(options.memory.strip()[:-3]) * unit
    same = seen[0] == seen[1] == after_kills
    print(f"\npeak at most {BAR} of the cap: {'holds' if held else 'MISSED'}; the same bytes "
          f"without the cap, under it and after {kills} kills: {'holds' if same else 'MISSED'}")
    return 0 if held and same else 1


if __name__ == "__main__":
    sys.exit(main())
