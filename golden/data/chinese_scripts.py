"""Makes texts with what OpenCC makes of them in both directions: chinese_scripts.jsonl.

    PYTHON chinese_scripts.py CORPUS.jsonl .. > chinese_scripts.jsonl

Written against OpenCC 1.4.2, whose Python runs this. The texts are lines of the corpora's Chinese
documents, drawn by a seed, and some that try the corners.
"""
import json, random, sys

import opencc

rng = random.Random(11)
to_simplified, to_traditional = opencc.OpenCC("t2s"), opencc.OpenCC("s2t")
lines = []
for path in sys.argv[1:]:
    for line in open(path):
        lines += [part for part in json.loads(line)["text"].split("\n") if 8 <= len(part) <= 200]
texts = rng.sample(lines, 200)
texts += ["\uf900\u2f800 乾\ufa0e", "⿰木目乾", "⿱艹⿰木", "a头发b", "後天后", "「」『』“”‘’", ""]
for text in texts:
    row = {"text": text, "simplified": to_simplified.convert(text),
           "traditional": to_traditional.convert(text)}
    print(json.dumps(row, ensure_ascii=False))
