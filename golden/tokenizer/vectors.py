#!/usr/bin/env python3
"""Vectors of published vocabularies, for `crates/tokenizer/examples/vectors.rs`.

    python golden/tokenizer/vectors.py FOLDER [--ggml-vocab DIR] [--published DIR]... \\
        [--tiktoken DIR] [--gpt2 DIR] [--sentencepiece DIR]
    cargo run --release -p danlu-tokenizer --example vectors -- FOLDER
    python golden/tokenizer/vectors.py FOLDER --check

    --ggml-vocab     llama.cpp's models/: ggml-vocab-*.gguf, with *.inp and *.out where it has them;
                     needs the package gguf
    --published      a folder with a tokenizer.json; the reference is `tokenizers`
    --tiktoken       a folder with *.tiktoken files; the reference is `tiktoken`
    --gpt2           a folder with encoder.json and vocab.bpe; the reference is `tiktoken`
    --sentencepiece  a folder with *.model files; the reference is `sentencepiece`
    --check          reads the tokenizer.json files that the example wrote with `tokenizers`

Texts: those of make.py, of the *.inp files, and random ones of a fixed seed.
"""

import argparse
import json
import pathlib
import random

from make import TEXTS

HARD = (
    "".join(chr(c) for c in range(0x20, 0x7F))
    + " \t\n\r  　éÅÅßſ中文字符，。かなカナ한국어אבגع١٢٣½Ⅷ👍🏽🇨🇳\u0301\u200b\u200d\ufeff▁"
)


def texts():
    """Fixed texts and random ones; text without a lone surrogate or NUL."""
    source = random.Random(20260726)
    made = [text for text in TEXTS if text]
    words = [
        "the",
        " The",
        "ing",
        "'ll",
        "'S",
        "  ",
        "\n\n",
        "\r\n",
        "123",
        "１２",
        "中国",
        "，",
        "…",
        "▁",
    ]
    words += [
        " hello",
        "World",
        "é",
        "👍",
        "\t",
        "a" * 20,
        " " * 9,
        "<s>",
        "<0x0A>",
        "...",
        "=====",
        "x²",
    ]
    for _ in range(300):
        made.append("".join(source.choice(HARD) for _ in range(source.randrange(1, 40))))
        made.append("".join(source.choice(words) for _ in range(source.randrange(1, 25))))
    return made


def write(folder, name, vectors):
    (folder / f"{name}.vectors.json").write_text(json.dumps(vectors, ensure_ascii=False))
    print(f"{name}: {len(vectors['cases'])} texts")


def gguf_vocabulary(path):
    import gguf

    fields = gguf.GGUFReader(path).fields
    vocabulary = {}
    for key, field in fields.items():
        name = key.removeprefix("tokenizer.ggml.")
        if key == "tokenizer.chat_template":
            name = "chat_template"
        elif name == "token_type":
            name = "token_types"
        if name in (
            "model",
            "pre",
            "tokens",
            "scores",
            "token_types",
            "merges",
            "chat_template",
            "bos_token_id",
            "eos_token_id",
            "eot_token_id",
            "unknown_token_id",
            "padding_token_id",
            "add_bos_token",
            "add_eos_token",
            "add_space_prefix",
            "remove_extra_whitespaces",
            "precompiled_charsmap",
        ):
            vocabulary[name] = field.contents()
    return vocabulary


def ggml_vocab(folder, models):
    for path in sorted(models.glob("ggml-vocab-*.gguf")):
        inputs, outputs = path.with_name(path.name + ".inp"), path.with_name(path.name + ".out")
        cases = []
        if inputs.exists():
            given = inputs.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
            expected = [
                [int(id) for id in line.split()] for line in outputs.read_text().split("\n")
            ]
            cases = [{"text": text, "ids": ids} for text, ids in zip(given, expected)]
        name = path.name.removeprefix("ggml-vocab-").removesuffix(".gguf")
        write(folder, f"gguf-{name}", {"gguf": gguf_vocabulary(path), "cases": cases})


def published(folder, source):
    import tokenizers

    file = source / "tokenizer.json"
    reference = tokenizers.Tokenizer.from_file(str(file))
    reference.no_padding()
    reference.no_truncation()
    reference.encode_special_tokens = True
    cases = [
        {"text": text, "ids": reference.encode(text, add_special_tokens=False).ids}
        for text in texts()
    ]
    name = source.name if source.name not in ("models", "model") else source.parent.name
    write(folder, f"json-{name}", {"path": str(source.resolve()), "cases": cases})


def tiktoken_files(folder, source):
    import tiktoken
    import tiktoken_ext.openai_public as public
    from tiktoken.load import load_tiktoken_bpe

    for file in sorted(source.glob("*.tiktoken")):
        public.load_tiktoken_bpe = lambda *_, file=file, **__: load_tiktoken_bpe(str(file))
        encoding = tiktoken.Encoding(**getattr(public, file.stem)())
        cases = [
            {"text": text, "ids": encoding.encode(text, disallowed_special=())} for text in texts()
        ]
        write(folder, f"tiktoken-{file.stem}", {"path": str(file.resolve()), "cases": cases})


def gpt2(folder, source):
    import tiktoken
    import tiktoken_ext.openai_public as public
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks

    public.data_gym_to_mergeable_bpe_ranks = lambda **_: data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(source / "vocab.bpe"), encoder_json_file=str(source / "encoder.json")
    )
    encoding = tiktoken.Encoding(**public.gpt2())
    cases = [
        {"text": text, "ids": encoding.encode(text, disallowed_special=())} for text in texts()
    ]
    write(folder, "pairs-gpt2", {"path": str(source.resolve()), "cases": cases})


def sentencepiece_files(folder, source):
    import sentencepiece

    for file in sorted(source.glob("*.model")):
        reference = sentencepiece.SentencePieceProcessor(model_file=str(file))
        cases = [{"text": text, "ids": reference.encode(text)} for text in texts()]
        write(folder, f"sentencepiece-{file.stem}", {"path": str(file.resolve()), "cases": cases})


def check(folder):
    import tokenizers

    for file in sorted(folder.glob("*.vectors.json")):
        name = file.name.removesuffix(".vectors.json")
        written = folder / f"{name}.out" / "tokenizer.json"
        if not written.exists():
            print(f"{name:24} was not written")
            continue
        reference = tokenizers.Tokenizer.from_file(str(written))
        reference.encode_special_tokens = True
        cases = json.loads(file.read_text())["cases"]
        same = sum(
            reference.encode(c["text"], add_special_tokens=False).ids == c["ids"] for c in cases
        )
        print(f"{name:24} {same} of {len(cases)} equal")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    for option in ("--ggml-vocab", "--tiktoken", "--gpt2", "--sentencepiece"):
        parser.add_argument(option, type=pathlib.Path)
    parser.add_argument("--published", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.ggml_vocab:
        ggml_vocab(given.folder, given.ggml_vocab)
    for source in given.published:
        published(given.folder, source)
    if given.tiktoken:
        tiktoken_files(given.folder, given.tiktoken)
    if given.gpt2:
        gpt2(given.folder, given.gpt2)
    if given.sentencepiece:
        sentencepiece_files(given.folder, given.sentencepiece)
    if given.check:
        check(given.folder)


if __name__ == "__main__":
    main()
