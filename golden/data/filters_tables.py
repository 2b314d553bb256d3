"""Writes the tables that word and sentence splitting rest on, by asking spaCy, Python and jieba.

    python filters_tables.py CRATES/data/src/steps/words

Written against spaCy 3.8.18, datatrove 0.10.1, Python 3.11 (Unicode 14). classes.txt: a line for
each run of code points with equal properties, `first flags` in hexadecimal. english.txt: a line for
each exception, its tokens joined by spaces; where spaCy also finds it after splitting (the "special
matcher"), a tab and the tokens it is found as. units.txt: what is cut off behind a digit.
terminal.txt: what ends a line in datatrove, in order. chinese.txt.xz: the words of jieba 0.42.1 and
how often it met them.
"""
import lzma, re, sys, unicodedata

import jieba, spacy
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
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

with jieba.get_dict_file() as words, lzma.open(f"{folder}/chinese.txt.xz", "w", preset=9) as f:
    for line in words:
        f.write(b" ".join(line.split(b" ")[:2]) + b"\n")
