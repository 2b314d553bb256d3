#!/usr/bin/env python3
"""A corpus larger than memory: the cap of `data.memory` is kept and changes no byte.

    cargo build --release -p danlu-data --example dedup
    python3 bench/data_memory.py --gigabytes 10 TEXTS.jsonl [TEXTS.jsonl ..]

Makes a corpus of so many gigabytes out of the documents of the given files: most are the first part
of one and the last of another, a tenth are repeated, a fifth have a word more. Builds it (steps,
exact and near duplicates) without a cap worth the name, under the cap, and under the cap with a
kill -9 every --kill-after seconds, and compares what comes out. Peaks are the largest resident
sizes (VmHWM) of a process. About four times the corpus is needed on the disk of --folder, which is
empty again at the end. A kill interval must let the build finish a stretch of `shard_bytes`.
"""

import argparse
import hashlib
import json
import pathlib
import random
import shutil
import signal
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
    """Builds once; gives seconds, peak bytes, and whether it ended before it was killed."""
    command = [*options.prefix.split(), str(options.dedup), str(corpus), str(out)]
    command += [f'memory="{memory}"', f"workers={options.workers}", *SETTINGS]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        # What wait4 says would count this process before it became that one.
        with open(f"/proc/{child.pid}/status", encoding="utf-8") as status:
            found = [line.split()[1] for line in status if line.startswith("VmHWM")]
        peak = max([peak, *map(int, found)])
        if kill_after and time.perf_counter() - start > kill_after:
            child.kill()
        time.sleep(0.02)
    if child.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{command}: exit {child.returncode}")
    return time.perf_counter() - start, peak * 1024, child.returncode == 0


def digests(out):
    """sha256 of each output, which is removed."""
    found = {}
    for name in OUTPUTS:
        with open(out / name, "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.rmtree(out)
    return found


def build(options, corpus, out, memory, kill_after=None):
    """Builds to the end; gives a row of the table and the outputs' digests."""
    kills, seconds, peak, ended = 0, 0.0, 0, False
    while not ended:
        more, found, ended = run(options, corpus, out, memory, kill_after)
        seconds, peak = seconds + more, max(peak, found)
        kills += not ended
        if kills > 40:
            raise RuntimeError("it never ends: what was finished is redone")
    print(f"{memory}: {seconds:.0f} s, {kills} kills", file=sys.stderr, flush=True)
    return (memory, kills, seconds, peak), digests(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", help="files of JSON lines with text")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--memory", default="1GiB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-after", type=float, default=20.0, help="seconds between kills")
    parser.add_argument("--prefix", default="", help="command before ours, as `nice -n 5`")
    parser.add_argument("--dedup", default=OURS, help="our program")
    parser.add_argument("--folder", help="where to work; the system's temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder)
        corpus, size = folder / "corpus.jsonl", int(options.gigabytes * 1e9)
        count = generate(options.sources, corpus, size, options.seed)
        print(f"{count} documents, {corpus.stat().st_size / 1e9:.2f} GB", flush=True)
        cap, interval = options.memory, options.kill_after
        builds = [build(options, corpus, folder / "out", memory, kill_after)
                  for memory, kill_after in [(NO_CAP, None), (cap, None), (cap, interval)]]
    rows, seen = [row for row, _ in builds], [digest for _, digest in builds]
    print("| memory | kills | s | documents/s | MB/s | peak MiB |\n|---|---|---|---|---|---|")
    for memory, kills, seconds, peak in rows:
        print(f"| {memory} | {kills} | {seconds:.1f} | {count / seconds:.0f} "
              f"| {size / 1e6 / seconds:.1f} | {peak / 2**20:.0f} |")
    unit = {"MiB": 2**20, "GiB": 2**30}[cap.strip()[-3:]]
    held = max(peak for *_, peak in rows[1:]) <= BAR * float(cap.strip()[:-3]) * unit
    same = seen[0] == seen[1] == seen[2] and rows[2][1] > 0
    verdicts = ["holds" if holds else "MISSED" for holds in (held, same)]
    print(f"\npeak at most {BAR} of the cap: {verdicts[0]}; the same bytes without the cap, under "
          f"it and after {rows[2][1]} kills: {verdicts[1]}")
    return 0 if held and same else 1


if __name__ == "__main__":
    sys.exit(main())
