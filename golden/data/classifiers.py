"""Makes small fastText models of every kind, and what fastText says of some texts with them.

    python classifiers.py FOLDER

Written against fasttext-numpy2-wheel 0.9.2 and Faker 40.63.0. A row of cases.jsonl has a text and
for each model the best label, its score, and the score of the model's first label.
"""
import json, os, random, sys, tempfile

import fasttext
from faker import Faker

LANGUAGES = ["fr_FR", "de_DE", "es_ES", "cs_CZ", "ru_RU", "zh_CN", "ja_JP", "ko_KR", "en_US"]
COMMON = {"epoch": 20, "lr": 0.1, "thread": 1, "verbose": 0, "minCount": 3}
MODELS = {
    "tree.bin": {"loss": "hs", "dim": 6, "minn": 1, "maxn": 3, "wordNgrams": 2, "bucket": 700},
    "softmax.bin": {"loss": "softmax", "dim": 4, "wordNgrams": 3, "bucket": 500},
    "all.bin": {"loss": "ova", "dim": 8, "wordNgrams": 2, "bucket": 200},
    "negative.bin": {"loss": "ns", "dim": 4, "minn": 2, "maxn": 2, "bucket": 300},
}
QUANTISED = {
    "whole.ftz": ("tree.bin", {"dsub": 4}),
    "cut.ftz": ("tree.bin", {"dsub": 2, "cutoff": 600, "qnorm": True}),
    "words.ftz": ("all.bin", {"dsub": 2, "cutoff": 300}),
}
ODD = ["", " \t", "</s>", "a </s> Ich bin", "__label__en_US", "__label__other x", "a\0b Haus",
       "x" * 300, "\u3000全角 空白", "🙂", "\u00a0nbsp", "Ich\x0bbin\x0c"]



def train(path, settings):
    """Once more where fastText meets NaN in memory that it had not cleared."""
    while True:
        try:
            return fasttext.train_supervised(path, **COMMON, **settings)
        except RuntimeError:
            continue


folder = sys.argv[1]
rng = random.Random(5)
Faker.seed(5)
lines = []
for number in range(1500):
    language = LANGUAGES[min(rng.randrange(len(LANGUAGES)), rng.randrange(len(LANGUAGES)))]
    lines.append((language, Faker(language).sentence()))
texts = [Faker(rng.choice(LANGUAGES)).sentence() for _ in range(60)]
texts += [" ".join(Faker(rng.choice(LANGUAGES)).sentences(6)) for _ in range(20)] + ODD
with tempfile.NamedTemporaryFile("w", suffix=".txt") as training:
    training.writelines(f"__label__{language} {text}\n" for language, text in lines)
    training.flush()
    models = {}
    for name, settings in MODELS.items():
        models[name] = train(training.name, settings)
        models[name].save_model(os.path.join(folder, name))
    for name, (source, settings) in QUANTISED.items():
        models[name] = fasttext.load_model(os.path.join(folder, source))
        models[name].quantize(input=training.name, **settings)
        models[name].save_model(os.path.join(folder, name))
for name in models:
    models[name] = fasttext.load_model(os.path.join(folder, name))
with open(os.path.join(folder, "cases.jsonl"), "w") as out:
    for text in texts:
        row = {"text": text}
        for name, model in models.items():
            labels, scores = model.predict(text)
            first = model.get_labels()[0]
            every = dict(zip(*model.predict(text, k=-1)))
            cut = lambda label: label.removeprefix("__label__")
            if labels:
                row[name] = [cut(labels[0]), scores[0].item(), every.get(first, 0).item()
                             if first in every else 0.0]
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
