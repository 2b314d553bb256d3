"""Makes the files beside this script and `expected.json`, what a reader must find in them.

Written by other people's software: Python's gzip, bz2, lzma, csv and codecs, warcio 1.8.1,
zstandard 0.25.0, python-docx 1.2.0, ebooklib 0.20. Run: python3 make.py
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import pathlib
import zlib

import docx
import zstandard
from ebooklib import epub
from warcio.statusandheaders import StatusAndHeaders
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


ENGLISH = [
    "The old bridge over the river was closed in the spring of last year, when the engineers found "
    "that its piers had moved by more than a hand, and nobody could say how long it would still "
    "stand in the flood.",
    "In the meantime the people of both villages have to go around by the road over the pass, "
    "which takes an hour and a half in the summer and is not open at all from the first snow "
    "until the end of March.",
    "A new bridge is to be built by the same company that built the old one a hundred years ago.",
]
MENU = "".join(f'<li><a href="/{n}">Section {n}</a></li>' for n in range(9))


def page(title, paragraphs, meta=""):
    body = "\n".join(f"<p>{text}</p>" for text in paragraphs)
    return (
        f"<!DOCTYPE html><html><head>{meta}<title>{title}</title>"
        "<script>if (1 < 2) document.write('x')</script></head>"
        f"<body><nav><ul>{MENU}</ul></nav><div class=article-body>{body}</div>"
        f"<div id=comments><p>First comment: {paragraphs[0]}</p></div>"
        f"<footer>&copy; 2026, all rights reserved</footer></body></html>"
    )


def pages():
    text = "\n".join(ENGLISH)
    write("page.html", page("The &amp; bridge", ENGLISH).encode(), [
        {"id": "page.html:1", "text": text, "meta": {"title": "The & bridge"}},
    ])
    lines = CHINESE_SIMPLE.split("\n")[:2]
    paragraphs = [lines[0] + lines[1], lines[1] * 2, lines[0] * 2]
    data = page("登高", paragraphs, '<meta charset="gb2312">').encode("gbk")
    meta = {"title": "登高", "encoding": "GBK"}
    document = {"id": "gbk.htm:1", "text": "\n".join(paragraphs), "meta": meta}
    write("gbk.htm", data, [document])


def answers():
    """Pages as servers send them, each in its own gzip member, by warcio."""
    body = page("The bridge", ENGLISH).encode()
    chunks = [body[at : at + 300] for at in range(0, len(body), 300)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    text, kind = "\n".join(ENGLISH), ("Content-Type", "text/html; charset=utf-8")
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)
    documents = []
    for number, (data, fields) in enumerate([
        (body, []),
        (chunked, [("Transfer-Encoding", "chunked")]),
        (gzip.compress(body, mtime=0), [("Content-Encoding", "gzip")]),
        (zlib.compress(body), [("Content-Encoding", "deflate")]),
        (zlib.compress(body)[2:-4], [("Content-Encoding", "deflate")]),
        (body, [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]),
    ]):
        url, date = f"http://example.org/{number}", f"2026-01-0{number + 1}T00:00:00Z"
        identity = f"<urn:uuid:00000000-0000-0000-0001-00000000000{number}>"
        head = StatusAndHeaders("200 OK", [kind, *fields], protocol="HTTP/1.1")
        record = writer.create_warc_record(
            url,
            "response",
            payload=io.BytesIO(data),
            http_headers=head,
            warc_headers_dict={"WARC-Record-ID": identity, "WARC-Date": date},
        )
        writer.write_record(record)
        meta = {"url": url, "date": date, "title": "The bridge"}
        documents.append({"id": identity, "text": text, "meta": meta})
    write("answers.warc.gz", out.getvalue(), documents)


def archives():
    """A Word document by python-docx and a book by ebooklib, each with what was put into it."""
    document = docx.Document()
    document.add_heading("The bridge", 1)
    paragraph = document.add_paragraph("Half of it ")
    paragraph.add_run("stands & half").bold = True
    paragraph.add_run(" does not.\tSo it is <closed>.")
    document.add_paragraph("白日依山尽，黄河入海流。")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "left", "right"
    document.add_paragraph("")
    document.add_paragraph(ENGLISH[0])
    document.save(HERE / "letter.docx")
    lines = [
        "The bridge",
        "Half of it stands & half does not.\tSo it is <closed>.",
        "白日依山尽，黄河入海流。",
        "left",
        "right",
        ENGLISH[0],
    ]
    EXPECTED["letter.docx"] = [{"id": "letter.docx:1", "text": "\n".join(lines)}]

    book = epub.EpubBook()
    book.set_identifier("bridge")
    book.set_title("A book & its bridge")
    book.set_language("en")
    chapters = []
    for number in (2, 0, 1):
        name = f"in/chapter {number}.xhtml"
        chapter = epub.EpubHtml(title=f"Chapter {number}", file_name=name, lang="en")
        chapter.content = f"<h1>Chapter {number}</h1><p>{ENGLISH[number]}<a id='x'/></p>"
        book.add_item(chapter)
        chapters.append(chapter)
    book.spine = sorted(chapters, key=lambda chapter: chapter.file_name)
    epub.write_epub(HERE / "book.epub", book)
    lines = [line for number in range(3) for line in (f"Chapter {number}", ENGLISH[number])]
    meta = {"title": "A book & its bridge"}
    EXPECTED["book.epub"] = [{"id": "book.epub:1", "text": "\n".join(lines), "meta": meta}]


encodings()
compressions()
tables()
crawl()
pages()
answers()
archives()
(HERE / "expected.json").write_text(json.dumps(EXPECTED, ensure_ascii=False, indent=1) + "\n")
