"""Texts of PDFs beside poppler's pdftotext (Debian package poppler-utils): word-level F1 and time.

    cargo build --release -p danlu-data --example html
    python3 pdf.py BINARY FILE.pdf...

A word is a run of letters and digits, a Chinese character one word; both texts are compared as
multisets after NFKC, words broken at line ends joined in both.
"""

import collections
import json
import re
import subprocess
import sys
import time
import unicodedata

WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W_]+")


def words(text):
    text = unicodedata.normalize("NFKC", text.replace("\xad", ""))
    text = re.sub(r"(?<=[^\W\d_])[-\u2010][ \f]*\n\s*(?=[a-z])", "", text)
    return collections.Counter(
        part
        for word in WORD.findall(text)
        for part in re.findall(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\u2e80-\u9fff\uf900-\ufaff]+", word)
    )


def main(binary, files):
    totals = [0, 0, 0]
    print("      F1  precision  recall    words  ours s  theirs s  file")
    for file in files:
        start = time.perf_counter()
        ours = subprocess.run([binary, file], capture_output=True, text=True, check=True).stdout
        middle = time.perf_counter()
        theirs = subprocess.run(["pdftotext", file, "-"], capture_output=True, check=False).stdout
        end = time.perf_counter()
        found = json.loads(ours)
        mine, other = words(found["text"]), words(theirs.decode("utf-8", "replace"))
        both, mine_count, other_count = (mine & other).total(), mine.total(), other.total()
        totals = [a + b for a, b in zip(totals, (both, mine_count, other_count))]
        precision, recall = both / max(mine_count, 1), both / max(other_count, 1)
        score = 2 * both / max(mine_count + other_count, 1)
        name = file.rsplit("/", 1)[-1] + (" " + found["reason"] if "reason" in found else "")
        times = f"{middle - start:7.2f} {end - middle:9.2f}"
        print(f"{score:8.4f} {precision:10.4f} {recall:7.4f} {other_count:8} {times}  {name}")
    both, mine_count, other_count = totals
    print(f"{2 * both / max(mine_count + other_count, 1):8.4f} all words of all files")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
