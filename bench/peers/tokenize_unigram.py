#!/usr/bin/env python3
"""Unigram vocabularies: Danlu beside sentencepiece, one Markdown table.

    pip install sentencepiece==0.2.3 tokenizers==0.23.3
    cargo build --release -p danlu
    python3 bench/peers/tokenize_unigram.py TEXTS [TEXTS ..] [--vocab-size 8000] [--megabytes 20]

TEXTS has an object with `text` on each line; nine documents in ten are learned from, the tenth is
measured. sentencepiece learns with its own defaults but: text as it is, digits one by one, bytes
for what it has no token for, runs of spaces and line ends as tokens, so that both spell all of the
text. The bar: at most 3 % more tokens than sentencepiece. The ids of `tokenizers`, which reads what
Danlu wrote, must be Danlu's.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import sentencepiece
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DANLU = ROOT / "target/release/danlu"
BAR = 1.03


def danlu(*arguments):
    done = subprocess.run([str(DANLU), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def read(path, megabytes):
    texts, size = [], 0
    with open(path, encoding="utf-8") as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            size += len(texts[-1].encode())
            if size > megabytes * 1e6:
                break
    return texts


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def digest(all_ids):
    sha = hashlib.sha256()
    for ids in all_ids:
        sha.update(b"".join(number.to_bytes(4, "little") for number in [len(ids), *ids]))
    return sha.hexdigest()


def compare(path, folder, args):
    texts = read(path, args.megabytes)
    learned = [text for index, text in enumerate(texts) if index % 10]
    measured = texts[::10]
    size = sum(len(text.encode()) for text in measured)
    train, held = folder / "train.jsonl", folder / "held.jsonl"
    write(train, learned)
    write(held, measured)
    rows = {}
    for kind in ("unigram", "bpe"):
        started = time.perf_counter()
        danlu("tokenizer", "train", train, "--kind", kind, "--vocab-size", args.vocab_size,
              "--out", folder / kind, "--json")
        seconds = time.perf_counter() - started
        said = danlu("bench", "encode", folder / kind, "--text", held, "--rounds", 1, "--json")
        rows[f"danlu {kind}"] = (seconds, said["tokens"])
        if kind == "unigram":
            library = tokenizers.Tokenizer.from_file(str(folder / kind / "tokenizer.json"))
            library.encode_special_tokens = True
            equal = digest(library.encode(text).ids for text in measured) == said["digest"]
    lines = folder / "lines.txt"
    lines.write_text("\n".join(text.replace("\n", "\u2028") for text in learned))
    started = time.perf_counter()
    sentencepiece.SentencePieceTrainer.train(
        input=str(lines), model_prefix=str(folder / "sp"), vocab_size=args.vocab_size,
        model_type="unigram", normalization_rule_name="identity", split_digits=True,
        byte_fallback=True, remove_extra_whitespaces=False, add_dummy_prefix=False,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=["\u2028"], max_sentence_length=1 << 24, num_threads=2,
        minloglevel=2)
    seconds = time.perf_counter() - started
    peer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
    tokens = sum(len(peer.encode(text.replace("\n", "\u2028"))) for text in measured)
    rows[f"sentencepiece {sentencepiece.__version__}"] = (seconds, tokens)
    ratio = rows["danlu unigram"][1] / tokens
    name = pathlib.Path(path).stem
    for trainer, (seconds, count) in rows.items():
        print(f"| {name} | {trainer} | {seconds:.1f} | {size / count:.3f} |")
    print(f"| {name} | danlu unigram / sentencepiece: {ratio:.3f} times the tokens; bar {BAR}; ids "
          f"{'equal' if equal else 'DIFFER'} | | |", flush=True)
    return ratio <= BAR and equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--megabytes", type=float, default=20)
    args = parser.parse_args()
    print("| text | trainer | seconds | bytes a token, held out |\n|---|---|---|---|")
    kept = True
    for path in args.texts:
        with tempfile.TemporaryDirectory() as folder:
            kept &= compare(path, pathlib.Path(folder), args)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
