"""Compares the step `language` with fastText: labels, scores, speed.

    PYTHON classifiers.py MODEL TEXTS.jsonl [ROUNDS]

Written against fasttext-numpy2 0.10.4, whose Python runs this; both on one thread, by turns,
medians of ROUNDS (5). TEXTS has a document with `text` on each line; classifiers_texts.py makes
one of many languages. Line ends are blanks, as datatrove has it. Ours is `cargo build --release
-p danlu-data --example filters`; FILTERS=PATH names another.
"""
import json, os, statistics, subprocess, sys, tempfile, time

import fasttext

PROGRAM = os.environ.get("FILTERS") or "target/release/examples/filters"


def ours(model, folder, rows):
    files = "steps.json", "in.jsonl", "out.jsonl"
    sets, texts, out = (os.path.join(folder, name) for name in files)
    step = {"name": "language", "model": os.path.abspath(model), "min_score": 0}
    json.dump({"language": [step]}, open(sets, "w"))
    with open(texts, "w") as f:
        for number, text in enumerate(rows):
            f.write(json.dumps({"id": str(number), "text": text, "meta": {}}) + "\n")
    start = time.perf_counter()
    subprocess.run([PROGRAM, sets, texts, out, "1"], check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    metas = [json.loads(line).get("language_meta") for line in open(out)]
    answers = [(meta["language"], meta["language_score"]) if meta else None for meta in metas]
    return answers, seconds


def theirs(model, rows):
    start = time.perf_counter()
    loaded = fasttext.load_model(model)
    answers = []
    for text in rows:
        labels, scores = loaded.predict(text.replace("\n", " "))
        answers.append((labels[0].removeprefix("__label__"), scores[0].item()) if labels else None)
    return answers, time.perf_counter() - start


def main():
    model, texts, *rest = sys.argv[1:]
    rows = [json.loads(line)["text"] for line in open(texts)]
    times = [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(int(rest[0]) if rest else 5):
            left, seconds = ours(model, folder, rows)
            times[0].append(seconds)
            right, seconds = theirs(model, rows)
            times[1].append(seconds)
    both = list(zip(left, right))
    other = [pair for pair in both if (pair[0] or [None])[0] != (pair[1] or [None])[0]]
    largest = max(abs(a[1] - b[1]) for a, b in both if a and b and a[0] == b[0])
    for pair in other[:20]:
        print("differ:", *pair)
    languages = len({answer[0] for answer in right if answer})
    print(f"{len(rows)} texts in {languages} languages: {len(rows) - len(other)} labels equal, "
          f"scores within {largest:.1e}")
    size = sum(len(text.encode()) for text in rows) / 1e6
    fast, slow = (statistics.median(some) for some in times)
    print(f"danlu {size / fast:.1f} MB/s (with start and files), fastText {size / slow:.1f} MB/s, "
          f"ratio {slow / fast:.1f}x")


main()
