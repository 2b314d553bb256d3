"""Makes the PDFs beside this script and `expected-pdf.json`, what a reader must find in them.

Written by reportlab 5.1.0 (columns, hyphens of pyphen 0.18.1, a CID font without a word on what its
characters are) and matplotlib 3.11.2 (embedded TrueType and Type 3 fonts). Run: python3 pdf.py
"""

import json
import pathlib

import matplotlib
import matplotlib.pyplot
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas
from reportlab.platypus import BaseDocTemplate, Frame, KeepTogether, PageTemplate
from reportlab.platypus import Paragraph, Spacer

HERE = pathlib.Path(__file__).parent
EXPECTED = {}

ENGLISH = [
    "The old bridge over the river was closed in the spring of last year, when the engineers found "
    "that its piers had moved by more than a hand, and nobody could say how long it would still "
    "stand in the flood.",
    "Meanwhile the inhabitants of both villages have to go around by the road over the mountains, "
    "which takes an hour and a half in summertime and is not open at all from the first snowfall "
    "until the end of March; for the well-known reasons, it never will be.",
    "Où sont les élèves de l'école? Ils ont déjà mangé à la forêt (près du château) & sont loin.",
    "A new bridge is to be built by the same company that built the old one a century ago.",
]
CHINESE = [
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。这首诗写的是登高望远，后人常用它来鼓励自己，"
    "凡事要从更高的地方看，才能看得更远。",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。夜深人静的时候，诗人看见窗外的月光，"
    "想起了远方的家。",
]


def columns(name, paragraphs, title, **style):
    """Two columns of justified text, as journals have."""
    width, height = A5
    document = BaseDocTemplate(str(HERE / name), pagesize=A5, title=title, invariant=1)
    frames = [
        Frame(30 + n * (width - 60) / 2, 40, (width - 70) / 2, height - 80) for n in range(2)
    ]
    document.addPageTemplates([PageTemplate(frames=frames)])
    style = ParagraphStyle("text", fontSize=13, leading=16, alignment=4, **style)
    story = []
    for paragraph in paragraphs:
        text = Paragraph(paragraph.replace("&", "&amp;"), style)
        story += [KeepTogether([text]), Spacer(1, 12)]
    document.build(story)
    meta = {"title": title, "pages": 1}
    EXPECTED[name] = [{"id": f"{name}:1", "text": "\n".join(paragraphs), "meta": meta}]


def figure(name, kind):
    """Labels of a drawing, one of them turned."""
    matplotlib.rcParams["pdf.fonttype"] = kind
    drawing = matplotlib.pyplot.figure(figsize=(3, 2))
    lines = ["Load in tonnes", "deflection of the bridge, œuvre, straße", "Fig. 1"]
    for n, line in enumerate(lines):
        drawing.text(0.3, 0.8 - 0.3 * n, line, fontsize=8)
    drawing.text(0.1, 0.2, "turned on its side", rotation=90, fontsize=8)
    drawing.savefig(HERE / name, metadata={"CreationDate": None, "Title": "登高"})
    text = "\n".join([*lines, "turned on its side"])
    EXPECTED[name] = [
        {"id": f"{name}:1", "text": text, "meta": {"title": "登高", "pages": 1}},
    ]


def without_text():
    """What is counted and not read."""
    page = canvas.Canvas(str(HERE / "scanned.pdf"), pagesize=A5, invariant=1)
    page.rect(50, 50, 100, 100, fill=1)
    page.showPage()
    page.save()
    page = canvas.Canvas(str(HERE / "locked.pdf"), pagesize=A5, invariant=1, encrypt="secret")
    page.drawString(50, 50, "nobody reads this")
    page.save()


def main():
    columns("columns.pdf", ENGLISH, "The bridge", hyphenationLang="en_GB", embeddedHyphenation=1)
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    columns("chinese.pdf", CHINESE, "登高望远", fontName="STSong-Light", wordWrap="CJK")
    figure("truetype.pdf", 42)
    figure("type3.pdf", 3)
    without_text()
    (HERE / "expected-pdf.json").write_text(
        json.dumps(EXPECTED, ensure_ascii=False, indent=1) + "\n"
    )


main()
