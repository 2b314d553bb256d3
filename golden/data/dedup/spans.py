"""Makes `spans.json` beside this script: what datatrove's SentenceDedup leaves of some documents.

    python3 golden/data/dedup/spans.py

Written by datatrove 0.10.1 with spaCy 3.8.18 and xxhash 3.8.2.

`spans.json` is a list of cases:
    unit, units_per_span, min_words, min_sentences    settings
    documents   texts in the order in which they are read
    kept        number and text of those that are left
"""

import json
import pathlib
import random
import shutil
import tempfile

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import SentenceDedupFilter, SentenceDedupSignature, SentenceFindDedups
from datatrove.pipeline.dedup.sentence_dedup import SentDedupConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

HERE = pathlib.Path(__file__).parent
WORDS = """river stone lamp 12 3.5 Monday café U.S. walked slowly under the old bridge near a town
of quiet people who never knew "why" it was so (they said)""".split()
CASES = [("line", 1, 0, 0), ("line", 2, 12, 2), ("sentence", 3, 50, 3), ("sentence", 1, 0, 1)]


def corpus(seed):
    """Documents whose sentences come from a pool, some of them in runs."""
    generator = random.Random(seed)

    def sentence():
        words = generator.choices(WORDS, k=generator.randint(2, 12))
        return " ".join(words).capitalize() + generator.choice([".", "!", "?", "...", '."', ""])

    pool = [[sentence() for _ in range(generator.randint(1, 5))] for _ in range(12)]
    documents = []
    for _ in range(40):
        pieces = []
        for _ in range(generator.randint(1, 6)):
            pieces += generator.choice(pool) if generator.random() < 0.4 else [sentence()]
        gaps = generator.choices([" ", "\n", "  ", "\n\n", "\r\n", "\u2028"], [6, 6, 1, 2, 1, 1],
                                 k=len(pieces))
        documents.append("".join(piece + gap for piece, gap in zip(pieces, gaps)).strip())
    return documents


def left(documents, config):
    """Number and text of what the three stages leave."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "in").mkdir()
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(documents)]
    (folder / "in/0.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    reader = JsonlReader(f"{folder}/in")
    for pipeline in [
        [reader, SentenceDedupSignature(f"{folder}/sig", config=config)],
        [SentenceFindDedups(f"{folder}/sig", f"{folder}/dup", config=config)],
        [reader, SentenceDedupFilter(f"{folder}/dup", config=config),
         JsonlWriter(f"{folder}/out", compression=None)],
    ]:
        LocalPipelineExecutor(pipeline, tasks=1).run()
    out = (folder / "out/00000.jsonl").read_text(encoding="utf-8").split("\n")
    shutil.rmtree(folder)
    records = [json.loads(line) for line in out if line]
    return [[int(record["id"]), record["text"]] for record in records]


def main():
    cases = []
    for seed, (unit, length, words, sentences) in enumerate(CASES):
        config = SentDedupConfig(n_sentences=length, split_sentences=unit == "sentence",
                                 min_doc_words=words, min_num_sentences=sentences)
        documents = corpus(seed)
        cases.append({"unit": unit, "units_per_span": length, "min_words": words,
                      "min_sentences": sentences, "documents": documents,
                      "kept": left(documents, config)})
    text = json.dumps(cases, ensure_ascii=True, indent=1)
    (HERE / "spans.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
