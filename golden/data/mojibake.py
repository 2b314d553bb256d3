"""Makes damaged and sound lines with what ftfy makes of them: mojibake.jsonl.

    python mojibake.py > mojibake.jsonl

Written against ftfy 6.3.1 and Faker 40.63.0, whose sentences are in many languages. A row has
`before` and `after`; ftfy's `fix_encoding` must give the sentence back, or the row is left out.
"""
import json, random

import ftfy
from faker import Faker

rng = random.Random(3)
Faker.seed(3)
LANGUAGES = ["fr_FR", "de_DE", "es_ES", "pt_BR", "cs_CZ", "pl_PL", "ru_RU", "el_GR", "zh_CN",
             "ja_JP", "ko_KR", "tr_TR", "en_US"]
QUOTES = ["“{}”", "‘{}’", "«{}» …", "{} – €5", "„{}“", "{}"]


def damaged(text, times):
    for _ in range(times):
        data = text.encode()
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text


for number in range(20 * len(LANGUAGES)):
    sentence = Faker(LANGUAGES[number % len(LANGUAGES)]).sentence()
    after = rng.choice(QUOTES).format(sentence)
    before = damaged(after, rng.choice([0, 1, 1, 2]))
    if ftfy.fix_encoding(before) == after:
        print(json.dumps({"before": before, "after": after}, ensure_ascii=False))
