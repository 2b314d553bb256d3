"""Makes the files beside this script and `expected.json`, what a reader must find in them.

Written by other people's software: Python's gzip, bz2, lzma, csv and codecs, warcio 1.8.1,
zstandard 0.25.0. Run: python3 make.py
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import pathlib

import zstandard
from warcio.warcwriter import WARCWriter

HERE = pathlib.Path(__file__).parent
EXPECTED = {}

CHINESE_SIMPLE = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。\n这首诗写的是登高望远，后人常用它来鼓励自己。\n" * 4
CHINESE_FULL = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。\n這首詩寫的是登高望遠，後人常用它來鼓勵自己。\n" * 4
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 4
KOREAN = "나랏말싸미 중국에 달라 문자와로 서로 사맛디 아니할세. 하늘과 바람과 별과 시.\n" * 4
FRENCH = "Où sont les élèves de l'école? Ils ont déjà mangé à la forêt, près du château.\n" * 4
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастлива по-своему.\n"


def write(name, data, documents, encoding=None):
    (HERE / name).write_bytes(data)
    for document in documents:
        if encoding:
            document.setdefault("meta", {})["encoding"] = encoding
    EXPECTED[name] = documents


def encodings():
    for name, text, codec, label in [
        ("gb18030.txt", CHINESE_SIMPLE, "gb18030", "GBK"),
        ("big5.txt", CHINESE_FULL, "big5", "Big5"),
        ("shift-jis.txt", JAPANESE, "shift_jis", "Shift_JIS"),
        ("euc-kr.txt", KOREAN, "euc_kr", "EUC-KR"),
        ("latin1.txt", FRENCH, "latin-1", "windows-1252"),
        ("windows-1251.txt", RUSSIAN, "cp1251", "windows-1251"),
        ("utf-16le.txt", "\ufeff" + CHINESE_SIMPLE, "utf-16-le", "UTF-16LE"),
        ("utf-16be.txt", "\ufeff" + FRENCH, "utf-16-be", "UTF-16BE"),
        ("utf-8.txt", CHINESE_FULL, "utf-8", None),
    ]:
        document = {"id": f"{name}:1", "text": text.removeprefix("\ufeff")}
        write(name, text.encode(codec), [document], label)


def compressions():
    rows = [{"id": f"row {n}", "text": f"第{n}行 of a compressed file"} for n in range(20)]
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    halves = b"".join(lines[:10]), b"".join(lines[10:])
    packers = {
        "gz": lambda data: gzip.compress(data, mtime=0),
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": zstandard.ZstdCompressor().compress,
    }
    for ending, pack in packers.items():
        write(f"two-members.jsonl.{ending}", b"".join(map(pack, halves)), rows)


def tables():
    rows = [
        {"id": "a", "text": 'He said "yes",\nand left.', "label": "1"},
        {"id": "b", "text": "更上一层楼，欲穷千里目", "label": ""},
        {"id": "c", "text": "tab\there; semicolon", "label": "好"},
    ]
    documents = [
        {"id": row["id"], "text": row["text"], "meta": {"label": row["label"]}} for row in rows
    ]
    for name, codec, dialect, label in [
        ("table.csv", "utf-8-sig", "excel", None),
        ("table.tsv", "utf-8", "excel-tab", None),
        ("gbk.csv", "gbk", "excel", "GBK"),
    ]:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, ["id", "text", "label"], dialect=dialect)
        writer.writeheader()
        writer.writerows(rows)
        copies = json.loads(json.dumps(documents))
        write(name, out.getvalue().encode(codec), copies, label)


def crawl():
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)
    writer.write_record(writer.create_warcinfo_record("crawl.warc.wet.gz", {"isPartOf": "test"}))
    documents = []
    pages = [("Plain text\nof a page.\n", None), (CHINESE_SIMPLE, "gbk")]
    for number, (text, charset) in enumerate(pages):
        url, date = f"http://example.org/{number}", f"2026-01-0{number + 1}T00:00:00Z"
        identity = f"<urn:uuid:00000000-0000-0000-0000-00000000000{number}>"
        kind = "text/plain" + (f"; charset={charset}" if charset else "")
        record = writer.create_warc_record(
            url,
            "conversion",
            payload=io.BytesIO(text.encode(charset or "utf-8")),
            warc_content_type=kind,
            warc_headers_dict={"WARC-Record-ID": identity, "WARC-Date": date},
        )
        writer.write_record(record)
        meta = {"url": url, "date": date} | ({"encoding": "GBK"} if charset else {})
        documents.append({"id": identity, "text": text, "meta": meta})
    write("crawl.wet.gz", out.getvalue(), documents)


encodings()
compressions()
tables()
crawl()
(HERE / "expected.json").write_text(json.dumps(EXPECTED, ensure_ascii=False, indent=1) + "\n")
