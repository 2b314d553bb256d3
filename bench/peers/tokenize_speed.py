#!/usr/bin/env python3
"""Text to ids and the training of vocabularies: Danlu beside its peers, one Markdown table each.

    cargo build --release -p danlu
    python3 bench/peers/tokenize_speed.py encode VOCABULARY FILE TEXTS [--lines] [--megabytes 6]
    python3 bench/peers/tokenize_speed.py train SPLIT TEXTS [--vocab-size 32000] [--peers ...]

encode: VOCABULARY is gpt2, cl100k, o200k (FILE: the tiktoken file) or another name (FILE: a
tokenizer.json). TEXTS has an object with `text` on each line; --lines makes each line of these a
text of its own, but blank ones. Every encoder takes the texts one by one on one thread; the ids of
all must be equal.
train: SPLIT is danlu, gpt2 or cl100k: how text is cut. All trainers read the same file, on 2
threads.
Danlu's time is that of the whole process, the peers' that of training without their imports; memory
is the peak of each process. The vocabulary and the merges must be those of `tokenizers`.

Rounds are interleaved (A B C A B C), medians are shown. Needs tokenizers, tiktoken and rustbpe, and
cargo for the encoders written in Rust, which are built in target/tokenize-peer.
"""

import argparse
import array
import hashlib
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DANLU = ROOT / "target/release/danlu"
PEER = ROOT / "target/tokenize-peer"
CRATES = {"bpe": "bpe-openai", "tiktoken-rs": "tiktoken-rs", "tokenizers": "tokenizers"}
MANIFEST = """\
[package]
name = "tokenize-peer"
version = "0.0.0"
edition = "2024"

[workspace]

[[bin]]
name = "tokenize-peer"
path = "{source}"

[dependencies]
bpe-openai = "=0.3.2"
serde_json = "1"
sha2 = "0.11"
tiktoken-rs = "=0.12.1"
tokenizers = {{ version = "=0.23.2", default-features = false, features = ["onig"] }}
"""
SPLITS = {
    "danlu": r"'(?:[sdmtSDMT]|ll|LL|ve|VE|re|RE)|\p{Han}+| ?[\p{L}\p{M}&&\P{Han}]+|\p{N}"
             r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    # As tokenizer.json files spell it: `tokenizers` reads tiktoken's `{1,3}+` as any number.
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BARS = {"tokenizers": 10.0, "tokenizers (Rust)": 10.0, "tiktoken": 2.0, "tiktoken-rs": 2.0,
        "bpe": 1.2}
TRAIN_BARS = {"tokenizers": 4.0, "rustbpe": 2.0}


def read(corpus, megabytes, lines):
    texts, size = [], 0
    with open(corpus, encoding="utf-8") as file:
        for line in file:
            text = json.loads(line)["text"]
            texts += [part for part in text.splitlines(True) if part.strip()] if lines else [text]
            size += len(text.encode())
            if size > megabytes * 1e6:
                break
    return texts, sum(len(text.encode()) for text in texts)


def digest(all_ids):
    sha = hashlib.sha256()
    for ids in all_ids:
        sha.update(array.array("I", [len(ids), *ids]).tobytes())
    return sha.hexdigest()


def run(command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          **options)
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stderr}")
    return done.stdout


def rust_peer():
    """The program beside this file, built."""
    PEER.mkdir(parents=True, exist_ok=True)
    source = pathlib.Path(__file__).with_name("tokenize_peer.rs")
    (PEER / "Cargo.toml").write_text(MANIFEST.format(source=source))
    run(["cargo", "build", "--release", "--quiet", "--manifest-path", PEER / "Cargo.toml",
         "--target-dir", PEER / "target"])
    return PEER / "target/release/tokenize-peer"


def tiktoken_encoding(vocabulary, file):
    """OpenAI's own definition of the vocabulary, read from `file`."""
    import tiktoken
    import tiktoken.load
    import tiktoken_ext.openai_public as public

    load = tiktoken.load.load_tiktoken_bpe
    public.load_tiktoken_bpe = lambda _, expected_hash=None: load(str(file))
    names = {"gpt2": "r50k_base", "cl100k": "cl100k_base", "o200k": "o200k_base"}
    return tiktoken.Encoding(**getattr(public, names[vocabulary])())


def python_encoder(name, vocabulary, file):
    """A function of all texts to their ids."""
    if name == "tiktoken":
        encode = tiktoken_encoding(vocabulary, file).encode_ordinary
        return lambda texts: [encode(text) for text in texts]
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.encode_special_tokens = True
    return lambda texts: [
        encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]


def in_process(name, vocabulary, file, texts):
    encode = python_encoder(name, vocabulary, file)
    facts = {}

    def measure():
        started = time.perf_counter()
        ids = encode(texts)
        seconds = time.perf_counter() - started
        if not facts:
            facts.update(digest=digest(ids), tokens=sum(map(len, ids)))
        return {"seconds": [seconds], **facts}

    return measure


def encoders(vocabulary, file, texts, folder, peers):
    """Each encoder as a function that measures it once."""
    lines = pathlib.Path(folder) / "texts.jsonl"
    lines.write_text("".join(json.dumps(text) + "\n" for text in texts))
    objects = pathlib.Path(folder) / "objects.jsonl"
    objects.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    danlu = [DANLU, "bench", "encode", file, "--text", objects, "--threads", 1, "--json"]
    made = {"danlu": lambda: json.loads(run(danlu))}
    for name in peers:
        if name in CRATES:
            key = file if name == "tokenizers" else vocabulary
            command = [rust_peer(), name, key, lines, 1]
            title = "tokenizers (Rust)" if name == "tokenizers" else name
            made[title] = lambda command=command: json.loads(run(command))
        else:
            name = name.removesuffix("-python")
            made[name] = in_process(name, vocabulary, file, texts)
    return made


def version(name):
    if name == "danlu":
        return run([DANLU, "--version"]).split()[-1]
    crate = {"bpe": "bpe-openai", "tokenizers (Rust)": "tokenizers"}.get(name, name)
    if name in ("bpe", "tiktoken-rs", "tokenizers (Rust)"):
        lock = (PEER / "Cargo.lock").read_text().split("[[package]]")
        return next(part.split('"')[3] for part in lock if f'name = "{crate}"' in part)
    return importlib.metadata.version(name)


def encode(args):
    openai = args.vocabulary in ("gpt2", "cl100k", "o200k")
    peers = args.peers or (["tiktoken", "tiktoken-rs"] if openai else
                           ["tokenizers-python", "tokenizers"])
    if not args.peers and args.vocabulary in ("cl100k", "o200k"):
        peers.append("bpe")
    texts, size = read(args.texts, args.megabytes, args.lines)
    with tempfile.TemporaryDirectory() as folder:
        measured = encoders(args.vocabulary, args.file, texts, folder, peers)
        results = {name: [] for name in measured}
        for _ in range(args.rounds):
            for name, measure in measured.items():
                results[name].append(measure())
    ours = results["danlu"][0]
    print(f"{args.vocabulary}, {pathlib.Path(args.texts).stem}: {size / 1e6:.1f} MB in "
          f"{len(texts)} texts, 1 thread, median of {args.rounds}\n")
    print("| encoder | MB/s | danlu is faster by | bar | ids |\n|---|---|---|---|---|")
    speeds = {name: size / 1e6 / statistics.median(
        statistics.median(run["seconds"]) for run in runs) for name, runs in results.items()}
    bad = 0
    for name, runs in results.items():
        equal = all(run["digest"] == ours["digest"] for run in runs)
        bad += not equal
        ratio = "" if name == "danlu" else f"{speeds['danlu'] / speeds[name]:.1f}"
        print(f"| {name} {version(name)} | {speeds[name]:.1f} | {ratio} | {BARS.get(name, '')} | "
              f"{'equal' if equal else 'DIFFER'}, {runs[0]['tokens']} |")
    return bad


def peer_train(args):
    """Trains with a peer, as a process of its own: prints seconds and writes what was learned."""
    def texts():
        with open(args.texts, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)["text"]

    if args.name == "rustbpe":
        import rustbpe

        started = time.perf_counter()
        tokenizer = rustbpe.Tokenizer()
        tokenizer.train_from_iterator(texts(), args.vocab_size, pattern=SPLITS[args.split])
    else:
        import tokenizers
        from tokenizers import models, pre_tokenizers, trainers

        started = time.perf_counter()
        tokenizer = tokenizers.Tokenizer(models.BPE())
        if args.split == "gpt2":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(tokenizers.Regex(SPLITS[args.split]), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ])
        tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(
            vocab_size=args.vocab_size, min_frequency=2, show_progress=False,
            special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        tokenizer.save(args.out)
    print(json.dumps({"seconds": time.perf_counter() - started}))


def measured_process(command):
    """Wall seconds, peak resident MiB and output of a process."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out,
                                   env={**os.environ, "RAYON_NUM_THREADS": "2"})
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"{command[0]} failed")
        out.seek(0)
        return time.perf_counter() - started, usage.ru_maxrss / 1024, out.read()


def learned(path):
    model = json.loads(pathlib.Path(path).read_text())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def train(args):
    peers = args.peers or ["tokenizers", "rustbpe"]
    results = {name: [] for name in ["danlu", *peers]}
    with tempfile.TemporaryDirectory() as folder:
        theirs = pathlib.Path(folder) / "theirs.json"
        for _ in range(args.rounds):
            seconds, mib, _ = measured_process(
                [DANLU, "tokenizer", "train", args.texts, "--vocab-size", args.vocab_size,
                 "--split", args.split, "--out", folder, "--json"])
            results["danlu"].append((seconds, mib))
            for name in peers:
                _, mib, out = measured_process(
                    [sys.executable, __file__, "peer-train", args.split, args.texts, "--vocab-size",
                     args.vocab_size, "--name", name, "--out", theirs])
                results[name].append((json.loads(out)["seconds"], mib))
        bad = 0
        if "tokenizers" in peers:
            ours, reference = learned(f"{folder}/tokenizer.json"), learned(theirs)
            same = sum(a == b for a, b in zip(ours[1], reference[1]))
            bad = ours != reference
            print(f"vocabulary {'equal' if ours[0] == reference[0] else 'DIFFERS'}, merges "
                  f"{'equal' if ours[1] == reference[1] else 'DIFFER'}: {len(ours[1])} and "
                  f"{len(reference[1])}, {same} at the same place\n")
    size = pathlib.Path(args.texts).stat().st_size / 1e6
    print(f"{args.vocab_size} ids, split {args.split}, {pathlib.Path(args.texts).name} "
          f"{size:.1f} MB, 2 threads, median of {args.rounds}\n")
    print("| trainer | seconds | peak MiB | danlu is faster by | bar |\n|---|---|---|---|---|")
    medians = {name: [statistics.median(column) for column in zip(*runs)]
               for name, runs in results.items()}
    for name, (seconds, mib) in medians.items():
        ratio = "" if name == "danlu" else f"{seconds / medians['danlu'][0]:.1f}"
        print(f"| {name} {version(name)} | {seconds:.2f} | {mib:.0f} | {ratio} | "
              f"{TRAIN_BARS.get(name, '')} |")
    return bad


def main():
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if "encode" in sys.argv[1:2] else "true"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("encode")
    one.add_argument("vocabulary")
    one.add_argument("file", type=pathlib.Path)
    one.add_argument("texts")
    one.add_argument("--lines", action="store_true")
    one.add_argument("--megabytes", type=float, default=6)
    for name in ("train", "peer-train"):
        two = commands.add_parser(name)
        two.add_argument("split", choices=SPLITS)
        two.add_argument("texts")
        two.add_argument("--vocab-size", type=int, default=32000)
        two.add_argument("--name")
        two.add_argument("--out")
    for command in commands.choices.values():
        command.add_argument("--rounds", type=int, default=3)
        command.add_argument("--peers", nargs="*")
    args = parser.parse_args()
    if args.command == "peer-train":
        return peer_train(args)
    return encode(args) if args.command == "encode" else train(args)


if __name__ == "__main__":
    sys.exit(main() or 0)
