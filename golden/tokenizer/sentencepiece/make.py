#!/usr/bin/env python3
"""Small SentencePiece models and the ids that SentencePiece itself gives hard texts.

    python golden/tokenizer/sentencepiece/make.py    # rewrites *.model and golden.json beside this

Needs the packages sentencepiece and those of bench/peers/requirements.txt; the versions used stand
in golden.json. The models are trained on golden/tokenizer/text.txt.
`golden.json`
    texts       hard texts: those of ../make.py, and random ones of a fixed seed
    models      name: ids of each text; `decoded`, what the ids become again (null where a piece is
                unknown); pieces: text, score, type
"""

import json
import pathlib
import sys

import sentencepiece

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from vectors import texts  # noqa: E402

PLAIN = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
MODELS = {
    # As LLaMA's: bytes for what has no piece, a dummy prefix, text left as it is.
    "bpe-bytes": {"model_type": "bpe", "vocab_size": 1100, "byte_fallback": True, **PLAIN},
    # As Gemma's: no dummy prefix, pieces that users define.
    "bpe-user": {
        "model_type": "bpe",
        "vocab_size": 1100,
        "byte_fallback": True,
        "add_dummy_prefix": False,
        "user_defined_symbols": ["<think>", "▁▁"],
        **PLAIN,
    },
    # The unknown piece, and runs of spaces that become one.
    "unigram": {"model_type": "unigram", "vocab_size": 800, "normalization_rule_name": "identity"},
    # As T5's and XLM-R's: text is rewritten by a character map.
    "unigram-nfkc": {"model_type": "unigram", "vocab_size": 800},
}


def purpose(model, id):
    """The piece's type, numbered as in the format and in GGUF."""
    if model.is_unknown(id):
        return 2
    if model.is_control(id):
        return 3
    return 6 if model.is_byte(id) else 1


def main():
    # SentencePiece's map knows single characters, the pipeline's whole graphemes: where a mark
    # follows a character that the map rewrites, they differ, and this is not tested.
    chosen = [text for text in texts()[:220] if "\u0301" not in text and "\r\n" not in text]
    golden = {
        "versions": {"sentencepiece": sentencepiece.__version__},
        "texts": chosen,
        "models": {},
    }
    for name, options in MODELS.items():
        sentencepiece.SentencePieceTrainer.train(
            input=str(HERE.parent / "text.txt"),
            model_prefix=str(HERE / name),
            minloglevel=2,
            character_coverage=0.98,
            hard_vocab_limit=False,
            num_threads=1,
            **options,
        )
        (HERE / f"{name}.vocab").unlink()
        reference = sentencepiece.SentencePieceProcessor(model_file=str(HERE / f"{name}.model"))
        ids = [reference.encode(text) for text in chosen]
        unknown = reference.unk_id()
        decoded = [None if unknown in one else reference.decode(one) for one in ids]
        pieces = [
            [reference.id_to_piece(id), reference.get_score(id), purpose(reference, id)]
            for id in range(reference.vocab_size())
        ]
        golden["models"][name] = {"ids": ids, "decoded": decoded, "pieces": pieces}
    lines = json.dumps(golden, separators=(",", ":"))
    lines = lines.replace("[[", "[\n[").replace("],[", "],\n[")
    (HERE / "golden.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
