#!/usr/bin/env python3
"""Near-duplicates: Danlu beside datatrove on the same documents, one Markdown table and the bar.

    cargo build --release -p danlu-data --example dedup
    python3 bench/peers/dedup.py --python VENV/bin/python CORPUS.jsonl [CORPUS.jsonl ..]

Both read the same files, of which datatrove needs one for each of its tasks since it does not split
files, and both write what is left. Settings are datatrove's defaults: 5-grams of words, 14 buckets
of 8 hashes, xxhash64. Rounds are interleaved (A B A B ..). datatrove's time is that of its four
stages; the time to import it is left out, while ours is that of the whole process. The removed
documents must be the same ones.

The venv needs `datatrove[processing,io]==0.10.1`, `spacy==3.8.18` and `xxhash`.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "target/release/examples/dedup"
TASKS = 4
BAR = 30.0


def peer(folder, workers):
    """Runs datatrove's four stages on `folder`/in, as a process of its own."""
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig()
    reader = JsonlReader(f"{folder}/in")
    signatures, buckets, removed = f"{folder}/sig", f"{folder}/buckets", f"{folder}/remove"
    stages = [
        ([reader, MinhashDedupSignature(signatures, config=config)], TASKS),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        ([reader, MinhashDedupFilter(removed), JsonlWriter(f"{folder}/out", compression=None)],
         TASKS),
    ]
    start = time.perf_counter()
    for number, (pipeline, tasks) in enumerate(stages):
        logs = f"{folder}/logs/{number}"
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers, logging_dir=logs).run()
    print(json.dumps({"seconds": time.perf_counter() - start}))


def split(corpora, folder, documents):
    """Writes the corpora's documents as files of about the same number; gives number and bytes."""
    lines = [line for path in corpora for line in open(path, encoding="utf-8")][:documents]
    size = -(-len(lines) // TASKS)
    folder.mkdir()
    for task in range(TASKS):
        text = "".join(lines[task * size : (task + 1) * size])
        (folder / f"{task}.jsonl").write_text(text, encoding="utf-8")
    return len(lines), sum(len(json.loads(line)["text"].encode()) for line in lines)


def timed(command):
    """Seconds and peak bytes of a process, and the last line it prints."""
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors)
        while child.poll() is None:
            # What wait4 says would count this process before it became that one.
            with open(f"/proc/{child.pid}/status", encoding="utf-8") as status:
                found = [line.split()[1] for line in status if line.startswith("VmHWM")]
            peak = max([peak, *map(int, found)])
            time.sleep(0.005)
        seconds = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        if child.returncode != 0:
            raise RuntimeError(f"{command}: {errors.read().decode()[-2000:]}")
        return seconds, peak * 1024, output.read().decode().splitlines()[-1]


def ids(folder, pattern):
    files = sorted(folder.glob(pattern))
    return {json.loads(line)["id"] for file in files for line in open(file, encoding="utf-8")}


def measure(options, folder):
    """Seconds of each round, theirs and ours, our peak, and what each kept."""
    theirs, ours, highest = [], [], 0
    realtime = ["chrt", "-r", "1"] if options.realtime else []
    for number in range(options.rounds):
        for name in ("sig", "buckets", "remove", "out", "logs", "ours"):
            shutil.rmtree(folder / name, ignore_errors=True)
        command = [options.python, __file__, "--peer", str(folder)]
        command += ["--workers", str(options.workers)]
        theirs.append(json.loads(timed(realtime + command)[2])["seconds"])
        command = [str(options.dedup), str(folder / "in"), str(folder / "ours")]
        seconds, peak, _ = timed(realtime + command + [f"workers={options.workers}"])
        ours.append(seconds)
        highest = max(highest, peak)
        print(f"round {number + 1}: {theirs[-1]:.1f} s, {seconds:.2f} s", file=sys.stderr)
    return theirs, ours, highest, ids(folder, "out/*.jsonl"), ids(folder, "ours/clean.jsonl")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="*", help="files of JSON lines with id and text")
    parser.add_argument("--python", default=sys.executable, help="of a venv with datatrove")
    parser.add_argument("--dedup", default=OURS, help="our program")
    parser.add_argument("--documents", type=int, help="only so many of the first")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--realtime", action="store_true", help="run both under chrt -r 1")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(options.peer, options.workers)
    if not options.corpora:
        parser.error("which corpora?")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        documents, size = split(options.corpora, folder / "in", options.documents)
        theirs, ours, peak, kept, our_kept = measure(options, folder)
    print("| program | s | documents/s | MB/s | kept |")
    print("|---|---|---|---|---|")
    for name, seconds, left in [("datatrove 0.10.1", theirs, kept), ("Danlu", ours, our_kept)]:
        middle = statistics.median(seconds)
        print(f"| {name} | {middle:.2f} | {documents / middle:.0f} | {size / 1e6 / middle:.2f} "
              f"| {len(left)} |")
    ratio = statistics.median(a / b for a, b in zip(theirs, ours))
    verdict = "holds" if ratio >= BAR else "MISSED"
    same = "the same documents" if kept == our_kept else f"{len(kept ^ our_kept)} differ: MISSED"
    print(f"\n{ratio:.1f} times as fast (bar {BAR:.0f}: {verdict}); removed: {same}; "
          f"our peak: {peak / 2**20:.0f} MiB")
    return 0 if kept == our_kept and ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
