"""Trains a quality classifier with `danlu data classifier` and with fastText, and judges both.

    PYTHON quality.py GOOD.jsonl OTHER.jsonl [DOCUMENTS]

Written against fasttext-numpy2-wheel 0.9.2, whose Python runs this and applies both models, so ours
is also shown to be read by it. Of DOCUMENTS (5000) of each file, spread over it, every fifth
judges. Both have the same settings; fastText runs with two threads. DANLU=PATH names another
program.
"""
import json, os, subprocess, sys, tempfile, time

import fasttext

PROGRAM = os.environ.get("DANLU") or "target/release/danlu"


def spread(path, count):
    lines = open(path).readlines()
    step = max(1, len(lines) // count)
    return [json.loads(line)["text"] for line in lines[::step]][:count]


def accuracy(model, rows):
    right = 0
    for label, text in rows:
        labels, _ = model.predict(text.replace("\n", " "))
        right += labels == (f"__label__{label}",)
    return right / len(rows)


def main():
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    kinds = dict(zip(("positive", "negative"), (spread(path, count) for path in sys.argv[1:3])))
    rows = [(label, text) for label, texts in kinds.items() for text in texts]
    judges = rows[::5]
    learnt = [row for number, row in enumerate(rows) if number % 5]
    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: os.path.join(folder, name)
        command = [PROGRAM, "data", "classifier", "-o", place("ours.bin"), "--json"]
        for label in kinds:
            with open(place(f"{label}.jsonl"), "w") as f:
                for number, (of, text) in enumerate(learnt):
                    if of == label:
                        f.write(json.dumps({"id": str(number), "text": text}) + "\n")
            command += [f"--{label}", place(f"{label}.jsonl")]
        with open(place("train.txt"), "w") as f:
            # In an order that has nothing to do with the labels.
            for label, text in sorted(learnt, key=lambda row: row[1][::-1]):
                f.write(f"__label__{label} " + text.replace("\n", " ") + "\n")
        start = time.perf_counter()
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        ours = time.perf_counter() - start
        start = time.perf_counter()
        theirs = fasttext.train_supervised(
            place("train.txt"), epoch=5, lr=0.5, dim=16, wordNgrams=2, bucket=500_000, minCount=2,
            thread=2, verbose=0)
        slow = time.perf_counter() - start
        model = fasttext.load_model(place("ours.bin"))
        print("danlu says of itself:", said.strip())
        print(f"accuracy on {len(judges)} documents: danlu {accuracy(model, judges):.4f} in "
              f"{ours:.1f} s, fastText {accuracy(theirs, judges):.4f} in {slow:.1f} s")


main()
