"""What the plain baselines reach on the held-out part of recipes/data: python3 bench/order5/run.py

Prints, for each language and for both, the bits per byte of held-out text of
- the order-5 character model (order5.rs, compiled here with rustc), trained on the training part
  of both languages together, as the model of the recipe is;
- xz -9 of the held-out text alone, and of it after the training text: xz(train + held out) less
  xz(train). Documents are joined by a line feed; the bytes divided by are the documents' own.

Needs python3 (standard library) and rustc. `--json` prints one JSON object.
"""

import argparse
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RECIPES = HERE.parent.parent / "recipes"
sys.path.insert(0, str(RECIPES / "corpus"))

from split import held_out  # noqa: E402

FILES = {"zh": "poems.jsonl", "en": "plays.jsonl"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    options = arguments.parse_args()
    train, heldout = {}, {}
    for language, name in FILES.items():
        train[language], heldout[language] = parts(RECIPES / "data" / name)
    train["both"] = train["zh"] + train["en"]
    heldout["both"] = heldout["zh"] + heldout["en"]
    rows = order5(train["both"], heldout)
    for language, row in rows.items():
        row["documents"] = len(heldout[language])
        alone, after = xz(heldout[language]), xz(train["both"] + heldout[language])
        row["xz_alone"] = 8 * alone / row["bytes"]
        row["xz_after_training_text"] = 8 * (after - xz(train["both"])) / row["bytes"]
    if options.json:
        print(json.dumps(rows))
        return
    print("| held out | documents | bytes | order-5 | xz -9 alone | xz -9 after training text |")
    print("|---|---|---|---|---|---|")
    for language, row in rows.items():
        print(f"| {language} | {row['documents']} | {row['bytes']} | {row['bits_per_byte']:.4f} "
              f"| {row['xz_alone']:.4f} | {row['xz_after_training_text']:.4f} |")


def parts(path):
    """(training texts, held-out texts) of a file; a repeated text counts once, the first time."""
    split = {False: [], True: []}
    seen = set()
    for line in path.open(encoding="utf-8"):
        document = json.loads(line)
        if document["text"] not in seen:
            seen.add(document["text"])
            split[held_out(document["id"])].append(document["text"])
    return split[False], split[True]


def xz(documents):
    """Bytes of `xz -9` of the documents, a line feed after each."""
    return len(lzma.compress("".join(text + "\n" for text in documents).encode(), preset=9))


def order5(train, heldout):
    """One row for each language, as the program prints it."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program = folder / "order5"
        source = str(HERE / "main.rs")
        command = ["rustc", "--edition=2024", "-O", "-o", str(program), source]
        subprocess.run(command, check=True)
        paths = []
        for name, documents in {"train": train, **heldout}.items():
            paths.append(folder / name)
            paths[-1].write_text("\0".join(documents), encoding="utf-8")
        printed = subprocess.run(
            [program, *paths], check=True, capture_output=True, text=True
        ).stdout
    return dict(zip(heldout, map(json.loads, printed.splitlines())))


if __name__ == "__main__":
    main()
