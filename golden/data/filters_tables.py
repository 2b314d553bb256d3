"""Writes the tables that word and sentence splitting rest on, by asking spaCy, Python and jieba.

    python filters_tables.py CRATES/data/src/steps/words

Written against spaCy 3.8.18, datatrove 0.10.1, Python 3.11 (Unicode 14). classes.txt: a line for
each run of code points with equal properties, `first flags` in hexadecimal. english.txt: a line for
each exception, its tokens joined by spaces; where spaCy also finds it after splitting (the "special
matcher"), a tab and the tokens it is found as. units.txt: what is cut off behind a digit.
terminal.txt: what ends a line in datatrove, in order. chinese/words.txt.zst, of jieba 0.42.1: how
often it met all words; words in order, each as the number of characters it begins with as the one
before, and the others; an empty line; how often it met each. chinese/characters.txt.zst, of its
model of unknown words: how often it met a character that begins, ends, is within a word and is one,
in all; the logarithms of the shares of words that begin so (of more, of one character) and of what
follows what (begin: end, middle; end: begin, single; middle: end, middle; single: begin, single);
then each character and how often it was met as each. Written by zstandard 0.25.0.
"""
import math, os, re, sys, unicodedata

import jieba, spacy, zstandard
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from jieba.finalseg import emit_P, start_P, trans_P
from spacy.lang.char_classes import ALPHA_LOWER, ALPHA_UPPER, LIST_CURRENCY, LIST_UNITS
from spacy.pipeline import Sentencizer

nlp = spacy.blank("en")
t = nlp.tokenizer
prefix, suffix, infix = t.prefix_search, t.suffix_search, t.infix_finditer
lower, upper = re.compile(f"[{ALPHA_LOWER}]").match, re.compile(f"[{ALPHA_UPPER}]").match
word, digit = re.compile(r"\w").match, re.compile(r"\d").match
ends = set(Sentencizer.default_punct_chars)


def has_infix(text, at, size=1):
    return any(m.span() == (at, at + size) for m in infix(text))


def suffix_is(text, size):
    found = suffix(text)
    return bool(found) and found.end() - found.start() == size


# The order is that of `Class` in classes.rs.
TESTS = [
    lambda c: c.isspace(),
    lambda c: c.isalpha(),
    lambda c: word(c),
    lambda c: digit(c),
    lambda c: unicodedata.category(c).startswith("P"),
    lambda c: c in PUNCTUATION_SET,
    lambda c: c not in ".+" and prefix(c),
    lambda c: c not in ".+" and suffix(c),
    lambda c: c != "." and suffix_is(c + ".", 1),
    lambda c: has_infix(c + ",a", 1),
    lambda c: c != "." and has_infix(c + ".A", 1),
    lambda c: c != "." and has_infix("a." + c, 1),
    lambda c: upper(c),
    lambda c: lower(c),
    lambda c: c not in "." and has_infix("\u3fff" + c, 1) and has_infix("1" + c + "\x01", 1),
    lambda c: c in ends,
]

folder = sys.argv[1]
with open(f"{folder}/classes.txt", "w") as f:
    before = None
    for code in range(0x110000):
        flags = 0
        if not 0xD800 <= code <= 0xDFFF:
            c = chr(code)
            flags = sum(bool(test(c)) << bit for bit, test in enumerate(TESTS))
        if flags != before:
            f.write(f"{code:x} {flags:x}\n")
            before = flags

with open(f"{folder}/english.txt", "w") as f:
    for rule in sorted(t.rules):
        if rule.isspace():
            continue
        tokens = [token[65] for token in t.rules[rule]]
        line = " ".join(tokens)
        assert "".join(tokens) == rule and len(line.split(" ")) == len(tokens)
        if prefix(rule) or suffix(rule) or list(infix(rule)):
            bare = spacy.blank("en").tokenizer
            bare.rules = {}
            found = [token.text for token in bare(rule)]
            assert "".join(found) == rule
            if len(found) > 1:
                line += "\t" + " ".join(found)
            else:
                assert tokens == found, rule
        f.write(line + "\n")

with open(f"{folder}/units.txt", "w") as f:
    for one in dict.fromkeys(LIST_UNITS + [c.replace("\\", "") for c in LIST_CURRENCY]):
        assert suffix_is("1" + one, len(one)) and not re.search("[0-9]", one), one
        f.write(one + "\n")

with open(f"{folder}/terminal.txt", "w") as f:
    f.write("".join(sorted(TERMINAL_PUNCTUATION)) + "\n")



def write_compressed(name, lines):
    data = "".join(line + "\n" for line in lines).encode()
    with open(f"{folder}/chinese/{name}", "wb") as f:
        f.write(zstandard.ZstdCompressor(level=19).compress(data))


jieba.initialize()
in_block = re.compile(r"[\u4E00-\u9FD5a-zA-Z0-9+#&\._%\-]+").fullmatch
rows = sorted((w, count) for w, count in jieba.dt.FREQ.items() if count and in_block(w))
words, before = [], ""
for text, _ in rows:
    shared = len(os.path.commonprefix([text, before]))
    assert len(text) < 36
    words.append("0123456789abcdefghijklmnopqrstuvwxyz"[shared] + text[shared:])
    before = text
counts = (str(count) for _, count in rows)
write_compressed("words.txt.zst", [str(jieba.dt.total), *words, "", *counts])

STATES = "BEMS"
probabilities = [start_P[s] for s in "BS"]
probabilities += [trans_P[s][after] for s, after in "BE BM EB ES ME MM SB SS".split()]
# What is met least is met once, or twice.
totals = {s: round(1 / math.exp(min(emit_P[s].values()))) for s in STATES}
lines = [" ".join(map(str, totals.values())), " ".join(map(repr, probabilities))]
for c in sorted({c for s in STATES for c in emit_P[s] if in_block(c)}):
    met = [round(math.exp(emit_P[s][c]) * totals[s]) if c in emit_P[s] else 0 for s in STATES]
    for s, n in zip(STATES, met):
        assert not n or math.log(n / totals[s]) == emit_P[s][c]
    lines.append(" ".join([c, *map(str, met)]))
write_compressed("characters.txt.zst", lines)
