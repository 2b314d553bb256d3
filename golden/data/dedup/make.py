"""Makes `expected.json` beside this script: what datatrove makes of some English texts.

    python3 golden/data/dedup/make.py

Written by datatrove 0.10.1 with spaCy 3.8.18, xxhash 3.8.2 and numpy 2.4.6, at the defaults of its
MinhashConfig.

`expected.json`
    words       texts and their words, as signatures see them, joined by spaces
    signatures  texts and their signatures as hexadecimal numbers of 16 digits one after the other;
                none where a text has fewer words than an n-gram
    documents   texts in the order in which they are read
    removed     numbers of those documents that its four stages remove
"""

import json
import pathlib
import random
import shutil
import tempfile

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.text import simplify_text
from datatrove.utils.word_tokenizers import load_word_tokenizer

HERE = pathlib.Path(__file__).parent
CONFIG = MinhashConfig()
VOCABULARY = """a about after again air all along an and answer are as at away back be because been
before below between both boy but by came can't close could country cut day didn't different do
don't down each earth end even every eye far father few find first follow for found four from get
gonna good great hand hard have he head help her here him his home house how I'll if in into isn't
it just keep kind know land large last leave left let life light like line little live long look
made make man many may me men might mile more most mother move much must my name near need never
new next night no not now number of off often old on once one only open or other our out over own
page paper part people place plant play point read right river run said same saw say school sea
second see seem sentence set she should show side small so some something sometimes song soon
sound still stop story such take tell than that the their them then there these they thing think
this those thought three through time to together too took tree try turn two under until up us
use very walk want was watch water way we well went were what when where which while white who why
will wind with without word work world would write year you young your they've café naïve 3.5 12km
1,234 40 2024 5kg rock'n'roll U.S. e-mail x86_64 #1 50% "quoted" (so) Σίσυφος 東京 Straße
""".split()
TEXTS = [
    "I cannot; dont gonna, won't y'all? You'd've ... it's 'tis o'clock",
    "12 km, 3,5kg & 1.234.567 items at 50% (or $3.20) by 10:30am, 1990s, 2nd, x2, 7GB 8mb 9mph",
    "Café e\u0301 Ångström İstanbul ﬁne ẞ Straße Σίσυφος й",
    "a_b\u0009c\u001fd\u0085e\u00a0f\u2003g\u200bh\u2028i 1٫2 १२-١ ² ½ Ⅰ 𝟘",
    "白日依山盡，黃河入海流。 １２ ＡＢ 『欲』 mixed 東京 tower",
    "किताब กำ שָלוֹם العَ",
    "https://example.org/a-b_c?d=1&e=%20#f user@example.org C++ C# .NET \\n {x: [1, 2]} <b>t</b>",
    "one two three four",
    "",
]


def near(words, share, generator):
    """`words` with a share of them replaced."""
    return [generator.choice(VOCABULARY) if generator.random() < share else w for w in words]


def corpus():
    """Texts of some families whose members are more or less near, shuffled."""
    generator, texts = random.Random(4), []
    for family in range(14):
        base = [generator.choice(VOCABULARY) for _ in range(generator.randint(4, 90))]
        texts.append(base)
        for _ in range(family % 6):
            # Of the base or of the one before, so that some are near only through others.
            source = base if generator.random() < 0.5 else texts[-1]
            texts.append(near(source, generator.choice([0, 0.01, 0.02, 0.04, 0.1]), generator))
    generator.shuffle(texts)
    return [" ".join(words) for words in texts]


def removed(texts):
    """Numbers of the texts that the four stages remove."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "in").mkdir()
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)]
    (folder / "in/0.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    reader = JsonlReader(f"{folder}/in")
    for pipeline, tasks in [
        ([reader, MinhashDedupSignature(f"{folder}/sig", config=CONFIG)], 1),
        ([MinhashDedupBuckets(f"{folder}/sig", f"{folder}/dup", config=CONFIG)], 14),
        ([MinhashDedupCluster(f"{folder}/dup", f"{folder}/remove", config=CONFIG)], 1),
        ([reader, MinhashDedupFilter(f"{folder}/remove"),
          JsonlWriter(f"{folder}/out", compression=None)], 1),
    ]:
        LocalPipelineExecutor(pipeline, tasks=tasks).run()
    out = (folder / "out/00000.jsonl").read_text(encoding="utf-8").splitlines()
    kept = {int(json.loads(line)["id"]) for line in out}
    shutil.rmtree(folder)
    return [number for number in range(len(texts)) if number not in kept]


def main():
    texts = corpus()
    words = load_word_tokenizer("eng").word_tokenize
    stage = MinhashDedupSignature(tempfile.mkdtemp(), config=CONFIG)

    def signature(text):
        shingles = stage.get_shingles(text)
        values = stage.get_signature(shingles) if shingles.size else []
        return "".join(f"{value:016x}" for bucket in values for value in bucket)

    expected = {
        "words": [[text, " ".join(words(simplify_text(text)))] for text in TEXTS + VOCABULARY],
        "signatures": [[text, signature(text)] for text in TEXTS + texts[:8]],
        "documents": texts,
        "removed": removed(texts),
    }
    text = json.dumps(expected, ensure_ascii=True, indent=1)
    (HERE / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
