"""Makes `expected.json`: paragraphs of the pages beside this script and what jusText says of them.

The pages are unchanged: a chapter of the Rustonomicon (1.63, MIT or Apache-2.0), a page of the
PostgreSQL 15 manual (PostgreSQL licence) and one of the CMake 3.25 manual (BSD-3-Clause).
jusText 3.0.2, lxml 6.1.3, lxml_html_clean 0.4.6. jusText is of 2011, so the blocks of HTML 5 are
added to its paragraph tags, and what no reader sees to what is removed. Its paragraphs run words
together where a tag stands between them, so white space is left out. Run: python3 make.py
"""

import json
import pathlib

import justext.core
from lxml.html.clean import Cleaner

HERE = pathlib.Path(__file__).parent
BLOCKS = "address article aside details dialog figcaption figure footer header hgroup main menu nav"
UNSEEN = "head noscript template audio canvas datalist svg video"


HIDDEN = "//*[@hidden or contains(translate(@style, ' ', ''), 'display:none')]"


def preprocessor(dom):
    for element in dom.xpath(HIDDEN):
        element.drop_tree()
    cleaner = Cleaner(
        processing_instructions=False,
        remove_unknown_tags=False,
        safe_attrs_only=False,
        page_structure=False,
        annoying_tags=False,
        frames=False,
        meta=False,
        links=False,
        javascript=False,
        scripts=True,
        comments=True,
        style=True,
        embedded=True,
        forms=True,
        kill_tags=UNSEEN.split(),
    )
    return cleaner.clean_html(dom)


justext.core.PARAGRAPH_TAGS |= set(BLOCKS.split()) | {"section", "summary", "ol", "tbody"}
stop_words = justext.get_stoplist("English")
expected = {}
for page in sorted(HERE.glob("*.html")):
    paragraphs = justext.justext(page.read_bytes(), stop_words, preprocessor=preprocessor)
    lines = ((p.class_type, "".join(p.text.split())) for p in paragraphs)
    expected[page.name] = [f"{kind} {text}" for kind, text in lines if text]
(HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
