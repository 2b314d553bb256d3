"""Compares the main text that we read from web pages with trafilatura's and jusText's.

    PYTHON main_text.py score FOLDER [all|first|second]
    PYTHON main_text.py worst FOLDER all|first|second [PAGES]

Written against trafilatura 2.3.1 and jusText 3.0.2, whose Python runs this; nothing is fetched.
FOLDER is `tests` of trafilatura's repository (evaldata.json, eval, cache: pieces of text that
should be found and that should not; scores over all pieces) or scrapinghub's
article-extraction-benchmark (ground-truth.json, html: whole texts; runs of four words, the mean of
all pages). Both are scored as these score themselves, and trafilatura and jusText are set as in
trafilatura's evaluation, jusText with the stop words of all its languages. The halves are told
apart by the hash of a page's name, so that settings chosen on `first` can be judged on `second`.
`worst` lists what we miss and should not have, for PAGES (20) pages.
Ours is `cargo build --release -p danlu-data --example html`; HTML=PATH names another.
"""
import collections, gzip, hashlib, json, os, re, subprocess, sys, time

import justext, trafilatura

PROGRAM = os.environ.get("HTML") or "target/release/examples/html"


def load(folder, half):
    """Pages by file: (found, unwanted) pieces, or a whole text."""
    pages = {}
    if os.path.exists(os.path.join(folder, "evaldata.json")):
        for page in json.load(open(os.path.join(folder, "evaldata.json"))).values():
            places = (os.path.join(folder, part, page["file"]) for part in ("cache", "eval"))
            pages[next(filter(os.path.isfile, places))] = (page["with"], page["without"])
    else:
        for name, page in json.load(open(os.path.join(folder, "ground-truth.json"))).items():
            pages[os.path.join(folder, "html", name + ".html.gz")] = page["articleBody"]
    first = lambda path: hashlib.sha256(os.path.basename(path).encode()).digest()[0] < 128
    chosen = {"all": lambda path: True, "first": first, "second": lambda path: not first(path)}
    return {path: gold for path, gold in pages.items() if chosen[half](path)}


def danlu(paths):
    run = subprocess.run([PROGRAM, *paths], check=True, capture_output=True, text=True)
    texts = {row["file"]: row["text"] for row in map(json.loads, run.stdout.splitlines())}
    return texts, float(re.search(r"in ([\d.]+) s", run.stderr)[1])


def timed(extract):
    def all_of(paths):
        pages = [(gzip.open if path.endswith(".gz") else open)(path, "rb").read() for path in paths]
        start = time.perf_counter()
        texts = {path: one(extract, page) for path, page in zip(paths, pages)}
        return texts, time.perf_counter() - start
    return all_of


def one(extract, page):
    try:
        return extract(page) or ""
    except Exception:
        return ""


def by_trafilatura(page):
    settings = dict(include_comments=False, include_tables=True, include_formatting=False)
    return trafilatura.extract(page, **settings)


STOP_WORDS = frozenset().union(*map(justext.get_stoplist, justext.get_stoplists()))


def by_justext(page):
    found = justext.justext(page, STOP_WORDS, 50, 200, 0.1, 0.2, 0.2, 200, True)
    return " ".join(paragraph.text for paragraph in found if not paragraph.is_boilerplate)


SIDES = {"danlu": danlu, "trafilatura": timed(by_trafilatura), "jusText": timed(by_justext)}


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def runs(text):
    words = re.findall(r"\w+", text)
    return collections.Counter(tuple(words[at:at + 4]) for at in range(max(1, len(words) - 3)))


def judge(gold, text):
    """Right, extra and missed: pieces, or shares of runs of words."""
    if isinstance(gold, str):
        gold, found = runs(gold), runs(text)
        right, whole = (gold & found).total(), (gold | found).total()
        return [part / whole for part in (right, (found - gold).total(), (gold - found).total())]
    text = squeeze(text)
    right = sum(squeeze(piece) in text for piece in gold[0])
    return [right, sum(squeeze(piece) in text for piece in gold[1]), len(gold[0]) - right]


def summary(pages, texts):
    """Precision, recall and F1."""
    rows = [judge(gold, texts[path]) for path, gold in pages.items()]
    ratio = lambda right, other: right / (right + other) if right + other else 0.0
    if isinstance(next(iter(pages.values())), str):
        precision = [ratio(right, extra) for right, extra, _ in rows if right + extra]
        recall = [ratio(right, missed) for right, _, missed in rows if right + missed]
        precision, recall = sum(precision) / len(precision), sum(recall) / len(recall)
    else:
        right, extra, missed = map(sum, zip(*rows))
        precision, recall = ratio(right, extra), ratio(right, missed)
    return precision, recall, 2 * precision * recall / (precision + recall)


def score(folder, half="all"):
    pages = load(folder, half)
    print(f"{len(pages)} pages ({half})")
    print("| | precision | recall | F1 | pages/s |\n|---|---|---|---|---|")
    for name, side in SIDES.items():
        texts, seconds = side(list(pages))
        values = " | ".join(f"{value:.3f}" for value in summary(pages, texts))
        print(f"| {name} | {values} | {len(pages) / seconds:.0f} |", flush=True)


def worst(folder, half, count="20"):
    pages = load(folder, half)
    texts, _ = danlu(list(pages))
    cost = lambda path: sum(judge(pages[path], texts[path])[1:])
    for path in sorted(pages, key=cost, reverse=True)[:int(count)]:
        print(f"{cost(path):.2f} {path}")
        if isinstance(pages[path], str):
            for name, text in ("gold", pages[path]), ("ours", texts[path]):
                print(f"  {name}, {len(text)} characters: {squeeze(text)[:200]}")
            continue
        text = squeeze(texts[path])
        for piece in pages[path][0]:
            if squeeze(piece) not in text:
                print("  missed:", piece)
        for piece in pages[path][1]:
            if squeeze(piece) in text:
                print("  extra:", piece)


if __name__ == "__main__":
    {"score": score, "worst": worst}[sys.argv[1]](*sys.argv[2:])
